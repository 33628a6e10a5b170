"""The average of a policy over its updates, which is the policy that is evaluated and saved."""

from __future__ import annotations

import copy

from lunar_offline.agents.lazy_imports import losses, policies, torch


class PolicyAverage:
    """An exponential average of a policy's parameters (Polyak and Juditsky 1992), without bias.

    After n updates, the policy of update i has the weight (1 - tau)^(n - i), divided by the sum of
    these weights, as Adam corrects its moments (Kingma and Ba 2015, section 3). The initial
    parameters have no weight; without the division they would keep (1 - tau)^n, which is 67% after
    400 updates at tau 0.001.

    Args:
        policy: the policy to average.
        tau: share of the new parameters in each update in the long run; 1 is no average.

    Attributes:
        policy: the average; with tau 1, the given policy itself.
    """

    def __init__(self, policy: policies.Policy, tau: float) -> None:
        self._source, self._tau = policy, tau
        self.policy: policies.Policy = policy
        if tau < 1.0:
            self.policy = copy.deepcopy(policy).requires_grad_(False)

    def step(self, updates: int) -> None:
        """Include the policy after `updates` updates, 1 for the first."""
        if self.policy is not self._source:
            share = self._tau / (1.0 - (1.0 - self._tau) ** updates)
            losses.lerp_(self.policy.net.flat, self._source.net.flat, share)

    def modules(self) -> dict[str, torch.nn.Module]:
        """Return the modules that a checkpoint must hold in addition to the policy."""
        return {"averaged_policy": self.policy} if self.policy is not self._source else {}
