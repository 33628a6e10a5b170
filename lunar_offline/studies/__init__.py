"""Studies of several runs: sweeps, comparisons, value gaps."""
