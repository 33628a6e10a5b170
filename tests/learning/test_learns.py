"""Learning, of minutes: `make test-slow`."""

from pathlib import Path

import pytest

from lunar_offline.collection.collect import collect_dataset
from lunar_offline.training.resolve_config import resolve
from lunar_offline.training.start_or_resume import finish, start

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("discrete", [True, False], ids=["discrete", "continuous"])
@pytest.mark.parametrize("seed", [0, 1])
def test_cql_sac_lands_from_offline_data_alone(tmp_path: Path, discrete: bool, seed: int) -> None:
    collect_dataset("lunar-sac-v0", discrete=discrete, episodes=300)
    config = resolve(
        discrete=None,
        file={},
        options={
            "dataset": "lunar-sac-v0",
            "rho": 1.0,
            "updates": 8_000,
            "seed": seed,
            "evaluation_episodes": 200,
        },
    )
    training = start(config, tmp_path / "run")
    training.train()
    summary = finish(training.run)
    assert summary is not None
    assert summary.best.mean >= 200
