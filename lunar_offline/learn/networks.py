"""Multilayer perceptrons and critic ensembles, with counted initialisation."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Linear(nn.Module):
    """Affine map with torch's own default distribution, U(-1/sqrt(in), 1/sqrt(in)), but counted.

    `torch.nn.Linear` would draw from the global generator.
    """

    def __init__(self, inputs: int, outputs: int, rng: np.random.Generator) -> None:
        super().__init__()
        bound = inputs**-0.5

        def draw(*shape: int) -> nn.Parameter:
            values = rng.random(shape, dtype=np.float32) * np.float32(2 * bound)
            return nn.Parameter(torch.from_numpy(values - np.float32(bound)))

        self.weight = draw(outputs, inputs)
        self.bias = draw(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


def mlp(
    inputs: int,
    hidden: Sequence[int],
    outputs: int,
    rng: np.random.Generator,
    *,
    layer_norm: bool = False,
) -> nn.Sequential:
    """Build [Linear, (LayerNorm), ReLU] per hidden layer and a Linear head.

    LayerNorm stands before the ReLU, as in RLPD (Ball et al. 2023, section 4.2).
    """
    layers: list[nn.Module] = []
    for width in hidden:
        layers.append(Linear(inputs, width, rng))
        if layer_norm:
            layers.append(nn.LayerNorm(width))
        layers.append(nn.ReLU())
        inputs = width
    layers.append(Linear(inputs, outputs, rng))
    return nn.Sequential(*layers)


class DiscreteCritic(nn.Module):
    """K state-action values with one output per action: Q_k(s, a) for every a in one pass."""

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
        self.members = nn.ModuleList(
            mlp(observation_size, hidden, n_actions, rng, layer_norm=layer_norm)
            for _ in range(n_critics)
        )

    def forward(self, observations_BD: Tensor, actions_BN: Tensor) -> Tensor:
        """Return q_KBN for action indices actions_BN (int64)."""
        q_KBA = torch.stack([member(observations_BD) for member in self.members])
        return q_KBA.gather(2, actions_BN.expand(len(self.members), -1, -1))

    def with_proposals(
        self, observations_BD: Tensor, actions_B: Tensor, proposals_PM: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return q_KB at the batch's actions and q_KPM at proposals for its first P rows."""
        q_KBA = torch.stack([member(observations_BD) for member in self.members])
        k, p = len(self.members), len(proposals_PM)
        q_KB = q_KBA.gather(2, actions_B.view(1, -1, 1).expand(k, -1, 1)).squeeze(2)
        return q_KB, q_KBA[:, :p].gather(2, proposals_PM.expand(k, -1, -1))


class ContinuousCritic(nn.Module):
    """K state-action values Q_k(s, a) on concatenated observations and actions."""

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
        self.members = nn.ModuleList(
            mlp(observation_size + action_size, hidden, 1, rng, layer_norm=layer_norm)
            for _ in range(n_critics)
        )

    def _rows(self, inputs: Tensor) -> Tensor:
        return torch.stack([member(inputs).squeeze(1) for member in self.members])

    def forward(self, observations_BD: Tensor, actions_BNA: Tensor) -> Tensor:
        """Return q_KBN."""
        b, n, _ = actions_BNA.shape
        inputs = torch.cat([observations_BD.unsqueeze(1).expand(-1, n, -1), actions_BNA], dim=2)
        return self._rows(inputs.view(b * n, -1)).view(-1, b, n)

    def with_proposals(
        self, observations_BD: Tensor, actions_BA: Tensor, proposals_PMA: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return q_KB at the batch's actions and q_KPM at proposals for its first P rows.

        All rows go through one pass per critic: B data rows, then P * M proposal rows.
        """
        b = len(observations_BD)
        p, m, a = proposals_PMA.shape
        data_rows = torch.cat([observations_BD, actions_BA], dim=1)
        if p == 0:
            return self._rows(data_rows), data_rows.new_empty(len(self.members), 0, m)
        states_PMD = observations_BD[:p].unsqueeze(1).expand(-1, m, -1)
        proposal_rows = torch.cat([states_PMD, proposals_PMA], dim=2).view(p * m, -1)
        q = self._rows(torch.cat([data_rows, proposal_rows]))
        return q[:, :b], q[:, b:].view(-1, p, m)
