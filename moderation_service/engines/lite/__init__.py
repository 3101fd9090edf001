"""The embedded engine: a small model for English and Chinese on the CPU, numpy only. Weak: see its model card."""
