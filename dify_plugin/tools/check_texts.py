"""The node "Check texts"."""

from collections.abc import Generator
from typing import Any

from dify_plugin import Tool
from dify_plugin.entities.tool import ToolInvokeMessage
from guard_batch import check_texts


class CheckTextsTool(Tool):
    """Judges many texts at once and gives back the safe ones."""

    def _invoke(self, tool_parameters: dict[str, Any]) -> Generator[ToolInvokeMessage, None, None]:
        yield from check_texts(self, tool_parameters)
