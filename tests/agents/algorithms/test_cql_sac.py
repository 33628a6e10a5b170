"""What CQL-SAC adds to SAC: the penalty, the forward KL and cloning."""

from dataclasses import replace

import pytest
import torch
from plain_update import SMALL, batch, check_gradients, penalty_weight, plain_gradients, trained

from lunar_offline.agents.algorithms.cql_sac import CQLSAC
from lunar_offline.agents.algorithms.sac import SAC, SACConfig
from lunar_offline.agents.learner import Batch
from lunar_offline.agents.nn.action_spec import ActionSpec
from lunar_offline.seeding import Purpose, generator

DISCRETE, CONTINUOUS = ActionSpec(True, 4), ActionSpec(False, 2)


@pytest.mark.parametrize(
    ("options", "online_episode"),
    [
        ({"penalty_weight": 0.0}, None),
        ({"penalty": "none", "penalty_weight": 5.0}, None),
        ({"online_penalty_weight": 0.0}, 0),
        ({"online_penalty_weight": 1.0, "anneal_episodes": 4}, 4),
    ],
)
def test_weight_zero_is_sac(spec: ActionSpec, options: dict, online_episode: int | None) -> None:
    sac = SAC(SACConfig(hidden=(16, 16)), spec, 8, 1)
    a = CQLSAC(replace(SMALL, **options), spec, 8, 1)
    b = CQLSAC(SMALL, spec, 8, 1)  # no offline row, no penalty
    for step in range(5):
        sac.update(batch(spec, counter=step), online_episode)
        a.update(batch(spec, counter=step), online_episode)
        b.update(batch(spec, counter=step, n_offline=0), online_episode)
    for each in (a, b):
        assert torch.equal(each.critic.members.flat, sac.critic.members.flat)
        assert torch.equal(each.policy.net.flat, sac.policy.net.flat)


def test_the_penalty_sees_its_rows_alone(spec: ActionSpec) -> None:
    def gap(rows: Batch, penalized_rows: str = "offline") -> float:
        config = replace(SMALL, penalized_rows=penalized_rows)
        return CQLSAC(config, spec, 8, 1).update(rows)["penalty_gap"].item()

    rows = batch(spec)
    tail = rows.observations.clone()
    tail[6:] += 1.0
    other_tail = rows._replace(observations=tail)
    assert gap(other_tail) == pytest.approx(gap(rows), abs=1e-5)
    assert abs(gap(other_tail, "all") - gap(rows, "all")) > 1e-3
    head = rows.observations.clone()
    head[:6] += 1.0
    assert abs(gap(rows._replace(observations=head)) - gap(rows)) > 1e-3


def test_the_penalty_lowers_other_actions_against_the_datasets(spec: ActionSpec) -> None:
    def q_gap(weight: float) -> float:
        learner = CQLSAC(replace(SMALL, penalty_weight=weight), spec, 8, 1)
        rows = batch(spec, n_offline=10)
        for _ in range(200):
            metrics = learner.update(rows)
        data = learner.critic(rows.observations, rows.actions[:, None])
        with torch.no_grad():
            both = learner.policy(rows.observations)
            rng = generator(0, Purpose.BATCH)
            uniform = torch.from_numpy(rng.random((10, 20, 2), dtype="float32"))
            noise = torch.from_numpy(rng.standard_normal((10, 40, 2), dtype="float32"))
            proposals = learner.policy.proposals(both, both, uniform, noise)
        assert torch.isfinite(metrics["critic_loss"])
        return (learner.critic(rows.observations, proposals.actions).mean() - data.mean()).item()

    assert q_gap(5.0) < q_gap(0.0) - 0.1


@pytest.mark.parametrize("layer_norm", [True, False])
@pytest.mark.parametrize(("weight", "n_offline"), [(0.0, 6), (2.0, 6), (2.0, 10), (2.0, 0)])
def test_an_updates_gradients_are_those_of_the_plain_losses(
    spec: ActionSpec, weight: float, n_offline: int, *, layer_norm: bool
) -> None:
    learner = trained(spec, 1, replace(SMALL, layer_norm=layer_norm, penalty_weight=weight))
    check_gradients(learner, batch(spec, n_offline=n_offline))


