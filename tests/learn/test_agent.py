import pytest
import torch
from torch import tensor

from lunar_offline.learn.agent import Agent, AgentConfig, Batch
from lunar_offline.learn.policies import ActionSpec
from lunar_offline.seeding import Purpose, generator

SMALL = AgentConfig(hidden=(16, 16), n_proposals=3)
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
        assert restored.optimizers[name].param_groups[0]["params"][0] is parameter
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


def test_gradient_clip_bounds_the_critic_step() -> None:
    spec = SPECS["discrete"]
    clipped = AgentConfig(hidden=(16, 16), max_grad_norm=1e-3)
    agent = Agent(clipped, spec, 8, 1)
    agent.update(batch(spec), 1.0)
    gradient = agent.critic.members.flat.grad
    assert gradient is not None
    assert torch.linalg.vector_norm(gradient).item() == pytest.approx(1e-3, rel=1e-2)


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
