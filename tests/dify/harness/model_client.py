"""Asks a model as Dify's provider "OpenAI-API-compatible" does: with the SDK's own request code, which it inherits.

Runs in the environment that has the SDK. What the provider adds to a request (langgenius/dify-official-plugins,
`models/openai_api_compatible/models/llm/llm.py`) is added here too: the user's id, and usage in a stream. Reads JSON
jobs on stdin and answers each with one line:

    {"credentials": {...}, "messages": [...], "tools": [...], "stream": true}  ->  {"chunks": [...], "error": ""}
    {"credentials": {...}, "validate": true}                                     ->  {"error": ""}
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

USER = "end-user-1"


def _model() -> Any:
    from dify_plugin.interfaces.model.openai_compatible.llm import OAICompatLargeLanguageModel

    class Model(OAICompatLargeLanguageModel):
        """The abstract class with nothing added, but that tokens are counted without a table from the Internet.

        They are counted for answers without `usage`; Dify's plugin daemon has the table in its image.
        """

        def _get_num_tokens_by_gpt2(self, text: str) -> int:
            return len(text) // 4

        @property
        def _invoke_error_mapping(self) -> Any:
            return super()._invoke_error_mapping

    return Model([])


def _prompt(messages: list[dict[str, Any]]) -> list[Any]:
    from dify_plugin.entities.model import message as kinds

    classes = {
        "system": kinds.SystemPromptMessage,
        "user": kinds.UserPromptMessage,
        "assistant": kinds.AssistantPromptMessage,
        "tool": kinds.ToolPromptMessage,
    }
    return [classes[one["role"]].model_validate(one) for one in messages]


def invoke(
    credentials: dict[str, Any],
    messages: list[dict[str, Any]],
    *,
    model: str,
    tools: list[dict[str, Any]] | None = None,
    stream: bool = True,
) -> Iterator[dict[str, Any]]:
    """The chunks that Dify gets, or the one result as a chunk. Raises what the SDK raises."""
    from dify_plugin.entities.model.message import PromptMessageTool

    parameters: dict[str, Any] = {"temperature": 0.7}
    if stream:
        parameters["stream_options"] = {"include_usage": True}
    result = _model()._invoke(
        credentials.get("endpoint_model_name") or model,
        credentials,
        _prompt(messages),
        parameters,
        tools=[PromptMessageTool.model_validate(tool) for tool in tools or []],
        stop=None,
        stream=stream,
        user=USER,
    )
    if stream:
        for chunk in result:
            yield json.loads(chunk.model_dump_json())
    else:
        whole = json.loads(result.model_dump_json())
        yield {"delta": {"index": 0, "message": whole["message"], "finish_reason": "stop"}}


def main() -> None:
    for line in sys.stdin:
        job = json.loads(line)
        chunks: list[dict[str, Any]] = []
        error = ""
        try:
            if job.get("validate"):
                _model().validate_credentials(job["model"], job["credentials"])
            else:
                options = {name: job[name] for name in ("tools", "stream") if name in job}
                chunks.extend(invoke(job["credentials"], job["messages"], model=job["model"], **options))
        except Exception as problem:  # the test that asked looks at it
            error = f"{type(problem).__name__}: {problem}"
        print(json.dumps({"chunks": chunks, "error": error}), flush=True)


if __name__ == "__main__":
    main()
