"""Programs for the interpreter of an engine's own environment; they know nothing of the rest of the package."""
