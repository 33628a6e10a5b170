from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import tensor

from lunar_offline.learn import losses
from lunar_offline.learn.adam import Adam
from lunar_offline.learn.agent import Agent as AnyAgent
from lunar_offline.learn.learner import AgentConfig, Batch
from lunar_offline.learn.penalties import LogSumExp, expected_value, logsumexp_gap, make_penalty
from lunar_offline.learn.policies import ActionSpec
from lunar_offline.seeding import Purpose, generator

SMALL = AgentConfig(hidden=(16, 16), n_proposals=3)
Agent = partial(AnyAgent, penalty=LogSumExp("actions"))
SPECS = {"discrete": ActionSpec(True, 4), "continuous": ActionSpec(False, 2)}


@pytest.fixture(params=list(SPECS))
def spec(request: pytest.FixtureRequest) -> ActionSpec:
    return SPECS[request.param]


def batch(spec: ActionSpec, *, n_penalised: int = 6, counter: int = 0) -> Batch:
    rng = generator(9, Purpose.BATCH, counter)
    return Batch(
        observations=torch.from_numpy(rng.standard_normal((10, 8), dtype="float32")),
        actions=torch.from_numpy(
            rng.integers(4, size=10)
            if spec.discrete
            else rng.random((10, 2), dtype="float32") * 2 - 1
        ),
        rewards=torch.from_numpy(rng.standard_normal(10, dtype="float32")),
        next_observations=torch.from_numpy(rng.standard_normal((10, 8), dtype="float32")),
        terminations=tensor([False] * 8 + [True] * 2),
        n_penalised=n_penalised,
    )


def trained(spec: ActionSpec, seed: int, config: AgentConfig = SMALL, weight: float = 1.0) -> Agent:
    agent = Agent(config, spec, 8, seed)
    for step in range(5):
        agent.update(batch(spec, counter=step), weight)
    return agent


def test_same_seed_same_bits_other_seed_other_critics(spec: ActionSpec) -> None:
    one, twin, other = trained(spec, 1), trained(spec, 1), trained(spec, 2)
    for name, value in one.state_tensors().items():
        assert torch.equal(value, twin.state_tensors()[name]), name
    assert not torch.equal(one.critic.members.flat, other.critic.members.flat)
    fresh = [Agent(SMALL, spec, 8, seed).critic.members.flat for seed in (1, 2, 3)]
    assert not torch.equal(fresh[0], fresh[1])
    assert not torch.equal(fresh[1], fresh[2])


def test_a_restored_agent_goes_on_with_the_same_bits(spec: ActionSpec) -> None:
    agent, restored = trained(spec, 1), Agent(SMALL, spec, 8, 1)
    held = {name: p for name, p in restored.parameters.items()}
    state = {name: value.clone() for name, value in agent.state_tensors().items()}
    restored.load_state_tensors(state, agent.update_step)
    for name, parameter in restored.parameters.items():
        # the very parameter that its optimizer holds
        assert parameter is held[name]
        assert restored.optimizers[name].parameter is parameter
    for step in range(5, 8):
        for each in (agent, restored):
            each.update(batch(spec, counter=step), 1.0)
    for name, value in agent.state_tensors().items():
        assert torch.equal(value, restored.state_tensors()[name]), name


def test_a_missing_tensor_is_an_error(spec: ActionSpec) -> None:
    state = trained(spec, 1).state_tensors()
    del state["critic.members.flat"]
    with pytest.raises(KeyError):
        Agent(SMALL, spec, 8, 1).load_state_tensors(state, 5)


def test_weight_zero_is_sac(spec: ActionSpec) -> None:
    a = trained(spec, 1, weight=0.0)
    b = Agent(SMALL, spec, 8, 1)
    for step in range(5):
        b.update(batch(spec, counter=step, n_penalised=0), 0.0)
    assert torch.equal(a.critic.members.flat, b.critic.members.flat)


def test_the_penalty_sees_its_rows_alone(spec: ActionSpec) -> None:
    def gap(rows: Batch) -> float:
        return Agent(SMALL, spec, 8, 1).update(rows, 1.0)["penalty_gap"].item()

    rows = batch(spec)
    tail = rows.observations.clone()
    tail[6:] += 1.0
    assert gap(rows._replace(observations=tail)) == pytest.approx(gap(rows), abs=1e-5)
    head = rows.observations.clone()
    head[:6] += 1.0
    assert abs(gap(rows._replace(observations=head)) - gap(rows)) > 1e-3


