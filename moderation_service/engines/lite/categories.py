"""The categories that a net names, in the order of its outputs."""

__all__ = ["CATEGORIES", "CATEGORY_NAMES"]

CATEGORIES = (
    "violent",
    "non_violent_illegal_acts",
    "sexual_content",
    "pii",
    "suicide_self_harm",
    "unethical_acts",
    "politically_sensitive_topics",
    "copyright_violation",
    "jailbreak",
)
"""Category ids in the order of the net's outputs; the last one is for prompts only."""
CATEGORY_NAMES = (
    "Violent",
    "Non-violent Illegal Acts",
    "Sexual Content or Sexual Acts",
    "PII",
    "Suicide & Self-Harm",
    "Unethical Acts",
    "Politically Sensitive Topics",
    "Copyright Violation",
    "Jailbreak",
)
"""The same nine as the training files write them."""
