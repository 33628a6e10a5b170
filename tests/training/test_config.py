from pathlib import Path

import pytest

from lunar_offline.agents.algorithms.bc import BCConfig
from lunar_offline.agents.algorithms.cql_sac import CQLSACConfig
from lunar_offline.agents.algorithms.sac import SACConfig
from lunar_offline.agents.penalty_options import ConservativeConfig
from lunar_offline.errors import UsageError
from lunar_offline.options import RunKind
from lunar_offline.storage.strict_toml import merge, read_toml
from lunar_offline.training.config import TrainConfig
from lunar_offline.training.presets import run_preset


def config(**values) -> TrainConfig:
    return TrainConfig.from_dict({"dataset": "x-v0"} | values)


def cql_sac(**values) -> CQLSACConfig:
    agent = config(agent=values).agent
    assert isinstance(agent, CQLSACConfig)
    return agent


RUNS = [
    (algorithm, discrete, rho)
    for algorithm in ("cql-sac", "sac", "cql-qr", "bc")
    for discrete in (True, False)
    for rho in (0.0, 0.6, 1.0)
    if (discrete or algorithm != "cql-qr") and (rho or algorithm != "bc")
]


@pytest.mark.parametrize("preset", ["best", "paper"])
@pytest.mark.parametrize(("algorithm", "discrete", "rho"), RUNS)
def test_every_preset_is_valid_and_round_trips(
    algorithm: str, preset: str, discrete: bool, rho: float
) -> None:
    values = run_preset(preset, algorithm, RunKind(discrete, rho)) | {"algorithm": algorithm}
    resolved = TrainConfig.from_dict(values | ({"dataset": "x-v0"} if rho else {}))
    assert TrainConfig.from_dict(resolved.to_dict()) == resolved


def test_the_paper_preset_is_section_2_8() -> None:
    values = run_preset("paper", "cql-sac", RunKind(discrete=True, rho=0.6))
    paper = TrainConfig.from_dict(values | {"dataset": "x-v0"})
    assert isinstance(paper.agent, CQLSACConfig)
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
        ({"rho": 1.5}, "rho 1.5 is above 1.0"),
        ({"rho": 0.001}, "use a larger batch"),
        ({"rho": 0.0, "pretrain_updates": 0}, "rho 0 uses no dataset"),
        ({"rho": 0.0, "dataset": ""}, "set pretrain_updates to 0"),
        ({"dataset": ""}, "needs a dataset"),
        ({"seed": -1}, "seed -1"),
        (
            {"algorithm": "td3"},
            "algorithm 'td3' is not one of bc, cql-qr, cql-sac, iql, sac, td3-bc",
        ),
        ({"rho_mode": "shared"}, "rho_mode 'shared' is not one of"),
        ({"rho_mode": "buffer", "rho": 1.0}, "needs 0 < rho < 1"),
        ({"batch_size": 0}, "batch_size 0 is below 1"),
        ({"buffer_size": 10}, "buffer_size 10 is below 256"),
        ({"agent": {"penalty_weight": float("inf")}}, "agent.penalty_weight inf is not finite"),
        ({"agent": {"penalty_wieght": 1.0}}, "did you mean 'penalty_weight'"),
        ({"agent": {"penalty": "cql"}}, "agent.penalty 'cql' is not one of cql-h, cql-rho, eq1"),
        ({"agent": {"gamma": 0.9}}, r"\[agent\]: unknown key 'gamma'"),
        ({"agent": {"hidden": []}}, "agent.hidden is not a list of 1 .. 8 integers"),
        ({"agent": {"hidden": [0.5]}}, "hidden is not a list of integers"),
        ({"agent": 3}, "agent is not a table"),
        ({"online_episodes": "many"}, "online_episodes is not of type int"),
        ({"discrete": 1}, "discrete is not of type bool"),
    ],
)
def test_an_impossible_value_is_named(values: dict, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        config(**values)


def test_penalty_weights_by_phase() -> None:
    both = cql_sac(penalty_weight=2.0, online_penalty_weight=0.5)
    assert both.weight_at(None) == 2.0
    assert [both.weight_at(episode) for episode in (0, 150)] == [0.5, 0.5]
    assert not isinstance(config(algorithm="sac").agent, ConservativeConfig)
    none = cql_sac(penalty="none", penalty_weight=2.0, online_penalty_weight=0.5)
    assert [none.weight_at(episode) for episode in (None, 0)] == [0.0, 0.0]


def test_an_annealed_weight_falls_to_zero() -> None:
    annealed = cql_sac(penalty_weight=2.0, online_penalty_weight=0.5, anneal_episodes=10)
    assert annealed.weight_at(None) == 2.0
    assert [annealed.weight_at(episode) for episode in (0, 5, 10, 50)] == [0.5, 0.25, 0.0, 0.0]


def test_the_hyperparameters_are_those_of_the_algorithm() -> None:
    assert type(config().agent) is CQLSACConfig
    assert type(config(algorithm="sac").agent) is SACConfig
    for agent in (SACConfig(), BCConfig()):
        with pytest.raises(UsageError, match="agent is not the config of algorithm cql-sac"):
            TrainConfig(dataset="x-v0", agent=agent)
    with pytest.raises(UsageError, match=r"\[agent\]: unknown key 'penalty_weight'"):
        config(algorithm="sac", agent={"penalty_weight": 1.0})


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"algorithm": "bc", "rho": 0.0, "dataset": "", "pretrain_updates": 0}, "above 0"),
        ({"algorithm": "cql-qr", "discrete": False}, "needs discrete actions"),
        ({"algorithm": "cql-qr", "agent": {"layer_norm": True}}, "unknown key 'layer_norm'"),
        ({"algorithm": "cql-qr", "agent": {"penalty": "eq1"}}, "no policy, which eq1 needs"),
        ({"rho_mode": "buffer", "agent": {"calibrated": True}}, "needs rho_mode batch"),
        ({"discrete": False, "agent": {"forward_kl": True}}, "needs discrete actions"),
        (
            {"discrete": False, "agent": {"online_forward_kl": True}},
            "needs discrete actions",
        ),
        (
            {"agent": {"n_critics": 2, "target_subset": 3}},
            "agent.target_subset 3 is above agent.n_critics",
        ),
        ({"agent": {"tau": 0.0}}, "agent.tau 0.0 is not above 0.0"),
        ({"agent": {"policy_tau": 1.5}}, "agent.policy_tau 1.5 is above 1.0"),
        ({"agent": {"policy_tau": 0.0}}, "agent.policy_tau 0.0 is not above 0.0"),
        (
            {"agent": {"penalty_temperature": 0.0}},
            "agent.penalty_temperature 0.0 is not above 0.0",
        ),
    ],
)
def test_an_algorithm_refuses_what_it_cannot_do(values: dict, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        config(**values)


def test_merge_goes_into_tables() -> None:
    merged = merge({"a": 1, "agent": {"x": 1, "y": 2}}, {"agent": {"y": 3}})
    assert merged == {"a": 1, "agent": {"x": 1, "y": 3}}
    with pytest.raises(UsageError, match="agent is not a table"):  # it would be lost in silence
        merge({"agent": 3}, {"agent": {}})


def test_toml_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        read_toml(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("x = = 1")
    with pytest.raises(UsageError, match=r"bad\.toml"):
        read_toml(tmp_path / "bad.toml")
