"""Values and rules: what a verdict, a conversation and a policy are. Nothing here does I/O."""
