"""Policies for both action spaces with one interface, the action set.

Learners leave the difference between discrete and continuous actions to this file.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor, nn

from lunar_offline.agents.nn.action_sets import ActionSet, Proposals
from lunar_offline.agents.nn.action_spec import ActionSpec
from lunar_offline.agents.nn.critics import ContinuousCritic, DiscreteCritic
from lunar_offline.agents.nn.networks import Ensemble, Layout

LOG_SIGMA_MIN, LOG_SIGMA_MAX = -5.0, 2.0
ACTION_LIMIT = 1.0 - 1e-5

Array = NDArray[np.float32]
Output = NDArray[np.float32] | NDArray[np.float64]


class CategoricalPolicy(nn.Module):
    """softmax(f(s)) over A actions; expectations are exact, so updates draw no noise."""

    noise_size = 0

    def __init__(
        self, observation_size: int, n_actions: int, hidden: Sequence[int], rng: np.random.Generator
    ) -> None:
        super().__init__()
        self.n_actions = n_actions
        self.net = Ensemble(Layout(1, observation_size, tuple(hidden), n_actions, False), rng)

    def forward(self, observations_BD: Tensor) -> Tensor:
        """Return logits_BA."""
        return self.net(observations_BD)[0]

    def action_set(self, logits_BA: Tensor, noise_BNA: Tensor) -> ActionSet:
        """Return all A actions with their probabilities; `noise_BNA` is not used."""
        log_prob_BA = functional.log_softmax(logits_BA, dim=1)
        return ActionSet(self._all(len(logits_BA), logits_BA), log_prob_BA, log_prob_BA.exp())

    def output_gradient(
        self,
        logits_BA: Tensor,
        noise_BNA: Tensor,
        actions_BA: Tensor,
        g_actions_BNA: Tensor | None,
        g_log_prob_BA: Tensor,
        g_weight_BA: Tensor,
    ) -> Tensor:
        """Return the gradient with respect to the logits from those of the action set's tensors.

        With w = exp(log pi) and g = g_log_prob + g_weight * w, it is g - w * sum(g).
        """
        weight_BA = functional.softmax(logits_BA, dim=1)
        g_BA = torch.addcmul(g_log_prob_BA, g_weight_BA, weight_BA)
        return g_BA - weight_BA * g_BA.sum(1, keepdim=True)

    def log_prob(self, logits_BA: Tensor, actions_B: Tensor) -> Tensor:
        """Return log pi(a) of actions [B]."""
        log_prob_BA = functional.log_softmax(logits_BA, dim=1)
        return log_prob_BA.gather(1, actions_B.unsqueeze(1)).squeeze(1)

    def log_prob_and_gradient(self, logits_BA: Tensor, actions_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return log pi(a) of actions [B] and its gradient in the logits, onehot(a) - pi."""
        log_prob_BA = functional.log_softmax(logits_BA, dim=1)
        gradient_BA = -log_prob_BA.exp()
        gradient_BA.scatter_add_(1, actions_B.unsqueeze(1), torch.ones_like(gradient_BA[:, :1]))
        return log_prob_BA.gather(1, actions_B.unsqueeze(1)).squeeze(1), gradient_BA

    def proposals(
        self, logits_PA: Tensor, next_logits_PA: Tensor, uniform_PNA: Tensor, noise_PNA: Tensor
    ) -> Proposals:
        """Return all A actions with log weight 0, the exact counting measure."""
        return Proposals(self._all(len(logits_PA), logits_PA), torch.zeros_like(logits_PA))

    def _all(self, rows: int, like: Tensor) -> Tensor:
        return torch.arange(self.n_actions, device=like.device).expand(rows, -1)

    def sample(self, logits_BA: Output, rngs: Sequence[np.random.Generator]) -> NDArray[np.int64]:
        """Draw one action per row with that row's generator, by the Gumbel-max trick."""
        gumbel = np.zeros_like(logits_BA)
        for row, rng in enumerate(rngs):
            gumbel[row] = rng.gumbel(size=self.n_actions)
        return (logits_BA + gumbel).argmax(1)

    def mode(self, logits_BA: Output) -> NDArray[np.int64]:
        """Return the most probable action of each row."""
        return logits_BA.argmax(1)


