"""A small, self-hosted moderation service for LLM applications, in front of Qwen3Guard."""

__version__ = "0.1.0"

__all__ = ["__version__"]
