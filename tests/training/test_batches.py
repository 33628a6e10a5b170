from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_runs import begin

from lunar_offline.agents.algorithms.cql_sac import CQLSACConfig
from lunar_offline.agents.learner import Batch
from lunar_offline.datasets.dataset import read_dataset
from lunar_offline.envs.lander import shaping
from lunar_offline.envs.registry import find_env
from lunar_offline.training.batches import Batches, discount_of
from lunar_offline.training.config import TrainConfig
from lunar_offline.transitions import Episode, Transitions

CPU = torch.device("cpu")
ONLINE_REWARD = 1_000.0  # of all online rows, and of no offline one


def make_batches(episodes: dict[bool, list[Episode]], **options: Any) -> Batches:
    """Return the batches of a run on real episodes, with 100 online rows."""
    options = {"dataset": "x-v0", "rho": 0.25, "batch_size": 32, "online_episodes": 2} | options
    config = TrainConfig(**options)
    dataset = Transitions.from_episodes(episodes[config.discrete]) if config.dataset else None
    batches = Batches(config, find_env(discrete=config.discrete), dataset, CPU)
    rows = Transitions.from_episodes(episodes[config.discrete]).records
    for row in rows[:100]:
        batches.replay.add(
            row["observations"],
            row["actions"],
            ONLINE_REWARD,
            row["next_observations"],
            terminated=row["terminations"],
            truncated=row["truncations"],
        )
    return batches


def copied(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in tensors.items()}


def assert_same_state(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert set(found) == set(expected)
    for name, tensor in found.items():
        assert torch.equal(tensor, expected[name]), name


def assert_same_batch(found: Batch, expected: Batch) -> None:
    for name, value in found._asdict().items():
        other = getattr(expected, name)
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, other), name
        else:
            assert value == other, name


@pytest.mark.parametrize("online", [True, False])
@pytest.mark.parametrize("discrete", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"agent": CQLSACConfig(calibrated=True)},
        {"rho_mode": "buffer", "rho": 0.6},
        {"balanced": True},
    ],
    ids=["plain", "calibrated", "buffer", "balanced"],
)
def test_drawing_a_batch_changes_nothing(
    random_episodes: dict[bool, list[Episode]],
    options: dict[str, Any],
    discrete: bool,
    online: bool,
) -> None:
    batches = make_batches(random_episodes, discrete=discrete, **options)
    if batches.balanced:  # draw by priorities, not uniformly
        batches.balanced.update(batches.draw(0, online=True), 0)
        assert len(batches.state_tensors()["density.priorities"])
    state, cursor = copied(batches.state_tensors()), batches.replay.cursor
    first = batches.draw(7, online=online)
    kept = Batch(*(v.clone() if isinstance(v, torch.Tensor) else v for v in first))
    other = batches.draw(8, online=online)
    assert not torch.equal(other.observations, first.observations)
    assert_same_batch(first, kept)  # the next draw does not write into it
    assert_same_batch(batches.draw(7, online=online), kept)
    assert_same_state(batches.state_tensors(), state)
    assert batches.replay.cursor == cursor


def test_balanced_replay_changes_in_its_own_step_alone(
    random_episodes: dict[bool, list[Episode]],
) -> None:
    batches = make_batches(random_episodes, balanced=True)
    assert batches.balanced is not None
    before, uniform = copied(batches.state_tensors()), batches.draw(5, online=True)
    batches.balanced.update(uniform, 0)
    after = copied(batches.state_tensors())
    assert not torch.equal(after["density.flat"], before["density.flat"])
    preferred = batches.draw(5, online=True)
    assert not torch.equal(preferred.observations[:8], uniform.observations[:8])
    assert torch.equal(preferred.observations[8:], uniform.observations[8:])
    # only every thousandth step renews the priorities
    batches.balanced.update(preferred, 1)
    assert_same_batch(batches.draw(5, online=True), preferred)

    again = make_batches(random_episodes, balanced=True)
    again.load_state_tensors(after, batches.replay.cursor)
    assert_same_state(again.state_tensors(), after)
    assert_same_batch(again.draw(5, online=True), preferred)


