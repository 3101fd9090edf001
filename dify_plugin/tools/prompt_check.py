"""The node "Check prompt"."""

from collections.abc import Generator
from typing import Any

from dify_plugin import Tool
from dify_plugin.entities.tool import ToolInvokeMessage
from guard_outputs import check, prompt_body


class PromptCheckTool(Tool):
    """Judges the user's text before it reaches the model."""

    def _invoke(self, tool_parameters: dict[str, Any]) -> Generator[ToolInvokeMessage, None, None]:
        query = str(tool_parameters.get("query") or "")
        yield from check(self, tool_parameters, text=query, body_of=prompt_body, target="prompt")
