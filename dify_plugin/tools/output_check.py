"""The node "Check output"."""

from collections.abc import Generator
from typing import Any

from dify_plugin import Tool
from dify_plugin.entities.tool import ToolInvokeMessage
from guard_outputs import check, output_body


class OutputCheckTool(Tool):
    """Judges the model's answer before the user sees it."""

    def _invoke(self, tool_parameters: dict[str, Any]) -> Generator[ToolInvokeMessage, None, None]:
        answer = str(tool_parameters.get("answer") or "")
        yield from check(self, tool_parameters, text=answer, body_of=output_body, target="response")
