"""The texts for end users: the service's, and the copies in what is installed into other products."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

import pytest

from moderation_service.core.policy import DEFAULT_MESSAGES
from moderation_service.wires.unchecked import UNCHECKED_MESSAGES

ROOT = Path(__file__).parents[2]
PLUGIN, FILTER = "dify_plugin/guard_texts.py", "examples/open-webui/moderation_filter.py"


@pytest.mark.parametrize(
    ("path", "name", "texts"),
    [
        (PLUGIN, "BLOCKED", DEFAULT_MESSAGES),
        (PLUGIN, "UNCHECKED", UNCHECKED_MESSAGES),
        # The filter shows the service's own words for what was blocked.
        (FILTER, "UNCHECKED", UNCHECKED_MESSAGES),
    ],
)
def test_the_copies_are_the_services_own_texts(path: str, name: str, texts: Mapping[str, str]) -> None:
    module = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    values = {
        target.id: node.value
        for node in module.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    assert ast.literal_eval(values[name]) == dict(texts)


def test_there_is_a_text_of_each_kind_in_the_same_languages() -> None:
    assert DEFAULT_MESSAGES.keys() == UNCHECKED_MESSAGES.keys()
