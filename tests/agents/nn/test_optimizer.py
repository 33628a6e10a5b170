import pytest
import torch

from lunar_offline.agents.nn.action_spec import ActionSpec
from lunar_offline.agents.nn.optimizer import Adam
from lunar_offline.agents.nn.policies import make_critic
from lunar_offline.seeding import Purpose, generator

LEARNING_RATE = 3e-4


@pytest.mark.parametrize("spec", [ActionSpec(True, 4), ActionSpec(False, 2)])
def test_adam_has_the_bits_of_torchs(spec: ActionSpec) -> None:
    rng = generator(1, Purpose.INITIALIZATION)
    flat = make_critic(spec, 8, (16, 16), 2, rng, layer_norm=True).members.flat
    before = flat.detach().clone()
    twin = torch.nn.Parameter(flat.detach().clone())
    reference = torch.optim.Adam([twin], lr=LEARNING_RATE, fused=True)
    own = Adam(flat, LEARNING_RATE)
    for step in range(5):
        rng = generator(step, Purpose.BATCH)
        gradient = torch.from_numpy(rng.standard_normal(len(twin), dtype="float32"))
        twin.grad = gradient
        reference.step()
        own.step(gradient)
    assert torch.equal(flat, twin)
    assert not torch.equal(flat, before)
