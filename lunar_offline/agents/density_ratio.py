"""The density ratio of online data to the dataset, for balanced replay."""

import numpy as np
import torch
from torch import Tensor

from lunar_offline.agents.nn.action_spec import ActionSpec
from lunar_offline.agents.nn.networks import Ensemble, Layout
from lunar_offline.agents.nn.optimizer import Adam
from lunar_offline.seeding import Purpose, generator

HIDDEN = (64, 64)
SHARPNESS = 0.2


class DensityRatio:
    """Estimates w(s, a) = d_online / d_offline with a classifier of online against offline rows.

    Balanced replay (Lee et al. 2021, Eq. 4) learns w by the variational Jensen-Shannon divergence,
    which for w = exp(logit) is logistic regression with equal total weight on both.

    Args:
        spec: the action space.
        observation_size: D.
        learning_rate: learning rate of Adam.
        seed: seed of the initialization.
        device: where the tensors are stored.
    """

    def __init__(
        self,
        spec: ActionSpec,
        observation_size: int,
        learning_rate: float,
        seed: int,
        device: torch.device,
    ) -> None:
        self._spec = spec
        layout = Layout(1, observation_size + spec.size, HIDDEN, 1, False)
        self.net = Ensemble(layout, generator(seed, Purpose.DENSITY)).to(device)
        self.optimizer = Adam(self.net.flat, learning_rate)

    def _features(self, observations_BD: Tensor, actions: Tensor) -> Tensor:
        if self._spec.discrete:
            actions = torch.nn.functional.one_hot(actions, self._spec.size).to(
                observations_BD.dtype
            )
        return torch.cat([observations_BD, actions], dim=1)

    @torch.no_grad()
    def update(self, observations_BD: Tensor, actions: Tensor, n_offline: int) -> None:
        """Take one optimizer step.

        Args:
            observations_BD: float32.
            actions: int64 [B] or float32 [B, A].
            n_offline: number of leading rows that come from the dataset, 1 .. B - 1.
        """
        logit_1B1, tape = self.net.run(self._features(observations_BD, actions))
        logit_B = logit_1B1.flatten()
        # with y = 0 offline and 1 online, the loss is softplus(logit) - y logit
        online_B = torch.ones_like(logit_B)
        online_B[:n_offline] = 0.0
        share_B = torch.full_like(logit_B, 1.0 / (len(logit_B) - n_offline))
        share_B[:n_offline] = 1.0 / n_offline
        g_B = share_B * (logit_B.sigmoid() - online_B)
        self.optimizer.step(self.net.backward(tape, g_B.view(1, -1, 1), of="parameters"))

    @torch.no_grad()
    def priorities(self, observations_ND: Tensor, actions: Tensor) -> np.ndarray:
        """Return w ** SHARPNESS of each transition, float64 [N]."""
        logit_1N1, _ = self.net.run(self._features(observations_ND, actions))
        return np.exp(SHARPNESS * logit_1N1.flatten().double().cpu().numpy())
