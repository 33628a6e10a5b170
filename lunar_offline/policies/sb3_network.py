"""The policy networks of Stable-Baselines3's `MlpPolicy`, built again from their weights.

A network is a stack of linear layers with one activation between them. What its last layer means
depends on the algorithm; see `Head`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lunar_offline.envs.action_range import to_unit_range
from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.policies.env_actions import PolicySpaces
from lunar_offline.transitions import Actions

LOG_SIGMA_MIN, LOG_SIGMA_MAX = -20.0, 2.0  # of SAC in Stable-Baselines3

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "Tanh": torch.tanh,
    "ReLU": functional.relu,
    "LeakyReLU": functional.leaky_relu,
    "ELU": functional.elu,
    "GELU": functional.gelu,
    "SiLU": functional.silu,
}


class Unsupported(Exception):  # noqa: N818
    """A policy that this module cannot build; the message says why."""


class Head(Enum):
    """How the numbers that a network returns become an action."""

    VALUES = "DQN: one value per action; the largest is taken"
    LOGITS = "PPO, A2C with discrete actions: softmax"
    GAUSSIAN = "PPO, A2C: the mean, in the env's range, clipped; the deviation is a parameter"
    TANH_GAUSSIAN = "SAC: mu and log sigma; tanh, in [-1, 1]"
    TANH = "TD3, DDPG: tanh, in [-1, 1]"


@dataclass(frozen=True)
class Network:
    """A policy network.

    Attributes:
        layers: weight [out, in] and bias [out] of each layer, float64. The last one is the head.
        activation: a key of ACTIVATIONS, applied after every layer but the last.
        head: see `Head`.
        log_sigma: of Head.GAUSSIAN, float64 [A]; else empty.
    """

    layers: tuple[tuple[Tensor, Tensor], ...]
    activation: str
    head: Head
    log_sigma: NDArray[np.float64]

    @property
    def discrete(self) -> bool:
        """Whether the actions are discrete."""
        return self.head in (Head.VALUES, Head.LOGITS)

    def spaces(self) -> PolicySpaces:
        """Return the spaces that the shapes of the layers imply."""
        outputs = self.layers[-1][0].shape[0]
        size = outputs // 2 if self.head == Head.TANH_GAUSSIAN else outputs
        return PolicySpaces(self.layers[0][0].shape[1], size, self.discrete)

    def outputs(self, observations: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the numbers [B, O] of the last layer at observations [B, D], in float64."""
        activation = ACTIVATIONS[self.activation]
        with torch.no_grad():
            x = torch.from_numpy(observations).double()
            for weight, bias in self.layers[:-1]:
                x = activation(functional.linear(x, weight, bias))
            return functional.linear(x, *self.layers[-1]).numpy()


@dataclass(frozen=True)
class NetworkAct:
    """Acts with a network; see `Act`.

    Attributes:
        network: the network.
        env: the env that it acts in.
        stochastic: sample the actions; else the mode. DQN, TD3 and DDPG have no distribution.
    """

    network: Network
    env: EnvInfo
    stochastic: bool

    def __call__(
        self, observations: NDArray[np.float32], rngs: Sequence[np.random.Generator]
    ) -> Actions:
        """Return actions for observations [B, D], computed in float64 and rounded once."""
        head, outputs = self.network.head, self.network.outputs(observations)
        if self.network.discrete:
            if self.samples:
                for row, rng in enumerate(rngs):
                    outputs[row] += rng.gumbel(size=outputs.shape[1])
            return outputs.argmax(1)
        log_sigma = self.network.log_sigma
        if head == Head.TANH_GAUSSIAN:
            outputs, raw = np.split(outputs, 2, axis=1)
            log_sigma = np.clip(raw, LOG_SIGMA_MIN, LOG_SIGMA_MAX)
        if self.samples:
            noise = np.zeros_like(outputs)
            for row, rng in enumerate(rngs):
                noise[row] = rng.standard_normal(outputs.shape[1])
            outputs = outputs + np.exp(log_sigma) * noise
        if head == Head.GAUSSIAN:
            assert isinstance(self.env.action_space, spaces.Box)
            return to_unit_range(self.env.action_space, outputs)
        return np.tanh(outputs).astype(np.float32)

    @property
    def samples(self) -> bool:
        """Whether actions are drawn at random."""
        return self.stochastic and self.network.head not in (Head.VALUES, Head.TANH)


def build_network(algorithm: str, weights: Mapping[str, Tensor], activation: str) -> Network:
    """Build the network of a policy from its weights.

    Args:
        algorithm: `PPO`, `A2C`, `SAC`, `TD3`, `DDPG` or `DQN`.
        weights: all tensors of the policy, by name.
        activation: a key of ACTIVATIONS.

    Raises:
        Unsupported: the weights are not those of a plain stack of layers.
    """
    head, ignored, log_sigma = Head.TANH, ("actor_target.", "critic.", "critic_target."), None
    rest = dict(weights)
    if algorithm in ("PPO", "A2C"):
        ignored = ("mlp_extractor.value_net.", "value_net.")
        log_sigma = rest.pop("log_std", None)
        head = Head.LOGITS if log_sigma is None else Head.GAUSSIAN
        layers = _stack(rest, "mlp_extractor.policy_net.")
        layers.append(_layer(rest, "action_net"))
    elif algorithm == "SAC":
        head, layers = Head.TANH_GAUSSIAN, _stack(rest, "actor.latent_pi.")
        mu, sigma = _layer(rest, "actor.mu"), _layer(rest, "actor.log_std")
        if mu[0].shape != sigma[0].shape or mu[1].shape != sigma[1].shape:
            raise Unsupported("actor.log_std has another shape than actor.mu")
        layers.append((torch.cat([mu[0], sigma[0]]), torch.cat([mu[1], sigma[1]])))
    elif algorithm == "DQN":
        head, ignored = Head.VALUES, ("q_net_target.",)
        layers = _stack(rest, "q_net.q_net.")
    else:
        layers = _stack(rest, "actor.mu.")
    for name in rest:
        if not name.startswith(ignored):
            raise Unsupported(f"it has {name[:60]!r}")
    _check_chain(layers)
    numbers = np.zeros(0) if log_sigma is None else log_sigma.double().numpy()
    if log_sigma is not None and numbers.shape != layers[-1][1].shape:
        raise Unsupported("log_std has another shape than the actions")
    return Network(tuple(layers), activation, head, numbers)


def _layer(rest: dict[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
    try:
        return rest.pop(f"{name}.weight").double(), rest.pop(f"{name}.bias").double()
    except KeyError:
        raise Unsupported(f"it has no linear layer {name}") from None


def _stack(rest: dict[str, Tensor], prefix: str) -> list[tuple[Tensor, Tensor]]:
    """Take the layers `prefix`0, `prefix`2, ...: between two of them is an activation."""
    layers: list[tuple[Tensor, Tensor]] = []
    while f"{prefix}{2 * len(layers)}.weight" in rest:
        layers.append(_layer(rest, f"{prefix}{2 * len(layers)}"))
    return layers


def _check_chain(layers: Sequence[tuple[Tensor, Tensor]]) -> None:
    if not layers:
        raise Unsupported("it has no layers")
    width = None
    for weight, bias in layers:
        if weight.ndim != 2 or 0 in weight.shape or bias.shape != weight.shape[:1]:
            raise Unsupported("a layer is not linear")
        if width not in (None, weight.shape[1]):
            raise Unsupported("the widths of its layers do not match")
        width = weight.shape[0]