def test_the_penalty_lowers_other_actions_against_the_datasets(spec: ActionSpec) -> None:
    def q_gap(weight: float) -> float:
        agent, rows = Agent(SMALL, spec, 8, 1), batch(spec, n_penalised=10)
        for _ in range(200):
            metrics = agent.update(rows, weight)
        data = agent.critic(rows.observations, rows.actions[:, None])
        with torch.no_grad():
            both = agent.policy(rows.observations)
            rng = generator(0, Purpose.BATCH)
            uniform = torch.from_numpy(rng.random((10, 20, 2), dtype="float32"))
            noise = torch.from_numpy(rng.standard_normal((10, 40, 2), dtype="float32"))
            proposals = agent.policy.proposals(both, both, uniform, noise)
        assert torch.isfinite(metrics["critic_loss"])
        return (agent.critic(rows.observations, proposals.actions).mean() - data.mean()).item()

    assert q_gap(5.0) < q_gap(0.0) - 0.1


def test_targets_bootstrap_unless_terminated(spec: ActionSpec) -> None:
    # rewards 0: a terminated transition's target is exactly 0, another's is not
    rows = batch(spec)._replace(rewards=torch.zeros(10), n_penalised=0)
    ends = Agent(SMALL, spec, 8, 1).update(rows._replace(terminations=torch.ones(10).bool()), 0.0)
    agent = Agent(SMALL, spec, 8, 1)
    q_KB = agent.critic(rows.observations, rows.actions[:, None])[:, :, 0]
    expected = 0.5 * q_KB.square().mean(1).sum()
    assert ends["td_loss"].item() == pytest.approx(expected.item(), rel=1e-5)
    goes_on = agent.update(rows._replace(terminations=torch.zeros(10).bool()), 0.0)
    assert abs(goes_on["td_loss"].item() - expected.item()) > 1e-4


def plain_gradients(agent: AnyAgent, rows: Batch, weight: float) -> tuple[torch.Tensor, ...]:
    """The update's gradients for critic and policy, by autograd over the plain losses."""
    config, penalty = agent.config, agent.penalty
    b, p = len(rows.rewards), rows.n_penalised if weight and penalty else 0
    noise, temperature = agent._noise(b, p), agent.log_temperature.exp()
    here, there = agent.policy(rows.observations), agent.policy(rows.next_observations)
    with torch.no_grad():
        next_set = agent.policy.action_set(there, noise.actions[b:])
        next_q = agent.target_critic(rows.next_observations, next_set.actions)
        value = losses.soft_value(agent._subset(next_q), next_set, temperature)
        target = losses.td_target(rows.rewards, rows.terminations, value, config.discount)
    q_KB = agent.critic(rows.observations, rows.actions[:, None])[:, :, 0]
    loss = losses.critic_loss(q_KB, target)
    if p:
        with torch.no_grad():
            if penalty.measure == "actions":
                proposals = agent.policy.proposals(
                    here[:p], there[:p], noise.uniform, noise.proposals
                )
            else:
                proposals = agent.policy.action_set(here[:p], noise.proposals).proposals()
        q_KPM = agent.critic(rows.observations[:p], proposals.actions)
        if config.calibrated:
            first = proposals.first_of_policy
            raised = torch.maximum(q_KPM[:, :, first:], rows.returns[:, None])
            q_KPM = torch.cat([q_KPM[:, :, :first], raised], dim=2)
        if isinstance(penalty, LogSumExp):
            gap = logsumexp_gap(q_KPM, proposals.log_weight_PM, q_KB[:, :p], penalty.temperature)
        else:
            gap = expected_value(q_KPM, proposals.log_weight_PM)
        loss = loss + agent.weight(weight) * gap.mean(1).sum()
    (of_critic,) = torch.autograd.grad(loss, [agent.critic.members.flat])
    action_set = agent.policy.action_set(here, noise.actions[:b])
    q_KBN = agent.critic(rows.observations, action_set.actions)
    if config.target_subset:
        q_KBN = q_KBN.mean(0, keepdim=True)
    loss = losses.policy_loss(q_KBN, action_set, temperature)
    if config.forward_kl and p:
        loss = loss + losses.forward_kl(q_KBN[:, :p], action_set.split(p)[0], temperature)
    if config.cloning_weight and p:
        log_prob, _ = agent.policy.log_prob_and_gradient(here[:p], rows.actions[:p])
        loss = loss - config.cloning_weight * log_prob.mean()
    (of_policy,) = torch.autograd.grad(loss, [agent.policy.net.flat])
    return of_critic, of_policy


