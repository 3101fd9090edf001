"""The server's own chat template, learned from examples, so that an answer can be begun for the model. No I/O.

A verdict's first two tokens are always `Safety` and `:`. Given them, the model's next token is the label: one token to
decode instead of three. The chat API can't be given the beginning of an answer (it would put it into the judged
conversation), so the prompt has to be rendered here, and exactly as the server would. `learn` finds out how from a few
conversations that the server rendered, and gives up when they do not follow one simple rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["ANSWER_BEGINNING", "Rendering", "learn"]

ANSWER_BEGINNING = "Safety:"
"""Without a blank behind it: that belongs to the label's token."""

ChatMessage = Mapping[str, str]

# Texts that no template has in it, and that become tokens of their own wherever they stand.
_MARKS = ("Qx1zQ", "Qx2zQ", "Qx3zQ", "Qx4zQ")


@dataclass(frozen=True, slots=True)
class Rendering:
    """How a conversation becomes a prompt: around it, by the last turn's role, and between its turns."""

    before: Mapping[str, str]
    after: Mapping[str, str]
    between: Mapping[str, str]

    def prompt(self, messages: Sequence[ChatMessage]) -> str:
        """The prompt of a conversation that begins with a user turn, and the beginning of the answer."""
        mode = messages[-1]["role"]
        parts = [self.before[mode], messages[0]["content"]]
        for message in messages[1:]:
            parts += [self.between[message["role"]], message["content"]]
        return "".join([*parts, self.after[mode], ANSWER_BEGINNING])


def learn(render: Callable[[Sequence[ChatMessage]], str | None]) -> Rendering | None:
    """The rule behind `render`; None if there is none as simple as `Rendering`, or nothing could be rendered."""
    user, response = _conversation("user"), _conversation("user", "assistant")
    prompts = [render(user), render(response), render(_conversation("user", "user"))]
    if any(prompt is None for prompt in prompts):
        return None
    alone, answered, twice = (_around(prompt or "") for prompt in prompts)
    if (len(alone), len(answered), len(twice)) != (2, 3, 3):
        return None
    rendering = Rendering(
        before={"user": alone[0], "assistant": answered[0]},
        after={"user": alone[1], "assistant": answered[2]},
        between={"user": twice[1], "assistant": answered[1]},
    )
    # The rule must hold for conversations it was not made from, and for blanks that a template might trim.
    longer = [("user", "assistant", "user"), ("user", "assistant", "user", "assistant"), ("user", "user")]
    blanks: list[ChatMessage] = [{**message, "content": f" \n{message['content']}\n\n "} for message in response]
    for conversation in [*(_conversation(*roles) for roles in longer), blanks]:
        if render(conversation) != rendering.prompt(conversation).removesuffix(ANSWER_BEGINNING):
            return None
    return rendering


def _conversation(*roles: str) -> list[ChatMessage]:
    return [{"role": role, "content": mark} for role, mark in zip(roles, _MARKS, strict=False)]


def _around(prompt: str) -> list[str]:
    """What stands before, between and after the marks."""
    parts = []
    for mark in _MARKS:
        before, found, prompt = prompt.partition(mark)
        parts.append(before)
        if not found:
            return parts
    return [*parts, prompt]
