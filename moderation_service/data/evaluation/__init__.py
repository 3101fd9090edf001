"""How good a guard is: counts, rates, intervals, curves, and what a report says of them."""
