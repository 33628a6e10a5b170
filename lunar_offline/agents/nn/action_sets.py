"""Weighted actions: how a policy represents an expectation for losses and penalties."""

from typing import NamedTuple

from torch import Tensor


class Proposals(NamedTuple):
    """The actions at which a CQL penalty evaluates Q: a sampled or exact base measure.

    Attributes:
        actions: int64 [P, M] or float32 [P, M, A].
        log_weight_PM: logarithm of the weight of each action in a sum over the measure.
        first_of_policy: index of the first action that comes from the policy.
    """

    actions: Tensor
    log_weight_PM: Tensor
    first_of_policy: int = 0


class ActionSet(NamedTuple):
    """Weighted actions that represent an expectation over a policy.

    Discrete: all actions, weight = probability (exact). Continuous: N samples, weight 1/N.

    Attributes:
        actions: int64 [B, N] or float32 [B, N, A].
        log_prob_BN: log-probability or log-density of each action.
        weight_BN: sums to 1 over N.
    """

    actions: Tensor
    log_prob_BN: Tensor
    weight_BN: Tensor

    def proposals(self) -> Proposals:
        """Return the policy as a base measure."""
        return Proposals(self.actions, self.weight_BN.log())

    def split(self, b: int) -> tuple["ActionSet", "ActionSet"]:
        """Return the action sets of the first b states and of the other states."""
        return ActionSet(*(t[:b] for t in self)), ActionSet(*(t[b:] for t in self))
