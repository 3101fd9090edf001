"""docs/litellm.md: its configuration is the example's, and its request gets its reply from the real proxy."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from .conftest import CONFIG
from .proxy import Proxy
from .upstream import Model

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "docs" / name for name in ("litellm.md", "litellm.zh-CN.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_configuration_shown_is_the_example(page: Path) -> None:
    shown, *_ = re.findall(r"^```yaml\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert yaml.safe_load(shown) == yaml.safe_load(CONFIG.read_text(encoding="utf-8"))


@pytest.mark.litellm
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_request_shown_gets_the_reply_shown(proxy: Proxy, model: Model, page: Path) -> None:
    found = re.search(r"^\$ (curl \S* http://127.0.0.1:4000.*)\n(.*)$", page.read_text("utf-8"), re.MULTILINE)
    assert found is not None
    words = shlex.split(found[1])
    body = json.loads(words[words.index("-d") + 1])
    assert proxy.chat(body["messages"], model=body["model"])[1] == json.loads(found[2])
