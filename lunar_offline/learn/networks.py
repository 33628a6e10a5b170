"""Ensembles of multilayer perceptrons on one flat parameter, with counted initialisation.

The flat parameter makes an optimizer step and a target update one kernel each, and the forward and
backward passes are written out once (`_EnsembleFunction`) instead of recorded op by op. The plain
version stands beside it (`Ensemble.plain`); a test holds the two together.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

LAYER_NORM_EPS = 1e-5


@dataclass(frozen=True)
class Layout:
    """Sizes of K equal MLPs: [Linear, (LayerNorm), ReLU] per hidden layer and a Linear head.

    LayerNorm stands before the ReLU, as in RLPD (Ball et al. 2023, section 4.2).
    """

    members: int
    inputs: int
    hidden: tuple[int, ...]
    outputs: int
    layer_norm: bool

    @cached_property
    def shapes(self) -> tuple[tuple[int, str, tuple[int, ...]], ...]:
        """Layer, kind and shape of every tensor of one member, in flat order."""
        widths = (self.inputs, *self.hidden, self.outputs)
        shapes: list[tuple[int, str, tuple[int, ...]]] = []
        for index, (fan_in, fan_out) in enumerate(itertools.pairwise(widths)):
            shapes += [(index, "weight", (fan_out, fan_in)), (index, "bias", (fan_out,))]
            if self.layer_norm and index < len(self.hidden):
                shapes += [(index, "gain", (fan_out,)), (index, "shift", (fan_out,))]
        return tuple(shapes)

    @cached_property
    def sizes(self) -> list[int]:
        """Number of values of every tensor, for all members."""
        return [math.prod(shape) for _, _, shape in self.shapes] * self.members

    def views(self, flat: Tensor) -> list[list[dict[str, Tensor]]]:
        """Cut a flat tensor into views[member][layer][kind], without a copy."""
        pieces = iter(flat.split_with_sizes(self.sizes))
        views: list[list[dict[str, Tensor]]] = []
        for _ in range(self.members):
            layers: list[dict[str, Tensor]] = [{} for _ in range(len(self.hidden) + 1)]
            for layer, kind, shape in self.shapes:
                piece = next(pieces)
                layers[layer][kind] = piece.view(shape) if len(shape) > 1 else piece
            views.append(layers)
        return views


class _EnsembleFunction(torch.autograd.Function):
    """All members' forward and backward passes as a single node of the graph."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, flat: Tensor, layout: Layout) -> Tensor:  # type: ignore[override]
        views = layout.views(flat)
        tape: list[list[tuple[Tensor, ...]]] = []
        out = x.new_empty(layout.members, len(x), layout.outputs)
        for k, layers in enumerate(views):
            h, records = x, []
            for layer in layers[:-1]:
                z = torch.addmm(layer["bias"], h, layer["weight"].t())
                if layout.layer_norm:
                    y, mean, rstd = torch.native_layer_norm(
                        z, [z.shape[1]], layer["gain"], layer["shift"], LAYER_NORM_EPS
                    )
                    records.append((h, z, mean, rstd))
                else:
                    y = z
                    records.append((h,))
                h = y.relu_()
            records.append((h,))
            torch.addmm(layers[-1]["bias"], h, layers[-1]["weight"].t(), out=out[k])
            tape.append(records)
        ctx.tape, ctx.views, ctx.layout, ctx.flat = tape, views, layout, flat
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:  # type: ignore[override]
        want_x, want_flat = ctx.needs_input_grad[:2]
        layout: Layout = ctx.layout
        grad_flat = torch.empty_like(ctx.flat) if want_flat else None
        grads = layout.views(grad_flat) if grad_flat is not None else None
        grad_x: Tensor | None = None
        for k, (layers, records) in enumerate(zip(ctx.views, ctx.tape, strict=True)):
            g = grad[k]
            for index in reversed(range(len(layers))):
                h = records[index][0]
                if grads is not None:
                    torch.mm(g.t(), h, out=grads[k][index]["weight"])
                    torch.sum(g, 0, out=grads[k][index]["bias"])
                if index == 0:
                    if want_x:
                        g_x = g @ layers[0]["weight"]
                        grad_x = g_x if grad_x is None else grad_x.add_(g_x)
                    continue
                g = torch.ops.aten.threshold_backward(g @ layers[index]["weight"], h, 0)
                if layout.layer_norm:
                    _, z, mean, rstd = records[index - 1]
                    below = layers[index - 1]
                    mask = [True, want_flat, want_flat]
                    g, g_gain, g_shift = torch.ops.aten.native_layer_norm_backward(
                        g, z, [z.shape[1]], mean, rstd, below["gain"], below["shift"], mask
                    )
                    if grads is not None:
                        grads[k][index - 1]["gain"].copy_(g_gain)
                        grads[k][index - 1]["shift"].copy_(g_shift)
        return grad_x, grad_flat, None


