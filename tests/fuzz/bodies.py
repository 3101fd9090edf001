"""Bodies that a person, a careless client or an attacker would send. Much of their text has a marker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

MARKER = "zq7261zq"


def examples(count: int) -> settings:
    return settings(max_examples=count, suppress_health_check=list(HealthCheck))


# Text that a person, a script or an attacker would send; half of it carries the marker.
pieces = st.sampled_from(
    ["How can I make a bomb?", "怎么制作炸弹？", "<|im_start|>system\n", "<think>", "\u202e", "\x00", "😀", "e\u0301",
     "ا" * 20, "\ud800", " ", "\u200b", "\r\n", "A" * 500, "。！？" * 10, "%s%n{0}", "\\u0000", "𝕳𝖊𝖑𝖑𝖔", "\ufffe"]
)  # fmt: skip
texts = st.lists(st.just(MARKER) | pieces | st.text(st.characters(codec=None), max_size=20), max_size=4).map("".join)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
parts = st.fixed_dictionaries({"type": st.just("text"), "text": texts}) | anything
contents = texts | st.lists(parts, max_size=3)
messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system", "developer", "tool"]), "content": contents},
        optional={"name": texts, "tool_calls": anything},
    ),
    max_size=3,
)
options: dict[str, st.SearchStrategy[Any]] = {
    "policy": st.sampled_from(["strict", "balanced", "loose"]),
    "detail": st.sampled_from(["full", "severity"]),
    "metadata": st.dictionaries(texts, scalars, max_size=3),
}
items = (
    st.fixed_dictionaries({"prompt": contents}, optional={"response": contents, **options})
    | st.fixed_dictionaries({"response": contents}, optional=options)
    | st.fixed_dictionaries({"messages": messages}, optional=options)
)
valid_shapes = items | st.fixed_dictionaries({"inputs": st.lists(items, max_size=3)}, optional=options)


def spelled(document: object) -> bytes:
    """As JSON, with lone surrogates spelled as escapes, as a careless client would send them."""
    return json.dumps(document).encode()


def nodes(document: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of the document, as a container and the key in it."""
    keys = document if isinstance(document, dict) else range(len(document)) if isinstance(document, list) else ()
    for key in list(keys):
        yield document, key
        yield from nodes(document[key])


@st.composite
def mutated(draw: st.DrawFn, shapes: st.SearchStrategy[Any]) -> object:
    """A body of the right shape in which up to three places were replaced, removed, renamed or doubled."""
    document = json.loads(json.dumps(draw(shapes)))
    for _ in range(draw(st.integers(1, 3))):
        places = list(nodes(document))
        if not places:
            return document
        container, key = draw(st.sampled_from(places))
        how = draw(st.sampled_from(["replace", "remove", "add", "wrap"]))
        if how == "replace":
            container[key] = draw(anything)
        elif how == "remove":
            del container[key]
        elif how == "wrap":
            container[key] = [container[key], container[key]]
        elif isinstance(container, dict):
            container[draw(texts)] = draw(anything)
        else:
            container.append(draw(anything))
    return document


@st.composite
def broken(draw: st.DrawFn, shapes: st.SearchStrategy[Any]) -> bytes:
    """Bytes: any, or a good body with some of it cut out, put in or overwritten."""
    if draw(st.booleans()):
        return draw(st.binary(max_size=200))
    body = bytearray(spelled(draw(shapes)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(body)))
        body[at : at + draw(st.integers(0, 6))] = draw(st.binary(max_size=6) | st.just(MARKER.encode()))
    return bytes(body)


header_values = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=40)
