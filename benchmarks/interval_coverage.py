"""How often a 95% percentile bootstrap interval of a mean over few seeds contains the true mean.

    python benchmarks/interval_coverage.py

The seeds' scores are drawn from a normal distribution, 10,000 times per number of seeds. Prints the
share of intervals that contain its mean.
"""

import numpy as np

from lunar_offline.seeding import Purpose, generator

TRIALS = 10_000
RESAMPLES = 2_000


def coverage(seeds: int, trials: int = TRIALS, resamples: int = RESAMPLES) -> float:
    """Return the share of percentile bootstrap intervals of the mean that contain 0."""
    rng = generator(seeds, Purpose.BOOTSTRAP)
    weights_RN = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples) / seeds
    scores_TN = rng.standard_normal((trials, seeds))
    means_TR = scores_TN @ weights_RN.T
    low_T, high_T = np.quantile(means_TR, [0.025, 0.975], axis=1)
    return float(((low_T <= 0.0) & (high_T >= 0.0)).mean())


if __name__ == "__main__":
    for seeds in (3, 5, 10, 20):
        print(f"{seeds} seeds: {coverage(seeds):.0%}")
