"""docs/guarded-chat.md and its Chinese twin: the calls shown get the replies shown, and nothing is left out."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from apps import client_of
from fake_llm import FakeLLM
from shown_replies import steady

from moderation_service.config.chat_settings import ChatSettings
from moderation_service.config.setting import Url
from moderation_service.config.settings import Settings
from moderation_service.engines.lite.engine import LiteEngine
from moderation_service.errors import ChatModelError
from moderation_service.web.service import build_service

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [(DOCS / name).read_text(encoding="utf-8") for name in ("guarded-chat.md", "guarded-chat.zh-CN.md")]
CALLS = re.findall(r"```console\n\$ (curl .*)\n(.*)\n```", PAGES[0])

each_page = pytest.mark.parametrize("page", PAGES, ids=["english", "chinese"])


@pytest.mark.parametrize(("command", "printed"), CALLS)
def test_a_call_shown_gets_the_reply_shown(llm: FakeLLM, command: str, printed: str) -> None:
    _, _, url, _, header, _, body = shlex.split(command)
    client = client_of(build_service(Settings(chat_upstream=Url(llm.url)), engine=LiteEngine.load()))
    reply = client.post(
        url.removeprefix("http://127.0.0.1:8787"), data=body, content_type=header.removeprefix("Content-Type: ")
    )
    assert steady(reply.json) == steady(json.loads(printed))


@each_page
def test_every_error_of_the_chat_model_is_explained(page: str) -> None:
    kinds = [ChatModelError, *ChatModelError.__subclasses__()]
    assert [kind.type for kind in kinds if f"`{kind.type}`" not in page] == []


@each_page
def test_settings_are_spoken_of_by_their_names(page: str) -> None:
    named = set(re.findall(r"`(chat_[a-z_]+)", page))
    errors = {"chat_model_error", "chat_model_unavailable", "chat_model_timeout"}
    of_vllm = {"chat_template", "chat_template_kwargs"}
    assert named <= set(ChatSettings.__annotations__) | errors | of_vllm


def test_both_languages_have_the_same_examples() -> None:
    english, chinese = (
        [re.sub(r"#.*", "", one) for one in re.findall(r"```.*?```", page, re.DOTALL)] for page in PAGES
    )
    assert [re.sub(r"\s+", " ", one) for one in english] == [re.sub(r"\s+", " ", one) for one in chinese]