@pytest.mark.parametrize("name", ["cql-h", "cql-rho", "eq1", "none"])
@pytest.mark.parametrize("options", [{}, {"penalty_temperature": 0.5}, {"quasi_random": True}])
def test_gradients_of_every_penalty(spec: ActionSpec, name: str, options: dict) -> None:
    config = replace(SMALL, penalty=name, penalty_weight=2.0, **options)
    check_gradients(trained(spec, 1, config), batch(spec))


@pytest.mark.parametrize("n_offline", [0, 6])
def test_gradients_with_a_penalty_over_all_rows(spec: ActionSpec, n_offline: int) -> None:
    config = replace(SMALL, penalty_weight=2.0, penalized_rows="all", cloning_weight=3.0)
    check_gradients(trained(spec, 1, config), batch(spec, n_offline=n_offline))


@pytest.mark.parametrize(("anneal_episodes", "weight"), [(0, 3.0), (8, 1.5), (4, 0.0), (2, 0.0)])
def test_online_the_penalty_has_its_own_weight(
    spec: ActionSpec, anneal_episodes: int, weight: float
) -> None:
    config = replace(SMALL, online_penalty_weight=3.0, anneal_episodes=anneal_episodes)
    assert penalty_weight(config, 4) == weight
    learner = trained(spec, 1, config)
    check_gradients(learner, batch(spec), 4)
    metrics = learner.update(batch(spec), 4)
    assert ("penalty_gap" in metrics) == (weight > 0.0)
    added = (metrics["critic_loss"] - metrics["td_loss"]).item()
    gap = metrics["penalty_gap"].item() if weight else 0.0
    assert added == pytest.approx(weight * gap, rel=1e-4)


@pytest.mark.parametrize("target_subset", [0, 2])
@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_gradients_with_the_forward_kl(target_subset: int, weight: float) -> None:
    config = replace(
        SMALL, n_critics=3, target_subset=target_subset, forward_kl=True, penalty_weight=weight
    )
    check_gradients(trained(DISCRETE, 1, config), batch(DISCRETE))


@pytest.mark.parametrize(("weight", "n_offline"), [(0.0, 6), (2.0, 6), (2.0, 0)])
def test_gradients_with_cloning(spec: ActionSpec, weight: float, n_offline: int) -> None:
    learner = trained(spec, 1, replace(SMALL, cloning_weight=3.0, penalty_weight=weight))
    check_gradients(learner, batch(spec, n_offline=n_offline))


NO_PENALTY = pytest.mark.parametrize(
    "off", [{"penalty": "none"}, {"penalty_weight": 0.0, "online_penalty_weight": 0.0}]
)
# the metric, its option in offline updates, and the same once online
TERMS = {
    "forward_kl": ({"forward_kl": True}, {"online_forward_kl": True}),
    "cloning_loss": ({"cloning_weight": 3.0}, {"online_cloning_weight": 2.0}),
}


EACH_TERM = pytest.mark.parametrize(
    ("spec", "term"),
    [(DISCRETE, "forward_kl"), (DISCRETE, "cloning_loss"), (CONTINUOUS, "cloning_loss")],
    ids=["forward_kl", "cloning-discrete", "cloning-continuous"],
)


@NO_PENALTY
@EACH_TERM
@pytest.mark.parametrize("online", [False, True])
@pytest.mark.parametrize("offline", [False, True])
def test_forward_kl_and_cloning_act_without_a_penalty(
    spec: ActionSpec, off: dict, term: str, *, offline: bool, online: bool
) -> None:
    """In offline updates by their own options, and once online by those for it."""
    once_offline, once_online = TERMS[term]
    options = off | (once_offline if offline else {}) | (once_online if online else {})
    config = replace(SMALL, **options)
    for online_episode, acts in ((None, offline), (0, online), (7, online)):
        check_gradients(trained(spec, 1, config), batch(spec), online_episode)
        metrics = trained(spec, 1, config).update(batch(spec), online_episode)
        assert (term in metrics) == acts
        assert "penalty_gap" not in metrics
        without = trained(spec, 1, config).update(batch(spec, n_offline=0), online_episode)
        assert term not in without


