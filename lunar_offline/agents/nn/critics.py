"""Ensembles of state-action values, for discrete and continuous actions."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from lunar_offline.agents.nn.networks import Ensemble, Layout, Tape


class Values(NamedTuple):
    """The values that one update needs, all from one forward pass of the critics.

    Attributes:
        q_KB: values of the batch's actions.
        q_KPM: values of the penalty's proposals at the first P states; None without a penalty.
        q_KBN: values of the policy's actions.
        tape: the record of the forward pass; see `Ensemble.run`.
    """

    q_KB: Tensor
    q_KPM: Tensor | None
    q_KBN: Tensor
    tape: Tape


class DiscreteCritic(nn.Module):
    """K critics with one output per action: Q_k(s, a) for every a in one pass."""

    def __init__(
        self,
        observation_size: int,
        n_actions: int,
        hidden: Sequence[int],
        n_critics: int,
        rng: np.random.Generator,
        *,
        layer_norm: bool,
    ) -> None:
        super().__init__()
        layout = Layout(n_critics, observation_size, tuple(hidden), n_actions, layer_norm)
        self.members = Ensemble(layout, rng)

    def forward(self, observations_BD: Tensor, actions_BN: Tensor) -> Tensor:
        """Return q_KBN for action indices actions_BN (int64)."""
        q_KBA = self.members(observations_BD)
        return q_KBA.gather(2, actions_BN.expand(len(q_KBA), -1, -1))

    def run(self, observations_BD: Tensor, actions_BN: Tensor) -> tuple[Tensor, Tape]:
        """Return q_KBN and the tape; call in no_grad."""
        q_KBA, tape = self.members.run(observations_BD)
        return q_KBA.gather(2, actions_BN.expand(len(q_KBA), -1, -1)), tape

    def evaluate(
        self,
        observations_BD: Tensor,
        actions_B: Tensor,
        proposals_PM: Tensor | None,
        policy_actions_BN: Tensor,
    ) -> Values:
        """Return all values that an update needs, from one pass; call in no_grad."""
        q_KBA, tape = self.members.run(observations_BD)
        k = len(q_KBA)
        q_KB = q_KBA.gather(2, actions_B.view(1, -1, 1).expand(k, -1, -1)).squeeze(2)
        q_KPM = None
        if proposals_PM is not None:
            q_KPM = q_KBA[:, : len(proposals_PM)].gather(2, proposals_PM.expand(k, -1, -1))
        return Values(q_KB, q_KPM, q_KBA.gather(2, policy_actions_BN.expand(k, -1, -1)), tape)

    def action_gradient(self, values: Values, g_KBN: Tensor) -> None:
        """Return None: an action index has no gradient."""
        return

    def parameter_gradient(
        self,
        values: Values,
        actions_B: Tensor,
        proposals_PM: Tensor | None,
        g_KB: Tensor,
        g_KPM: Tensor | None,
    ) -> Tensor:
        """Return the gradient of `members.flat` from those of q_KB and q_KPM."""
        k = len(g_KB)
        g_KBA = g_KB.new_zeros(*g_KB.shape, self.members.layout.outputs)
        g_KBA.scatter_(2, actions_B.view(1, -1, 1).expand(k, -1, -1), g_KB.unsqueeze(2))
        if proposals_PM is not None and g_KPM is not None:
            g_KBA[:, : len(proposals_PM)].scatter_add_(2, proposals_PM.expand(k, -1, -1), g_KPM)
        return self.members.backward(values.tape, g_KBA, of="parameters")


class ContinuousCritic(nn.Module):
    """K critics Q_k(s, a) of concatenated observations and actions."""

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        hidden: Sequence[int],
        n_critics: int,
        rng: np.random.Generator,
        *,
        layer_norm: bool,
    ) -> None:
        super().__init__()
        self.observation_size = observation_size
        inputs = observation_size + action_size
        self.members = Ensemble(Layout(n_critics, inputs, tuple(hidden), 1, layer_norm), rng)

    def forward(self, observations_BD: Tensor, actions_BNA: Tensor) -> Tensor:
        """Return q_KBN."""
        return self.members(_pairs(observations_BD, actions_BNA)).view(-1, *actions_BNA.shape[:2])

    def run(self, observations_BD: Tensor, actions_BNA: Tensor) -> tuple[Tensor, Tape]:
        """Return q_KBN and the tape; call in no_grad."""
        q_KR1, tape = self.members.run(_pairs(observations_BD, actions_BNA))
        return q_KR1.view(-1, *actions_BNA.shape[:2]), tape

    def evaluate(
        self,
        observations_BD: Tensor,
        actions_BA: Tensor,
        proposals_PMA: Tensor | None,
        policy_actions_BNA: Tensor,
    ) -> Values:
        """Return all values that an update needs, from one pass; call in no_grad.

        The rows of the pass: B of the data, P * M of the proposals, B * N of the policy's actions.
        """
        rows = [torch.cat([observations_BD, actions_BA], dim=1)]
        if proposals_PMA is not None:
            rows.append(_pairs(observations_BD[: len(proposals_PMA)], proposals_PMA))
        rows.append(_pairs(observations_BD, policy_actions_BNA))
        q_KR1, tape = self.members.run(torch.cat(rows))
        q_KB, *q_KPM, q_KBN = q_KR1.squeeze(2).split([len(r) for r in rows], dim=1)
        return Values(
            q_KB,
            q_KPM[0].unflatten(1, proposals_PMA.shape[:2]) if proposals_PMA is not None else None,
            q_KBN.unflatten(1, policy_actions_BNA.shape[:2]),
            tape,
        )

    def action_gradient(self, values: Values, g_KBN: Tensor) -> Tensor:
        """Return the gradient with respect to the policy's actions, [B, N, A], from `g_KBN`."""
        k, b, n = g_KBN.shape
        start = values.q_KB.shape[1]
        if values.q_KPM is not None:
            start += values.q_KPM.shape[1] * values.q_KPM.shape[2]
        g_RI = self.members.backward(
            values.tape, g_KBN.reshape(k, b * n, 1), of="inputs", start=start
        )
        return g_RI[:, self.observation_size :].view(b, n, -1)

    def parameter_gradient(
        self,
        values: Values,
        actions_BA: Tensor,
        proposals_PMA: Tensor | None,
        g_KB: Tensor,
        g_KPM: Tensor | None,
    ) -> Tensor:
        """Return the gradient of `members.flat` from those of q_KB and q_KPM."""
        g_KR = g_KB if g_KPM is None else torch.cat([g_KB, g_KPM.flatten(1)], dim=1)
        return self.members.backward(values.tape, g_KR.unsqueeze(2), of="parameters")


def _pairs(observations_BD: Tensor, actions_BNA: Tensor) -> Tensor:
    """Concatenate every state with each of its actions, [B * N, D + A]."""
    b, n, _ = actions_BNA.shape
    states_BND = observations_BD.unsqueeze(1).expand(-1, n, -1)
    return torch.cat([states_BND, actions_BNA], dim=2).view(b * n, -1)
