"""What the plugin's own files say that its nodes give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

PLUGIN = Path(__file__).resolve().parents[3] / "dify_plugin"
PLUGIN_NAME = "moderation_guard"
TYPES = {"string": str, "boolean": bool, "number": (int, float), "array": list, "object": dict}
TEXTS = {"safe_text", "next_history", "safe_texts", "safe_items"}
"""Outputs that hold checked text; a node's `json` does not repeat them."""


def declared(tool: str) -> dict[str, Any]:
    """The outputs of a tool by name."""
    return yaml.safe_load((PLUGIN / f"tools/{tool}.yaml").read_text("utf-8"))["output_schema"]["properties"]
