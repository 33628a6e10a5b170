import numpy as np
import pytest
import torch

from lunar_offline.agents.nn import networks
from lunar_offline.agents.nn.critics import ContinuousCritic, DiscreteCritic
from lunar_offline.agents.nn.networks import Ensemble, Layout
from lunar_offline.seeding import Purpose, generator


def ensemble(*, members: int, layer_norm: bool, outputs: int = 3) -> Ensemble:
    layout = Layout(members, 5, (32, 16), outputs, layer_norm)
    return Ensemble(layout, generator(0, Purpose.INITIALIZATION))


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float(torch.linalg.vector_norm(found - expected) / torch.linalg.vector_norm(expected))


@pytest.mark.parametrize("members", [1, 2, 5])
@pytest.mark.parametrize("layer_norm", [True, False])
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize(
    "rows", [(0, 7), (0, 64), (0, 130), (3, 60), (40, 100), (64, 128), (66, 130)]
)
@pytest.mark.parametrize("hidden", [(32, 16), (32,)])
def test_written_out_passes_are_autograds(
    monkeypatch: pytest.MonkeyPatch,
    members: int,
    layer_norm: bool,
    outputs: int,
    rows: tuple[int, int],
    hidden: tuple[int, ...],
) -> None:
    monkeypatch.setattr(networks, "ROW_BLOCK", 64)  # 130 rows are three blocks, the last of two
    start, stop = rows
    layout = Layout(members, 5, hidden, outputs, layer_norm)
    net = Ensemble(layout, generator(0, Purpose.INITIALIZATION))
    rng = generator(1, Purpose.BATCH)
    x = torch.from_numpy(rng.standard_normal((130, 5), dtype=np.float32)).requires_grad_()
    g = torch.from_numpy(rng.standard_normal((members, stop - start, outputs), dtype=np.float32))
    out = net.plain(x)
    inputs, flat = torch.autograd.grad((out[:, start:stop] * g).sum(), [x, net.flat])
    with torch.no_grad():
        found, tape = net.run(x)
        assert relative(found, out) < 1e-5
        assert relative(net.backward(tape, g, of="parameters", start=start), flat) < 1e-5
        assert relative(net.backward(tape, g, of="inputs", start=start), inputs[start:stop]) < 1e-5


def test_views_follow_the_parameter_to_new_storage() -> None:
    net = ensemble(members=2, layer_norm=True)
    x = torch.ones(3, 5)
    with torch.no_grad():
        before, _ = net.run(x)
        net.flat.data = net.flat.detach() * 2
        assert torch.allclose(net.run(x)[0], net.plain(x), atol=1e-5)
        assert not torch.allclose(before, net.plain(x))


def test_members_differ_and_seeds_matter() -> None:
    # a critic constructor that reseeds would make all of these equal: a known bug
    x = torch.ones(1, 5)
    one = ensemble(members=2, layer_norm=False)(x)
    layout = Layout(2, 5, (32, 16), 3, False)
    other = Ensemble(layout, generator(1, Purpose.INITIALIZATION))(x)
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


CRITICS = {"discrete": DiscreteCritic, "continuous": ContinuousCritic}


def problem(kind: str, p: int):
    """A critic with the states, actions, proposals and policy actions of a batch of six."""
    rng = generator(3, Purpose.BATCH)

    def actions(*shape: int) -> torch.Tensor:
        if kind == "discrete":
            return torch.from_numpy(rng.integers(4, size=shape))
        return torch.from_numpy(rng.random((*shape, 4), dtype=np.float32) * 2 - 1)

    critic = CRITICS[kind](5, 4, (8, 8), 2, generator(0, Purpose.INITIALIZATION), layer_norm=True)
    states = torch.from_numpy(rng.standard_normal((6, 5), dtype=np.float32))
    return critic, states, actions(6), actions(p, 3) if p else None, actions(6, 2)


@pytest.mark.parametrize("p", [0, 4])
@pytest.mark.parametrize("kind", list(CRITICS))
def test_a_critic_evaluates_every_action_as_forward_does(kind: str, p: int) -> None:
    critic, states, actions, proposals, chosen = problem(kind, p)
    with torch.no_grad():
        values = critic.evaluate(states, actions, proposals, chosen)
        assert torch.allclose(values.q_KB, critic(states, actions[:, None])[:, :, 0], atol=1e-6)
        assert torch.allclose(values.q_KBN, critic(states, chosen), atol=1e-6)
        assert torch.allclose(critic.run(states, chosen)[0], critic(states, chosen), atol=1e-6)
        if proposals is None:
            assert values.q_KPM is None
        else:
            assert values.q_KPM is not None
            assert torch.allclose(values.q_KPM, critic(states[:p], proposals), atol=1e-6)


@pytest.mark.parametrize("p", [0, 4])
@pytest.mark.parametrize("kind", list(CRITICS))
def test_a_critics_gradients_are_autograds(kind: str, p: int) -> None:
    critic, states, actions, proposals, chosen = problem(kind, p)
    if kind == "continuous":
        chosen.requires_grad_()
    rng = generator(4, Purpose.BATCH)

    def normal(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))

    g_KB, g_KPM, g_KBN = normal(2, 6), normal(2, p, 3) if p else None, normal(2, 6, 2)
    loss = (critic(states, actions[:, None])[:, :, 0] * g_KB).sum()
    if proposals is not None:
        loss = loss + (critic(states[:p], proposals) * g_KPM).sum()
    (expected,) = torch.autograd.grad(loss, [critic.members.flat])
    with torch.no_grad():
        values = critic.evaluate(states, actions, proposals, chosen)
        found = critic.parameter_gradient(values, actions, proposals, g_KB, g_KPM)
        assert relative(found, expected) < 1e-5
        of_actions = critic.action_gradient(values, g_KBN)
    if kind == "discrete":
        assert of_actions is None
    else:
        (expected,) = torch.autograd.grad((critic(states, chosen) * g_KBN).sum(), [chosen])
        assert relative(of_actions, expected) < 1e-5