class TanhGaussianPolicy(nn.Module):
    """a = tanh(mu(s) + sigma(s) * noise), in [-1, 1]^A (the paper's Eq. 10)."""

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        hidden: Sequence[int],
        rng: np.random.Generator,
    ) -> None:
        super().__init__()
        self.noise_size = action_size
        self.net = Ensemble(Layout(1, observation_size, tuple(hidden), 2 * action_size, False), rng)

    def forward(self, observations_BD: Tensor) -> Tensor:
        """Return [mu, log sigma] as one tensor [B, 2A]."""
        return self.net(observations_BD)[0]

    def fix_sigma(self, sigma: float) -> None:
        """Make sigma constant; it stays so while losses depend on the action tanh(mu) alone."""
        (layers,) = self.net.layout.views(self.net.flat.detach())
        layers[-1]["weight"][self.noise_size :] = 0.0
        layers[-1]["bias"][self.noise_size :] = math.log(sigma)

    def action_set(self, parameters_B2A: Tensor, noise_BNA: Tensor) -> ActionSet:
        """Return N reparameterized samples with weight 1/N."""
        mu, log_sigma = _mu_log_sigma(parameters_B2A.unsqueeze(1))
        before_BNA = mu + log_sigma.exp() * noise_BNA
        log_prob_BN = tanh_gaussian_log_prob(before_BNA, noise_BNA, log_sigma)
        weight_BN = torch.full_like(log_prob_BN, 1.0 / noise_BNA.shape[1])
        return ActionSet(before_BNA.tanh(), log_prob_BN, weight_BN)

    def output_gradient(
        self,
        parameters_B2A: Tensor,
        noise_BNA: Tensor,
        actions_BNA: Tensor,
        g_actions_BNA: Tensor | None,
        g_log_prob_BN: Tensor,
        g_weight_BN: Tensor,
    ) -> Tensor:
        """Return the gradient with respect to the policy's output from those of its action set.

        With a = tanh(u), u = mu + sigma * noise: da/du = 1 - a^2 and d log pi/du = 2a; the weights
        are constant.
        """
        assert g_actions_BNA is not None
        raw = parameters_B2A.unsqueeze(1).chunk(2, dim=2)[1]
        log_sigma = raw.clamp(LOG_SIGMA_MIN, LOG_SIGMA_MAX)
        g_log_prob = g_log_prob_BN.unsqueeze(2)
        g_mu = g_actions_BNA * (1.0 - actions_BNA.square()) + 2.0 * g_log_prob * actions_BNA
        g_log_sigma = (g_mu * log_sigma.exp() * noise_BNA - g_log_prob) * (raw == log_sigma)
        return torch.cat([g_mu, g_log_sigma], dim=2).sum(1)

    def log_prob(self, parameters_B2A: Tensor, actions_BA: Tensor) -> Tensor:
        """Return log pi(a) of actions [B, A]; see `log_prob_and_gradient`."""
        return self.log_prob_and_gradient(parameters_B2A, actions_BA)[0]

    def log_prob_and_gradient(
        self, parameters_B2A: Tensor, actions_BA: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return log pi(a) of actions [B, A] and its gradient with respect to the policy's output.

        Actions are first clipped to +-ACTION_LIMIT, where the inverse of tanh is finite.
        """
        mu, raw = parameters_B2A.chunk(2, dim=1)
        log_sigma = raw.clamp(LOG_SIGMA_MIN, LOG_SIGMA_MAX)
        before_tanh = actions_BA.clamp(-ACTION_LIMIT, ACTION_LIMIT).atanh()
        sigma = log_sigma.exp()
        noise = (before_tanh - mu) / sigma
        log_prob_B = tanh_gaussian_log_prob(before_tanh, noise, log_sigma)
        g_log_sigma = (noise.square() - 1.0) * (raw == log_sigma)
        return log_prob_B, torch.cat([noise / sigma, g_log_sigma], dim=1)

    def proposals(
        self,
        parameters_P: Tensor,
        next_parameters_P: Tensor,
        uniform_PNA: Tensor,
        noise_PNA: Tensor,
    ) -> Proposals:
        """Return N uniform actions, N from pi(.|s) and N from pi(.|s'), to be evaluated at s.

        The importance weights are 1 / density over M = 3N samples (CQL paper, appendix F).

        Args:
            parameters_P: policy output at s, [P, 2A].
            next_parameters_P: policy output at s', [P, 2A].
            uniform_PNA: uniform on [0, 1).
            noise_PNA: standard normal, [P, 2N, A]: first N for s, then N for s'.
        """
        n, a = uniform_PNA.shape[1:]
        uniform_log_density = torch.full_like(uniform_PNA[..., 0], -a * math.log(2.0))
        here = self.action_set(parameters_P, noise_PNA[:, :n])
        there = self.action_set(next_parameters_P, noise_PNA[:, n:])
        actions = torch.cat([2.0 * uniform_PNA - 1.0, here.actions, there.actions], dim=1)
        log_density = torch.cat([uniform_log_density, here.log_prob_BN, there.log_prob_BN], dim=1)
        return Proposals(actions, -log_density - math.log(3 * n), first_of_policy=n)

    def sample(self, parameters_B2A: Output, rngs: Sequence[np.random.Generator]) -> Array:
        """Draw one action per row with that row's generator."""
        a = self.noise_size
        mu = parameters_B2A[:, :a]
        sigma = np.exp(np.clip(parameters_B2A[:, a:], LOG_SIGMA_MIN, LOG_SIGMA_MAX))
        noise = np.zeros_like(mu)
        for row, rng in enumerate(rngs):
            noise[row] = rng.standard_normal(a, dtype=np.float32)
        return np.tanh(mu + sigma * noise).astype(np.float32)

    def mode(self, parameters_B2A: Output) -> Array:
        """Return tanh(mu)."""
        return np.tanh(parameters_B2A[:, : self.noise_size]).astype(np.float32)


def _mu_log_sigma(parameters: Tensor) -> tuple[Tensor, Tensor]:
    mu, log_sigma = parameters.chunk(2, dim=-1)
    return mu, log_sigma.clamp(LOG_SIGMA_MIN, LOG_SIGMA_MAX)


Policy = CategoricalPolicy | TanhGaussianPolicy
Critic = DiscreteCritic | ContinuousCritic


def tanh_gaussian_log_prob(before_tanh: Tensor, noise: Tensor, log_sigma: Tensor) -> Tensor:
    """Return log pi(a) of a = tanh(u), u = mu + sigma * noise, summed over the last axis.

    log(1 - tanh(u)^2) is computed as 2 (log 2 - log(e^u + e^-u)), which never overflows (Haarnoja
    et al. 2018, appendix C, in stable form).
    """
    constant = before_tanh.shape[-1] * (0.5 * math.log(2 * math.pi) + 2.0 * math.log(2.0))
    log_cosh = torch.logaddexp(before_tanh, -before_tanh)  # minus log 2
    return (2.0 * log_cosh - 0.5 * noise.square() - log_sigma).sum(-1) - constant


def make_policy(
    spec: ActionSpec, observation_size: int, hidden: Sequence[int], rng: np.random.Generator
) -> Policy:
    """Build the policy that fits the action space."""
    kind = CategoricalPolicy if spec.discrete else TanhGaussianPolicy
    return kind(observation_size, spec.size, hidden, rng)


def make_critic(
    spec: ActionSpec,
    observation_size: int,
    hidden: Sequence[int],
    n_critics: int,
    rng: np.random.Generator,
    *,
    layer_norm: bool,
) -> Critic:
    """Build the critic ensemble that fits the action space."""
    kind = DiscreteCritic if spec.discrete else ContinuousCritic
    return kind(observation_size, spec.size, hidden, n_critics, rng, layer_norm=layer_norm)


def target_entropy(spec: ActionSpec, fraction: float, per_dimension: float) -> float:
    """Return fraction * ln A (discrete, must be in (0, ln A)), or per_dimension * A (continuous).

    A discrete entropy is never negative. A target of -A, as in the paper's code, cannot be reached
    and always drives the temperature to 0.
    """
    return fraction * math.log(spec.size) if spec.discrete else per_dimension * spec.size


def act(
    policy: Policy, observations: Array, rngs: Sequence[np.random.Generator] | None
) -> NDArray[Any]:
    """Choose actions for a batch of observations, in the precision of the policy's parameters.

    Args:
        policy: the policy.
        observations: float32 [B, D].
        rngs: one generator per live row (further rows are padding), or None for the deterministic
            action: argmax, or tanh(mu).

    Returns:
        int64 [B] or float32 [B, A].
    """
    with torch.no_grad():
        output_1BO, _ = policy.net.run(torch.from_numpy(observations).to(policy.net.flat))
    # for so few numbers, NumPy takes half the time of torch
    output = output_1BO[0].cpu().numpy()
    return policy.mode(output) if rngs is None else policy.sample(output, rngs)
