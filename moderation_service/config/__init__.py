"""Settings and policy files: declared, read and documented in one place."""
