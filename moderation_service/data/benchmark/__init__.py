"""Public benchmarks: where they are, how they are read, and one report of how a guard does on them."""
