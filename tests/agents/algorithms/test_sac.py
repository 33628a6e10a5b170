"""The part of an update that SAC and CQL-SAC share: seeds, state, targets, gradients, memory."""

import gc
from dataclasses import replace

import pytest
import torch
from plain_update import SMALL, SPECS, batch, check_gradients, trained

from lunar_offline.agents.algorithms.cql_sac import CQLSAC
from lunar_offline.agents.algorithms.sac import SAC, SACConfig
from lunar_offline.agents.learner import Batch
from lunar_offline.agents.nn.action_spec import ActionSpec
from lunar_offline.agents.registry import make_learner

PLAIN = SACConfig(hidden=(16, 16))


def test_same_seed_same_bits_other_seed_other_critics(spec: ActionSpec) -> None:
    one, twin, other = trained(spec, 1), trained(spec, 1), trained(spec, 2)
    for name, value in one.state_tensors().items():
        assert torch.equal(value, twin.state_tensors()[name]), name
    assert not torch.equal(one.critic.members.flat, other.critic.members.flat)
    fresh = [CQLSAC(SMALL, spec, 8, seed).critic.members.flat for seed in (1, 2, 3)]
    assert not torch.equal(fresh[0], fresh[1])
    assert not torch.equal(fresh[1], fresh[2])


def parameters(learner: CQLSAC) -> dict[str, torch.Tensor]:
    return {
        "policy": learner.policy.net.flat,
        "critic": learner.critic.members.flat,
        "temperature": learner.log_temperature,
    }


def test_a_restored_learner_goes_on_with_the_same_bits(spec: ActionSpec) -> None:
    learner, restored = trained(spec, 1), CQLSAC(SMALL, spec, 8, 1)
    held = parameters(restored)
    state = {name: value.clone() for name, value in learner.state_tensors().items()}
    restored.load_state_tensors(state, learner.update_step)
    assert set(restored.optimizers) == set(held)
    for name, parameter in parameters(restored).items():
        # the very parameter that its optimizer holds
        assert parameter is held[name]
        assert restored.optimizers[name].parameter is parameter
    for step in range(5, 8):
        for each in (learner, restored):
            each.update(batch(spec, counter=step))
    for name, value in learner.state_tensors().items():
        assert torch.equal(value, restored.state_tensors()[name]), name


def test_a_missing_tensor_is_an_error(spec: ActionSpec) -> None:
    state = trained(spec, 1).state_tensors()
    del state["critic.members.flat"]
    with pytest.raises(KeyError):
        CQLSAC(SMALL, spec, 8, 1).load_state_tensors(state, 5)


@pytest.mark.parametrize("online_episode", [None, 3])
def test_sac_has_no_penalty(spec: ActionSpec, online_episode: int | None) -> None:
    learner = make_learner("sac", PLAIN, spec, 8, 1)
    metrics = learner.update(batch(spec, n_offline=10), online_episode)
    assert not {"penalty_gap", "penalty_weight", "action_gap"} & set(metrics)
    assert torch.equal(metrics["critic_loss"], metrics["td_loss"])


def test_targets_bootstrap_unless_terminated(spec: ActionSpec) -> None:
    # rewards 0: a terminated transition's target is exactly 0, another's is not
    rows = batch(spec)._replace(rewards=torch.zeros(10), n_offline=0)
    ended = rows._replace(terminations=torch.ones(10).bool())
    ends = CQLSAC(SMALL, spec, 8, 1).update(ended)
    learner = CQLSAC(SMALL, spec, 8, 1)
    q_KB = learner.critic(rows.observations, rows.actions[:, None])[:, :, 0]
    expected = 0.5 * q_KB.square().mean(1).sum()
    assert ends["td_loss"].item() == pytest.approx(expected.item(), rel=1e-5)
    goes_on = learner.update(rows._replace(terminations=torch.zeros(10).bool()))
    assert abs(goes_on["td_loss"].item() - expected.item()) > 1e-4


@pytest.mark.parametrize("target_subset", [0, 2])
@pytest.mark.parametrize("layer_norm", [True, False])
def test_gradients_of_sac(spec: ActionSpec, target_subset: int, *, layer_norm: bool) -> None:
    config = replace(PLAIN, n_critics=3, target_subset=target_subset, layer_norm=layer_norm)
    learner = SAC(config, spec, 8, 1)
    for step in range(5):
        learner.update(batch(spec, counter=step))
    check_gradients(learner, batch(spec))


def test_gradients_of_a_random_subset(spec: ActionSpec) -> None:
    config = replace(SMALL, n_critics=5, target_subset=2, penalty_weight=2.0)
    learner = trained(spec, 1, config)
    check_gradients(learner, batch(spec))
    subsets = set()
    for learner.update_step in range(200):  # type: ignore[misc]
        q = torch.arange(5.0)[:, None, None]
        subsets.add(tuple(sorted(learner._subset(q).flatten().tolist())))
    assert len(subsets) == 10  # every pair of five


def test_gradient_clip_bounds_the_critic_step() -> None:
    learner = CQLSAC(replace(SMALL, max_grad_norm=1e-3), SPECS["discrete"], 8, 1)
    norms: list[float] = []
    learner.optimizers["critic"].step = lambda g: norms.append(torch.linalg.vector_norm(g).item())  # type: ignore[method-assign]
    learner.update(batch(SPECS["discrete"]))
    assert norms == [pytest.approx(1e-3, rel=1e-2)]


def test_target_critic_takes_no_gradient_and_follows(spec: ActionSpec) -> None:
    learner = CQLSAC(SMALL, spec, 8, 1)
    before = learner.target_critic.members.flat.clone()
    learner.update(batch(spec))
    source = learner.critic.members.flat.detach()
    expected = before + SMALL.tau * (source - before)
    assert torch.allclose(learner.target_critic.members.flat, expected)
    assert learner.target_critic.members.flat.grad is None


def test_updates_keep_no_memory(spec: ActionSpec) -> None:
    # a graph kept alive by its own tape once leaked 90 kB an update
    learner, rows = CQLSAC(SMALL, spec, 8, 1), batch(spec)
    learner.update(rows)
    gc.collect()
    gc.disable()
    try:
        before = sum(issubclass(type(o), torch.Tensor) for o in gc.get_objects())
        for _ in range(20):
            learner.update(rows)
        assert sum(issubclass(type(o), torch.Tensor) for o in gc.get_objects()) <= before + 5
    finally:
        gc.enable()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_an_update_on_a_gpu_never_waits_for_it(spec: ActionSpec) -> None:
    learner = CQLSAC(SMALL, spec, 8, 1, "cuda")
    data = Batch(*(v.cuda() if isinstance(v, torch.Tensor) else v for v in batch(spec)))
    learner.update(data)  # the first one starts libraries
    torch.cuda.set_sync_debug_mode("error")
    try:
        learner.update(data)
    finally:
        torch.cuda.set_sync_debug_mode("default")
