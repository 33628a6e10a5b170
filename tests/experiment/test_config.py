from pathlib import Path

import pytest

from lunar_offline.errors import UsageError
from lunar_offline.experiment.config import TrainConfig, merge, read_toml
from lunar_offline.experiment.presets import preset_values


def config(**values) -> TrainConfig:
    return TrainConfig.from_dict({"dataset": "x-v0"} | values)


@pytest.mark.parametrize("preset", ["best", "paper"])
@pytest.mark.parametrize("discrete", [True, False])
@pytest.mark.parametrize("rho", [0.0, 0.6, 1.0])
def test_every_preset_is_valid_and_round_trips(preset: str, discrete: bool, rho: float) -> None:
    values = preset_values(preset, discrete=discrete, rho=rho)
    resolved = TrainConfig.from_dict(values | ({"dataset": "x-v0"} if rho else {}))
    assert TrainConfig.from_dict(resolved.to_dict()) == resolved


def test_the_paper_preset_is_section_2_8() -> None:
    paper = TrainConfig.from_dict(
        preset_values("paper", discrete=True, rho=0.6) | {"dataset": "x-v0"}
    )
    assert paper.batch_size == 256
    assert paper.agent.learning_rate == 5e-4
    assert paper.agent.discount == 0.99
    assert paper.agent.tau == 0.01
    assert paper.buffer_size == 100_000
    assert paper.utd_ratio == 1.0
    assert paper.pretrain_updates == 0
    assert paper.agent.hidden == (256, 256)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"rho": 1.5}, "rho 1.5 is outside"),
        ({"rho": 0.001}, "use a larger batch"),
        ({"rho": 0.0, "pretrain_updates": 0}, "rho 0 uses no dataset"),
        ({"rho": 0.0, "dataset": ""}, "set pretrain_updates to 0"),
        ({"dataset": ""}, "needs a dataset"),
        ({"seed": -1}, "seed -1"),
        ({"algorithm": "td3"}, "algorithm 'td3' is not one of cql-sac, sac"),
        ({"rho_mode": "shared"}, "rho_mode 'shared' is not one of"),
        ({"rho_mode": "buffer", "rho": 1.0}, "needs 0 < rho < 1"),
        ({"batch_size": 0}, "batch_size 0 is below 1"),
        ({"buffer_size": 10}, "buffer_size 10 is below 256"),
        ({"penalty_weight": float("inf")}, "not finite"),
        ({"penalty_wieght": 1.0}, "did you mean 'penalty_weight'"),
        ({"agent": {"gamma": 0.9}}, r"\[agent\]: unknown key 'gamma'"),
        ({"agent": {"hidden": []}}, "hidden is not a list of 1 .. 8 integers"),
        ({"agent": 3}, "agent is not a table"),
        ({"online_episodes": "many"}, "online_episodes is not of type int"),
        ({"discrete": 1}, "discrete is not of type bool"),
    ],
)
def test_what_cannot_be_meant_is_named(values: dict, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        config(**values)


def test_penalty_weights_by_phase() -> None:
    both = config(penalty_weight=2.0, online_penalty_weight=0.5)
    assert both.weight(None) == 2.0
    assert [both.weight(episode) for episode in (0, 150)] == [0.5, 0.5]
    assert config(algorithm="sac").weight(None) == 0.0
    assert config(penalty="none").weight(0) == 0.0


def test_an_annealed_weight_falls_to_zero() -> None:
    annealed = config(penalty_weight=2.0, online_penalty_weight=0.5, anneal_episodes=10)
    assert annealed.weight(None) == 2.0
    assert [annealed.weight(episode) for episode in (0, 5, 10, 50)] == [0.5, 0.25, 0.0, 0.0]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"algorithm": "bc", "rho": 0.0, "dataset": "", "pretrain_updates": 0}, "above 0"),
        ({"algorithm": "cql-qr", "discrete": False}, "discrete ones only"),
        ({"algorithm": "cql-qr", "agent": {"layer_norm": True}}, "layer_norm to false"),
        (
            {"algorithm": "cql-qr", "penalty": "eq1", "agent": {"layer_norm": False}},
            "no policy to weigh eq1 by",
        ),
        ({"rho_mode": "buffer", "agent": {"calibrated": True}}, "needs rho_mode batch"),
        ({"discrete": False, "agent": {"forward_kl": True}}, "discrete ones only"),
        ({"agent": {"n_critics": 2, "target_subset": 3}}, "0 .. agent.n_critics"),
        ({"agent": {"tau": 0.0}}, "agent.tau 0.0 is outside"),
        ({"agent": {"policy_tau": 1.5}}, "agent.policy_tau 1.5 is outside"),
        ({"agent": {"penalty_temperature": 0.0}}, "penalty_temperature"),
    ],
)
def test_an_algorithm_says_what_it_cannot_do(values: dict, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        config(**values)


def test_merge_goes_into_tables() -> None:
    merged = merge({"a": 1, "agent": {"x": 1, "y": 2}}, {"agent": {"y": 3}})
    assert merged == {"a": 1, "agent": {"x": 1, "y": 3}}


def test_toml_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        read_toml(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("x = = 1")
    with pytest.raises(UsageError, match=r"bad\.toml"):
        read_toml(tmp_path / "bad.toml")