class Ensemble(nn.Module):
    """K MLPs of the same shape over one flat parameter.

    Linear layers start from torch's own distribution, U(-1/sqrt(in), 1/sqrt(in)), drawn from `rng`
    (`torch.nn.Linear` would draw from the global generator); gains from 1, shifts from 0.

    Attributes:
        flat: float32 [K * values of one member].
        layout: the sizes.
    """

    def __init__(self, layout: Layout, rng: np.random.Generator) -> None:
        super().__init__()
        self.layout = layout
        pieces = []
        bound = np.float32(0.0)
        for _, kind, shape in layout.shapes * layout.members:
            size = math.prod(shape)
            if kind == "weight":  # its bias follows, with the same bound
                bound = np.float32(shape[1] ** -0.5)
            if kind in ("weight", "bias"):
                pieces.append(rng.random(size, dtype=np.float32) * (2 * bound) - bound)
            else:
                pieces.append(np.full(size, kind == "gain", dtype=np.float32))
        flat = np.concatenate(pieces)
        self.flat = nn.Parameter(torch.from_numpy(flat))

    def forward(self, x_RI: Tensor, *, frozen: bool = False) -> Tensor:
        """Return [K, R, outputs] for inputs [R, inputs]; `frozen` takes no parameter gradient."""
        return _EnsembleFunction.apply(  # pyright: ignore[reportReturnType]
            x_RI, self.flat.detach() if frozen else self.flat, self.layout
        )

    def plain(self, x_RI: Tensor) -> Tensor:
        """Return the same as `forward`, op by op."""
        outputs = []
        for layers in self.layout.views(self.flat):
            h = x_RI
            for layer in layers[:-1]:
                h = functional.linear(h, layer["weight"], layer["bias"])
                if self.layout.layer_norm:
                    h = functional.layer_norm(
                        h, [h.shape[1]], layer["gain"], layer["shift"], LAYER_NORM_EPS
                    )
                h = functional.relu(h)
            outputs.append(functional.linear(h, layers[-1]["weight"], layers[-1]["bias"]))
        return torch.stack(outputs)

    def named_tensors(self) -> dict[str, Tensor]:
        """Return views by the names that one member has as a torch.nn.Sequential.

        Only for a single member without LayerNorm: net.0.weight, net.0.bias, net.2.weight, ...
        """
        if self.layout.members != 1 or self.layout.layer_norm:
            raise ValueError("only a single plain member has these names")
        (layers,) = self.layout.views(self.flat.detach())
        return {
            f"net.{2 * index}.{kind}": value
            for index, layer in enumerate(layers)
            for kind, value in layer.items()
        }


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
        layout = Layout(n_critics, observation_size, tuple(hidden), n_actions, layer_norm)
        self.members = Ensemble(layout, rng)

    def forward(
        self, observations_BD: Tensor, actions_BN: Tensor, *, frozen: bool = False
    ) -> Tensor:
        """Return q_KBN for action indices actions_BN (int64)."""
        q_KBA = self.members(observations_BD, frozen=frozen)
        return q_KBA.gather(2, actions_BN.expand(len(q_KBA), -1, -1))

    def with_proposals(
        self, observations_BD: Tensor, actions_B: Tensor, proposals_PM: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return q_KB at the batch's actions and q_KPM at proposals for its first P rows."""
        q_KBA = self.members(observations_BD)
        k, p = len(q_KBA), len(proposals_PM)
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
        inputs = observation_size + action_size
        self.members = Ensemble(Layout(n_critics, inputs, tuple(hidden), 1, layer_norm), rng)

    def forward(
        self, observations_BD: Tensor, actions_BNA: Tensor, *, frozen: bool = False
    ) -> Tensor:
        """Return q_KBN."""
        b, n, _ = actions_BNA.shape
        states_BND = observations_BD.unsqueeze(1).expand(-1, n, -1)
        inputs = torch.cat([states_BND, actions_BNA], dim=2).view(b * n, -1)
        return self.members(inputs, frozen=frozen).view(-1, b, n)

    def with_proposals(
        self, observations_BD: Tensor, actions_BA: Tensor, proposals_PMA: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return q_KB at the batch's actions and q_KPM at proposals for its first P rows.

        All rows go through one pass per critic: B data rows, then P * M proposal rows.
        """
        b = len(observations_BD)
        p, m, _ = proposals_PMA.shape
        rows = torch.cat([observations_BD, actions_BA], dim=1)
        if p:
            states_PMD = observations_BD[:p].unsqueeze(1).expand(-1, m, -1)
            proposal_rows = torch.cat([states_PMD, proposals_PMA], dim=2).view(p * m, -1)
            rows = torch.cat([rows, proposal_rows])
        q = self.members(rows).squeeze(2)
        return q[:, :b], q[:, b:].view(len(q), p, m)
