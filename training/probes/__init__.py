"""Probes: texts written by hand to measure the embedded engine with, before and apart from its training rows.

They are kept out of training: `tests/engines/lite/test_probes.py` compares them with every row that is trained on.
"""

from .rows import Probe, answer_probes, prompt_probes

__all__ = ["Probe", "answer_probes", "prompt_probes"]
