"""The density ratio of two known distributions."""

import numpy as np
import pytest
import torch

from lunar_offline.agents.density_ratio import SHARPNESS, DensityRatio
from lunar_offline.agents.nn.action_spec import ActionSpec
from lunar_offline.seeding import Purpose, generator


@pytest.mark.parametrize("discrete", [True, False])
def test_the_ratio_of_two_known_distributions_is_found(*, discrete: bool) -> None:
    """Offline x ~ N(0, 1), online x ~ N(1, 1): log w = x - 1/2. Actions say nothing."""
    spec = ActionSpec(discrete, 2)
    ratio = DensityRatio(spec, 1, 1e-3, 0, torch.device("cpu"))
    for step in range(1_500):
        rng = generator(0, Purpose.BATCH, step)
        x = rng.standard_normal((256, 1), dtype=np.float32)
        x[160:] += 1.0
        actions = rng.integers(2, size=256) if discrete else rng.random((256, 2), dtype=np.float32)
        ratio.update(torch.from_numpy(x), torch.from_numpy(actions), 160)
    points = torch.linspace(-1.5, 2.5, 9).unsqueeze(1)
    actions = torch.ones(9, dtype=torch.int64) if discrete else torch.full((9, 2), 0.5)
    found = np.log(ratio.priorities(points, actions)) / SHARPNESS
    assert np.abs(found - (points.flatten().numpy() - 0.5)).max() < 0.35