@NO_PENALTY
@EACH_TERM
def test_forward_kl_and_cloning_are_over_the_offline_rows(
    spec: ActionSpec, off: dict, term: str
) -> None:
    config = replace(SMALL, **off, **TERMS[term][0])

    def value(rows: Batch) -> float:
        return CQLSAC(config, spec, 8, 1).update(rows)[term].item()

    def moved(rows: slice) -> Batch:
        observations = batch(spec).observations.clone()
        observations[rows] += 1.0
        return batch(spec)._replace(observations=observations)

    before = value(batch(spec))
    assert value(moved(slice(6, None))) == pytest.approx(before, rel=1e-5)
    assert abs(value(moved(slice(6))) - before) > 1e-4
    assert abs(value(batch(spec, n_offline=9)) - before) > 1e-4


def test_cloning_raises_the_probability_of_the_datas_actions(spec: ActionSpec) -> None:
    log_probs = {}
    for weight in (0.0, 5.0):
        config = replace(SMALL, cloning_weight=weight, learning_rate=3e-3)
        learner = CQLSAC(config, spec, 8, 1)
        metrics = [learner.update(batch(spec)) for _ in range(60)]
        output = learner.policy(batch(spec).observations[:6])
        log_prob, _ = learner.policy.log_prob_and_gradient(output, batch(spec).actions[:6])
        log_probs[weight] = log_prob.mean().item()
        assert ("cloning_loss" in metrics[-1]) == (weight > 0.0)
    assert log_probs[5.0] > log_probs[0.0] + 0.2


RETURNS = (
    torch.full((6,), 1e3),
    torch.full((6,), -1e3),
    torch.tensor([0.0, 0.1, -0.1, 0.2, -0.2, -torch.inf]),
)


@pytest.mark.parametrize("penalized_rows", ["offline", "all"])
def test_calibration_stops_the_push_below_the_datas_return(
    spec: ActionSpec, penalized_rows: str
) -> None:
    uncalibrated = replace(SMALL, penalized_rows=penalized_rows, penalty_weight=2.0)
    config = replace(uncalibrated, calibrated=True)
    rows = batch(spec)
    for returns in RETURNS:
        check_gradients(trained(spec, 1, config), rows._replace(returns=returns))
    plain = plain_gradients(trained(spec, 1, uncalibrated), rows)[0]
    floor = torch.full((6,), -torch.inf)  # no return known: as without calibration
    same = plain_gradients(trained(spec, 1, config), rows._replace(returns=floor))[0]
    assert torch.equal(plain, same)


def test_a_lagrange_weight_rises_above_its_threshold_and_falls_below(spec: ActionSpec) -> None:
    weights = {}
    for threshold in (-100.0, 100.0):
        config = replace(
            SMALL,
            lagrange=True,
            lagrange_threshold=threshold,
            learning_rate=1e-2,
            penalty_weight=2.0,
        )
        learner = trained(spec, 1, config)
        check_gradients(trained(spec, 1, config), batch(spec))
        weights[threshold] = learner.weight(1.0).item()
        assert learner.update(batch(spec))["penalty_weight"].item() == pytest.approx(
            2 * weights[threshold], rel=1e-5
        )
    assert weights[-100.0] > 1.02
    assert weights[100.0] < 0.98


def test_a_restored_lagrange_weight_and_average_go_on(spec: ActionSpec) -> None:
    config = replace(SMALL, lagrange=True, policy_tau=0.1)
    learner, restored = trained(spec, 1, config), CQLSAC(config, spec, 8, 1)
    assert not torch.equal(learner.average.policy.net.flat, learner.policy.net.flat)
    state = {name: value.clone() for name, value in learner.state_tensors().items()}
    restored.load_state_tensors(state, learner.update_step)
    for each in (learner, restored):
        each.update(batch(spec, counter=9))
    for name, value in learner.state_tensors().items():
        assert torch.equal(value, restored.state_tensors()[name]), name