@pytest.mark.parametrize(("rho", "n_offline"), [(0.25, 8), (0.6, 19), (0.97, 31)])
@pytest.mark.parametrize("balanced", [True, False])
def test_n_offline_is_exact(
    random_episodes: dict[bool, list[Episode]], rho: float, n_offline: int, balanced: bool
) -> None:
    batches = make_batches(random_episodes, rho=rho, balanced=balanced)
    for step in range(20):
        batch = batches.draw(step, online=True)
        assert batch.n_offline == n_offline
        assert (batch.rewards[:n_offline] != ONLINE_REWARD).all()
        assert (batch.rewards[n_offline:] == ONLINE_REWARD).all()
        assert len(batch.rewards) == 32
        alone = batches.draw(step, online=False)
        assert alone.n_offline == len(alone.rewards) == 32
        assert (alone.rewards != ONLINE_REWARD).all()


def test_without_a_dataset_no_row_is_offline(random_episodes: dict[bool, list[Episode]]) -> None:
    options = {"dataset": "", "rho": 0.0, "pretrain_updates": 0}
    batch = make_batches(random_episodes, **options).draw(0, online=True)
    assert batch.n_offline == 0
    assert (batch.rewards == ONLINE_REWARD).all()


def test_a_shared_buffer_counts_the_offline_rows_of_each_batch(
    random_episodes: dict[bool, list[Episode]],
) -> None:
    batches = make_batches(random_episodes, rho_mode="buffer", rho=0.6)  # three episodes of five
    shares = set()
    for step in range(20):
        batch = batches.draw(step, online=True)
        assert (batch.rewards[: batch.n_offline] != ONLINE_REWARD).all()
        assert (batch.rewards[batch.n_offline :] == ONLINE_REWARD).all()
        shares.add(batch.n_offline)
    assert len(shares) > 1


@pytest.mark.parametrize("online", [True, False])
def test_returns_are_given_to_a_calibrated_agent_alone(
    random_episodes: dict[bool, list[Episode]], online: bool
) -> None:
    assert make_batches(random_episodes).draw(0, online=online).returns is None
    agent = CQLSACConfig(calibrated=True, discount=0.9)
    batch = make_batches(random_episodes, agent=agent).draw(0, online=online)
    assert batch.returns is not None
    assert batch.returns.dtype == torch.float32
    assert batch.returns.shape == (8 if online else 32,)
    rows = Transitions.from_episodes(random_episodes[True])
    known = dict(zip(map(bytes, rows.observations), rows.returns(0.9), strict=True))
    expected = [known[bytes(o.numpy())] for o in batch.observations[: batch.n_offline]]
    assert batch.returns.tolist() == pytest.approx(expected, rel=1e-5)


def test_calibration_meets_the_datas_own_returns(random_dataset: str, tmp_path: Path) -> None:
    training = begin(
        tmp_path / "run", dataset=random_dataset, agent={"calibrated": True, "discount": 0.9}
    )
    rows = read_dataset(random_dataset).transitions
    returns = {o.tobytes(): r for o, r in zip(rows.observations, rows.returns(0.9), strict=True)}
    batch = training.batches.draw(0, online=False)
    assert batch.returns is not None
    expected = [returns[o.numpy().tobytes()] for o in batch.observations]
    assert batch.returns.tolist() == pytest.approx(expected, rel=1e-5)


def test_invariant_shaping_is_in_rewards_and_returns_alike(
    random_dataset: str, tmp_path: Path
) -> None:
    training = begin(
        tmp_path / "run",
        dataset=random_dataset,
        agent={"calibrated": True, "discount": 0.9},
        invariant_shaping=True,
    )
    expected: dict[bytes, tuple[float, float]] = {}
    rows = read_dataset(random_dataset).transitions
    total = 0.0
    for row in reversed(range(len(rows))):
        ends = bool(rows.terminations[row])
        excess = 0.0 if ends else 0.1 * float(shaping(rows.next_observations[row]))
        reward = float(rows.rewards[row]) - excess
        total = reward + (0.0 if ends else 0.9 * total)
        expected[rows.observations[row].tobytes()] = (reward, total)
    batch = training.batches.draw(0, online=False)
    assert batch.returns is not None
    rewards, returns = zip(
        *(expected[o.numpy().tobytes()] for o in batch.observations), strict=True
    )
    assert batch.rewards.tolist() == pytest.approx(rewards, rel=1e-5, abs=1e-4)
    assert batch.returns.tolist() == pytest.approx(returns, rel=1e-5, abs=1e-4)


def test_other_envs_keep_their_rewards() -> None:
    config = TrainConfig(
        rho=0.0, pretrain_updates=0, env="Pendulum-v1", discrete=False, invariant_shaping=True
    )
    env = config.env_info()
    rows = Transitions(np.ones(3, env.transition_dtype()))
    learned = env.learned_rewards(rows, discount_of(config), invariant=config.invariant_shaping)
    assert learned.tolist() == [1.0, 1.0, 1.0]
