import numpy as np
import pytest
import torch

from lunar_offline.learn.networks import ContinuousCritic, DiscreteCritic, Ensemble, Layout
from lunar_offline.seeding import Purpose, generator


def ensemble(*, members: int, layer_norm: bool, outputs: int = 3) -> Ensemble:
    layout = Layout(members, 5, (32, 16), outputs, layer_norm)
    return Ensemble(layout, generator(0, Purpose.INITIALISATION))


@pytest.mark.parametrize("members", [1, 2, 5])
@pytest.mark.parametrize("layer_norm", [True, False])
def test_written_out_passes_are_the_plain_ones(members: int, layer_norm: bool) -> None:
    net = ensemble(members=members, layer_norm=layer_norm)
    rng = generator(1, Purpose.BATCH)
    x = torch.from_numpy(rng.standard_normal((64, 5), dtype=np.float32)).requires_grad_()
    weights = torch.from_numpy(rng.standard_normal((members, 64, 3), dtype=np.float32))
    results = []
    for forward in (net.forward, net.plain):
        out = forward(x)
        results.append((out, *torch.autograd.grad((out * weights).sum(), [x, net.flat])))
    for fast, plain in zip(*results, strict=True):
        assert torch.linalg.vector_norm(fast - plain) <= 1e-5 * torch.linalg.vector_norm(plain)


def test_frozen_gives_no_parameter_gradient() -> None:
    net = ensemble(members=2, layer_norm=True)
    x = torch.ones(4, 5, requires_grad=True)
    out = net(x, frozen=True).sum()
    assert torch.autograd.grad(out, [x], retain_graph=True)[0].abs().sum() > 0
    assert torch.autograd.grad(out, [net.flat], allow_unused=True)[0] is None


def test_members_differ_and_seeds_matter() -> None:
    # a critic constructor that reseeds would make all of these equal: a known bug
    x = torch.ones(1, 5)
    one = ensemble(members=2, layer_norm=False)(x)
    layout = Layout(2, 5, (32, 16), 3, False)
    other = Ensemble(layout, generator(1, Purpose.INITIALISATION))(x)
    assert not torch.allclose(one[0], one[1])
    assert not torch.allclose(one, other)


def test_initial_values_have_torchs_range() -> None:
    layers = Layout(1, 5, (32, 16), 3, True).views(ensemble(members=1, layer_norm=True).flat)[0]
    for layer, fan_in in zip(layers, (5, 32, 16), strict=True):
        for kind in ("weight", "bias"):
            assert layer[kind].abs().max() <= fan_in**-0.5
        assert layer["weight"].std().item() == pytest.approx((3 * fan_in) ** -0.5, rel=0.25)
    assert (layers[0]["gain"] == 1).all()
    assert (layers[0]["shift"] == 0).all()


def test_a_policy_has_the_names_of_a_sequential() -> None:
    net = ensemble(members=1, layer_norm=False)
    twin = torch.nn.Sequential(
        torch.nn.utils.skip_init(torch.nn.Linear, 5, 32),
        torch.nn.ReLU(),
        torch.nn.utils.skip_init(torch.nn.Linear, 32, 16),
        torch.nn.ReLU(),
        torch.nn.utils.skip_init(torch.nn.Linear, 16, 3),
    )
    names = {name.removeprefix("net."): v for name, v in net.named_tensors().items()}
    twin.load_state_dict(names)
    x = torch.linspace(-1, 1, 20).view(4, 5)
    assert torch.allclose(twin(x), net(x)[0], atol=1e-6)


def test_a_discrete_critic_gathers() -> None:
    critic = DiscreteCritic(5, 4, (8,), 2, generator(0, Purpose.INITIALISATION), layer_norm=True)
    states = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    everything = critic.members(states)
    actions = torch.tensor([0, 3, 1, 2, 2, 0])
    q_KB, q_KPM = critic.with_proposals(states, actions, torch.arange(4).expand(3, -1))
    assert torch.equal(q_KB, everything[:, torch.arange(6), actions])
    assert torch.equal(q_KPM, everything[:, :3])
    assert torch.equal(critic(states, actions[:, None])[:, :, 0], q_KB)


@pytest.mark.parametrize("p", [0, 3])
def test_a_continuous_critic_scores_rows_alone(p: int) -> None:
    critic = ContinuousCritic(5, 2, (8,), 2, generator(0, Purpose.INITIALISATION), layer_norm=True)
    torch_rng = torch.Generator().manual_seed(0)
    states = torch.randn(6, 5, generator=torch_rng)
    actions = torch.rand(6, 2, generator=torch_rng)
    proposals = torch.rand(p, 4, 2, generator=torch_rng)
    q_KB, q_KPM = critic.with_proposals(states, actions, proposals)
    assert q_KPM.shape == (2, p, 4)
    assert torch.allclose(critic(states, actions[:, None])[:, :, 0], q_KB, atol=1e-6)
    if p:
        assert torch.allclose(critic(states[:p], proposals), q_KPM, atol=1e-6)
