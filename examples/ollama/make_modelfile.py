"""Write a Modelfile for Ollama with the chat template that the guard's own folder has.

    python examples/ollama/make_modelfile.py MODEL_DIR MODEL.gguf > Modelfile
    ollama create qwen3guard -f Modelfile

MODEL_DIR is the model as it was published, MODEL.gguf what `moderation-service up --cpu --prepare-only` printed.
Ollama's templates are Go's, so the template is taken apart: what stands before a conversation, between its turns and
behind it, once for a prompt that is judged and once for a response. Needs jinja2, which the service has.

Written from Ollama's documentation (docs/template.md, docs/modelfile.md of github.com/ollama/ollama), not run with it;
Go's text/template, with which it renders, makes the same of the template as jinja2 of the model's own.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from jinja2.sandbox import ImmutableSandboxedEnvironment

_USER, _ASSISTANT = "@@the-user@@", "@@the-assistant@@"


@dataclass(frozen=True)
class Frame:
    """What stands around a conversation whose last message is of one role."""

    before: str
    after: str


@dataclass(frozen=True)
class Pieces:
    """The template, taken apart. `first_user`, `user` and `assistant` stand before the text of such a turn."""

    prompt: Frame
    response: Frame
    first_user: str
    user: str
    assistant: str

    def render(self, messages: list[dict[str, str]]) -> str:
        """The prompt of a conversation that begins with a user's turn, as the Modelfile's template makes it."""
        frame = self.prompt if messages[-1]["role"] == "user" else self.response
        text = frame.before
        for index, message in enumerate(messages):
            label = self.assistant if message["role"] == "assistant" else self.user if index else self.first_user
            text += label + message["content"]
        return text + frame.after


def take_apart(template: str) -> Pieces:
    """Raises ValueError for a template that is not made of such pieces."""
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    compiled = environment.from_string(template)

    def rendered(*turns: str) -> str:
        roles = {_USER: "user", _ASSISTANT: "assistant"}
        return compiled.render(messages=[{"role": roles[turn], "content": turn} for turn in turns])

    prompt_before, _, prompt_after = rendered(_USER).partition(_USER)
    begun, _, rest = rendered(_USER, _ASSISTANT).partition(_USER)
    assistant, _, response_after = rest.partition(_ASSISTANT)
    user = rendered(_USER, _ASSISTANT, _USER).partition(_ASSISTANT)[2].partition(_USER)[0]
    first_user = user.lstrip()
    if not first_user or not all(text.endswith(first_user) for text in (prompt_before, begun)):
        raise ValueError("The template does not mark a user's turn.")
    return Pieces(
        Frame(prompt_before.removesuffix(first_user), prompt_after),
        Frame(begun.removesuffix(first_user), response_after),
        first_user,
        user,
        assistant,
    )


def modelfile(pieces: Pieces, gguf: str, *, context: int = 4096) -> str:
    """The text of the Modelfile."""

    def said(text: str) -> str:
        # A string of JSON is a string of Go, but for the halves of characters (\\ud83d) that JSON may write.
        return "{{ " + json.dumps(text, ensure_ascii=False) + " }}"

    def chosen(prompt: str, response: str) -> str:
        return '{{ if eq $last "user" }}' + said(prompt) + "{{ else }}" + said(response) + "{{ end }}"

    turn = (
        '{{ if eq $turn.Role "assistant" }}' + said(pieces.assistant) + "{{ else if $index }}" + said(pieces.user)
        + "{{ else }}" + said(pieces.first_user) + "{{ end }}{{ $turn.Content }}"
    )  # fmt: skip
    template = (
        '{{ $last := "" }}{{ range .Messages }}{{ $last = .Role }}{{ end }}'
        + chosen(pieces.prompt.before, pieces.response.before)
        + "{{ range $index, $turn := .Messages }}" + turn + "{{ end }}"
        + chosen(pieces.prompt.after, pieces.response.after)
    )  # fmt: skip
    lines = [f"FROM {gguf}", f'TEMPLATE """{template}"""', "PARAMETER temperature 0", f"PARAMETER num_ctx {context}"]
    return "\n".join([*lines, 'PARAMETER stop "<|im_end|>"', ""])


def main() -> None:
    folder, gguf = Path(sys.argv[1]), Path(sys.argv[2])
    file = folder / "chat_template.jinja"
    if file.is_file():
        template = file.read_text(encoding="utf-8")
    else:
        template = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))["chat_template"]
    print(modelfile(take_apart(template), str(gguf.resolve())), end="")


if __name__ == "__main__":
    main()
