"""Generators of the project's own training rows: hand-written frames over hand-written word lists, CC0-1.0."""
