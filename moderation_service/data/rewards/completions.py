"""What trainers hand to a reward function, read: prompts and completions as texts or as messages. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...core.conversation import THOUGHTS, is_blank
from ...core.thoughts import split_thoughts

__all__ = ["Completed", "read_completion", "without_answer"]


@dataclass(frozen=True, slots=True)
class Completed:
    """A prompt with what a model wrote. `prompt` is a text or a list of messages; thought and answer may be blank."""

    prompt: object
    thought: str
    answer: str

    @property
    def is_blank(self) -> bool:
        """Whether there is no answer to judge."""
        return is_blank(self.answer)

    @property
    def has_thought(self) -> bool:
        """Whether there is a thought to judge."""
        return not is_blank(self.thought)

    def body(self, text: str) -> dict[str, object]:
        """The request for a verdict on `text` as an answer to the prompt."""
        if isinstance(self.prompt, str):
            # A blank prompt is refused where it is named; left out, the answer is judged alone.
            named = {} if is_blank(self.prompt) else {"prompt": self.prompt}
            return {**named, "response": text}
        # Trainers keep more beside a message, such as its tokens. An answer that only calls tools says nothing.
        turns = [{"role": one.get("role"), "content": one.get("content")} for one in _messages(self.prompt)]
        said = [one for one in turns if one["content"] is not None or one["role"] != "assistant"]
        return {"messages": [*said, {"role": "assistant", "content": text}]}


def read_completion(prompt: object, completion: object) -> Completed:
    """A pair as TRL hands it over: two texts, or two lists of messages. Raises TypeError for anything else."""
    if isinstance(completion, str):
        written = split_thoughts(completion)
        return Completed(prompt, written.thought, written.answer)
    # Of an agent there are several answers, with the results of tools between them: all of them are shown.
    said = [one for one in _messages(completion) if one.get("role") == "assistant"]
    thoughts = [str(one[key]) for one in said for key in THOUGHTS if one.get(key)]
    written_parts = [split_thoughts(_text(one.get("content"))) for one in said]
    thoughts += [one.thought for one in written_parts if one.thought]
    answers = [one.answer for one in written_parts if not is_blank(one.answer)]
    return Completed(prompt, "\n\n".join(dict.fromkeys(thoughts)), "\n\n".join(answers))


def without_answer(messages: object) -> list[Mapping[str, object]]:
    """The prompt of a chat that ends with the completion, as ms-swift hands it over."""
    chat = list(_messages(messages))
    return chat[:-1] if chat and chat[-1].get("role") == "assistant" else chat


def _messages(value: object) -> Sequence[Mapping[str, object]]:
    if isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(one, Mapping) for one in value):
        return value
    raise TypeError(f"a prompt or completion must be a text or a list of messages, not {type(value).__name__}")


def _text(content: object) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence) and all(isinstance(one, Mapping) for one in content):
        return "\n".join(str(one.get("text") or "") for one in content)
    raise TypeError(f"`content` must be a text or a list of parts, not {type(content).__name__}")
