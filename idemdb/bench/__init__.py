"""The benchmark: what idemdb costs, as ratios to the bare statements of the same run, and as counts."""