def check_gradients(agent: AnyAgent, rows: Batch, weight: float) -> None:
    expected = dict(zip(("critic", "policy"), plain_gradients(agent, rows, weight), strict=True))
    found: dict[str, torch.Tensor] = {}
    for name, optimizer in agent.optimizers.items():
        optimizer.step = lambda gradient, name=name: found.update({name: gradient.clone()})
    agent.update(rows, weight)
    for name, gradient in expected.items():
        error = torch.linalg.vector_norm(found[name] - gradient)
        assert error < 1e-5 * torch.linalg.vector_norm(gradient), name


@pytest.mark.parametrize("layer_norm", [True, False])
@pytest.mark.parametrize(("weight", "n_penalised"), [(0.0, 6), (2.0, 6), (2.0, 10), (2.0, 0)])
def test_an_updates_gradients_are_those_of_the_plain_losses(
    spec: ActionSpec, weight: float, n_penalised: int, *, layer_norm: bool
) -> None:
    agent = trained(spec, 1, replace(SMALL, layer_norm=layer_norm))
    check_gradients(agent, batch(spec, n_penalised=n_penalised), weight)


@pytest.mark.parametrize("name", ["cql-h", "cql-rho", "eq1", "none"])
@pytest.mark.parametrize("options", [{}, {"penalty_temperature": 0.5}, {"quasi_random": True}])
def test_gradients_of_every_penalty(spec: ActionSpec, name: str, options: dict) -> None:
    config = replace(SMALL, **options)
    penalty = make_penalty(name, config.penalty_temperature)
    agent = AnyAgent(config, spec, 8, 1, penalty=penalty)
    for step in range(5):
        agent.update(batch(spec, counter=step), 1.0)
    check_gradients(agent, batch(spec), 2.0)


def test_gradients_of_a_random_subset(spec: ActionSpec) -> None:
    agent = trained(spec, 1, replace(SMALL, n_critics=5, target_subset=2))
    check_gradients(agent, batch(spec), 2.0)
    subsets = set()
    for agent.update_step in range(200):  # type: ignore[misc]
        q = torch.arange(5.0)[:, None, None]
        subsets.add(tuple(sorted(agent._subset(q).flatten().tolist())))
    assert len(subsets) == 10  # every pair of five


@pytest.mark.parametrize("target_subset", [0, 2])
def test_gradients_with_the_forward_kl(target_subset: int) -> None:
    config = replace(SMALL, n_critics=3, target_subset=target_subset, forward_kl=True)
    for weight in (0.0, 2.0):
        agent = trained(ActionSpec(True, 4), 1, config)
        check_gradients(agent, batch(ActionSpec(True, 4)), weight)


def test_gradients_with_cloning(spec: ActionSpec) -> None:
    for weight, n_penalised in ((0.0, 6), (2.0, 6), (2.0, 0)):
        agent = trained(spec, 1, replace(SMALL, cloning_weight=3.0))
        check_gradients(agent, batch(spec, n_penalised=n_penalised), weight)


def test_cloning_raises_the_probability_of_the_datas_actions(spec: ActionSpec) -> None:
    log_probs = {}
    for weight in (0.0, 5.0):
        config = replace(SMALL, cloning_weight=weight, learning_rate=3e-3)
        agent = Agent(config, spec, 8, 1)
        metrics = [agent.update(batch(spec), 1.0) for _ in range(60)]
        output = agent.policy(batch(spec).observations[:6])
        log_prob, _ = agent.policy.log_prob_and_gradient(output, batch(spec).actions[:6])
        log_probs[weight] = log_prob.mean().item()
        assert ("cloning_loss" in metrics[-1]) == (weight > 0.0)
    assert log_probs[5.0] > log_probs[0.0] + 0.2


def test_calibration_stops_the_push_below_the_datas_return(spec: ActionSpec) -> None:
    config = replace(SMALL, calibrated=True)
    high = torch.full((6,), 1e3)
    rows = batch(spec)
    for returns in (high, -high, torch.tensor([0.0, 0.1, -0.1, 0.2, -0.2, -torch.inf])):
        check_gradients(trained(spec, 1, config), rows._replace(returns=returns), 2.0)
    plain = plain_gradients(trained(spec, 1), rows, 2.0)[0]
    floor = torch.full((6,), -torch.inf)  # no return known: as without calibration
    same = plain_gradients(trained(spec, 1, config), rows._replace(returns=floor), 2.0)[0]
    assert torch.equal(plain, same)


def test_a_lagrange_weight_rises_above_its_threshold_and_falls_below(spec: ActionSpec) -> None:
    weights = {}
    for threshold in (-100.0, 100.0):
        config = replace(SMALL, lagrange=True, lagrange_threshold=threshold, learning_rate=1e-2)
        agent = trained(spec, 1, config)
        check_gradients(trained(spec, 1, config), batch(spec), 2.0)
        weights[threshold] = agent.weight(1.0).item()
        assert agent.update(batch(spec), 2.0)["penalty_weight"].item() == pytest.approx(
            2 * weights[threshold], rel=1e-5
        )
    assert weights[-100.0] > 1.02
    assert weights[100.0] < 0.98


def test_a_restored_lagrange_weight_and_average_go_on(spec: ActionSpec) -> None:
    config = replace(SMALL, lagrange=True, policy_tau=0.1)
    agent, restored = trained(spec, 1, config), Agent(config, spec, 8, 1)
    assert not torch.equal(agent.average.policy.net.flat, agent.policy.net.flat)
    state = {name: value.clone() for name, value in agent.state_tensors().items()}
    restored.load_state_tensors(state, agent.update_step)
    for each in (agent, restored):
        each.update(batch(spec, counter=9), 1.0)
    for name, value in agent.state_tensors().items():
        assert torch.equal(value, restored.state_tensors()[name]), name


def test_gradient_clip_bounds_the_critic_step() -> None:
    agent = Agent(replace(SMALL, max_grad_norm=1e-3), SPECS["discrete"], 8, 1)
    norms: list[float] = []
    agent.optimizers["critic"].step = lambda g: norms.append(torch.linalg.vector_norm(g).item())
    agent.update(batch(SPECS["discrete"]), 1.0)
    assert norms == [pytest.approx(1e-3, rel=1e-2)]


@pytest.mark.parametrize("spec_name", list(SPECS))
def test_adam_has_the_bits_of_torchs(spec_name: str) -> None:
    agent = trained(SPECS[spec_name], 1)
    flat = agent.critic.members.flat
    twin = torch.nn.Parameter(flat.detach().clone())
    reference = torch.optim.Adam([twin], lr=SMALL.learning_rate, fused=True)
    own = Adam(flat, SMALL.learning_rate)
    for step in range(5):
        rng = generator(step, Purpose.BATCH)
        gradient = torch.from_numpy(rng.standard_normal(len(twin), dtype="float32"))
        twin.grad = gradient
        reference.step()
        own.step(gradient)
    assert torch.equal(flat, twin)


def test_target_critic_takes_no_gradient_and_follows(spec: ActionSpec) -> None:
    agent = Agent(SMALL, spec, 8, 1)
    before = agent.target_critic.members.flat.clone()
    agent.update(batch(spec), 1.0)
    source = agent.critic.members.flat.detach()
    expected = before + SMALL.tau * (source - before)
    assert torch.allclose(agent.target_critic.members.flat, expected)
    assert agent.target_critic.members.flat.grad is None


def test_updates_keep_no_memory(spec: ActionSpec) -> None:
    # a graph kept alive by its own tape once leaked 90 kB an update
    import gc

    agent, rows = Agent(SMALL, spec, 8, 1), batch(spec)
    agent.update(rows, 1.0)
    gc.collect()
    gc.disable()
    try:
        before = sum(issubclass(type(o), torch.Tensor) for o in gc.get_objects())
        for _ in range(20):
            agent.update(rows, 1.0)
        assert sum(issubclass(type(o), torch.Tensor) for o in gc.get_objects()) <= before + 5
    finally:
        gc.enable()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_an_update_on_a_gpu_never_waits_for_it(spec: ActionSpec) -> None:
    agent = Agent(SMALL, spec, 8, 1, "cuda")
    data = Batch(*(v.cuda() if isinstance(v, torch.Tensor) else v for v in batch(spec)))
    agent.update(data, 1.0)  # the first one starts libraries
    torch.cuda.set_sync_debug_mode("error")
    try:
        agent.update(data, 1.0)
    finally:
        torch.cuda.set_sync_debug_mode("default")
