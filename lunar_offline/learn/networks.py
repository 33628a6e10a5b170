"""Ensembles of multilayer perceptrons on one flat parameter, with counted initialisation.

The flat parameter makes an optimizer step and a target update one kernel each. `Ensemble.plain` is
the network as autograd sees it. `Ensemble.run` and `Ensemble.backward` are the same passes written
out, without a graph; tests hold the two together.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

LAYER_NORM_EPS = 1e-5
# Rows of one block: at 256 wide, an activation of so many rows fits a 1 MB L2 cache.
ROW_BLOCK = 1024


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
        """Layer, kind and shape of every tensor of one member, in flat order.

        The first layer is one affine map on [inputs, 1], transposed: so thin a product takes half
        the time that way.
        """
        widths = (self.inputs, *self.hidden, self.outputs)
        shapes: list[tuple[int, str, tuple[int, ...]]] = []
        for index, (fan_in, fan_out) in enumerate(itertools.pairwise(widths)):
            if index == 0:
                shapes.append((index, "affine", (fan_in + 1, fan_out)))
            else:
                shapes += [(index, "weight", (fan_out, fan_in)), (index, "bias", (fan_out,))]
            if self.layer_norm and index < len(self.hidden):
                shapes += [(index, "gain", (fan_out,)), (index, "shift", (fan_out,))]
        return tuple(shapes)

    @cached_property
    def sizes(self) -> list[int]:
        """Number of values of every tensor, for all members."""
        return [math.prod(shape) for _, _, shape in self.shapes] * self.members

    def views(self, flat: Tensor) -> list[list[dict[str, Tensor]]]:
        """Cut a flat tensor into views[member][layer][kind], without a copy.

        Every layer has `weight`, its transpose `weight_t` and `bias`; the first has `affine` too.
        """
        pieces = iter(flat.split_with_sizes(self.sizes))
        views: list[list[dict[str, Tensor]]] = []
        for _ in range(self.members):
            layers: list[dict[str, Tensor]] = [{} for _ in range(len(self.hidden) + 1)]
            for layer, kind, shape in self.shapes:
                piece = next(pieces)
                layers[layer][kind] = piece.view(shape) if len(shape) > 1 else piece
            for layer in layers:
                if "affine" in layer:
                    layer["weight"], layer["bias"] = layer["affine"][:-1].t(), layer["affine"][-1]
                layer["weight_t"] = layer["weight"].t()
            views.append(layers)
        return views


Layers = list[dict[str, Tensor]]
_relu_backward_ = torch.ops.aten.threshold_backward.grad_input
_layer_norm_backward = torch.ops.aten.native_layer_norm_backward


Tape = list[list[list[tuple[Tensor, ...]]]]
"""What a backward pass needs: activations[member][block][layer]."""


class Values(NamedTuple):
    """The values that one update needs, of the same critics.

    Attributes:
        q_KB: at the batch's own actions.
        q_KPM: at the penalty's proposals, for the first P states; None without a penalty.
        q_KBN: at the policy's actions.
        tape: of the one pass that gave them all.
    """

    q_KB: Tensor
    q_KPM: Tensor | None
    q_KBN: Tensor
    tape: Tape


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
            if kind == "affine":
                bound = np.float32((shape[0] - 1) ** -0.5)
            if kind == "weight":  # its bias follows, with the same bound
                bound = np.float32(shape[1] ** -0.5)
            if kind in ("affine", "weight", "bias"):
                pieces.append(rng.random(size, dtype=np.float32) * (2 * bound) - bound)
            else:
                pieces.append(np.full(size, kind == "gain", dtype=np.float32))
        flat = np.concatenate(pieces)
        self.flat = nn.Parameter(torch.from_numpy(flat))
        self._cuts: tuple[int, list[Layers], Tensor, list[Layers]] | None = None

    def _cut(self) -> tuple[list[Layers], Tensor, list[Layers]]:
        """Return the parameter's views, the gradient buffer and its views, once per storage."""
        where = self.flat.data_ptr()
        if self._cuts is None or self._cuts[0] != where:
            with torch.inference_mode(False):  # they outlive an update, which is in inference mode
                flat = self.flat.detach()
                gradient = torch.empty_like(flat)
                self._cuts = (where, self.layout.views(flat), gradient, self.layout.views(gradient))
        return self._cuts[1:]

    def forward(self, x_RI: Tensor) -> Tensor:
        """Return [K, R, outputs] for inputs [R, inputs]; with grad mode off, `run`'s bits."""
        return self.plain(x_RI) if torch.is_grad_enabled() else self.run(x_RI)[0]

    def plain(self, x_RI: Tensor) -> Tensor:
        """Return [K, R, outputs] op by op, for autograd."""
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

    def run(self, x_RI: Tensor) -> tuple[Tensor, Tape]:
        """Return [K, R, outputs] as `plain` does, and the tape for `backward`; call in no_grad.

        The rows go through in blocks, so that an activation is still in the cache when the next
        layer reads it.
        """
        layers_of, _, _ = self._cut()
        x_RI = torch.cat([x_RI, x_RI.new_ones(len(x_RI), 1)], dim=1)
        out = x_RI.new_empty(self.layout.members, len(x_RI), self.layout.outputs)
        tape = [
            [
                _forward(layers, self.layout.layer_norm, x, q)
                for x, q in zip(x_RI.split(ROW_BLOCK), out_R.split(ROW_BLOCK), strict=True)
            ]
            for layers, out_R in zip(layers_of, out.unbind(), strict=True)
        ]
        return out, tape

    def backward(
        self,
        tape: Tape,
        g_KRO: Tensor,
        *,
        of: Literal["parameters", "inputs"],
        start: int = 0,
    ) -> Tensor:
        """Return the gradient of the flat parameter, or of the inputs, from that of the outputs.

        Args:
            tape: of `run`, before the parameter has changed.
            g_KRO: gradient of the outputs of some rows; the others have none.
            of: what to differentiate for.
            start: the first of those rows.

        Returns:
            A tensor like `flat`, in a buffer that the next call overwrites, or [rows of g_KRO,
            inputs].
        """
        layers_of, grad_flat, grads_of = self._cut()
        wanted = of == "parameters"
        grad_x: list[Tensor] = []
        for k, g_R in enumerate(g_KRO.unbind()):
            layers, head = layers_of[k], None
            grads = grads_of[k] if wanted else None
            if self.layout.outputs == 1:
                layers, head = _fold_head(layers)
            for i, (g, records) in enumerate(_rows_of(tape[k], g_R, start)):
                below = _backward(layers, records, g, grads, first=i == 0)
                if wanted:
                    continue
                if k == 0:
                    grad_x.append(below @ layers[0]["weight"])
                else:
                    grad_x[i].addmm_(below, layers[0]["weight"])
            if grads and head is not None:
                _unfold_head(grads[-2], head)
        if wanted:
            return grad_flat
        return grad_x[0] if len(grad_x) == 1 else torch.cat(grad_x)

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
            if kind in ("weight", "bias")
        }


def _forward(layers: Layers, layer_norm: bool, x: Tensor, out: Tensor) -> list[tuple[Tensor, ...]]:
    """Fill `out`; return, per layer, its input and what the LayerNorm below it needs."""
    h, record, records = x, (x,), []
    for layer in layers[:-1]:
        records.append(record)
        if "affine" in layer:
            z = torch.mm(h, layer["affine"])
        else:
            z = torch.addmm(layer["bias"], h, layer["weight_t"])
        if layer_norm:
            y, mean, rstd = torch.native_layer_norm(
                z, [z.shape[1]], layer["gain"], layer["shift"], LAYER_NORM_EPS
            )
            h = y.relu_()
            record = (h, z, mean, rstd)
        else:
            h = z.relu_()
            record = (h,)
    torch.addmm(layers[-1]["bias"], h, layers[-1]["weight_t"], out=out)
    records.append(record)
    return records


def _rows_of(
    blocks: list[list[tuple[Tensor, ...]]], g_RO: Tensor, start: int
) -> Iterator[tuple[Tensor, list[tuple[Tensor, ...]]]]:
    """Pair the rows from `start` on, block by block, with what a forward pass recorded of them."""
    for records in blocks:
        n = len(records[0][0])
        low, high = max(start, 0), min(start + len(g_RO), n)
        if low < high:
            rows = records
            if (low, high) != (0, n):
                rows = [tuple(t[low:high] for t in record) for record in records]
            yield g_RO[low - start : high - start], rows
        start -= n


def _backward(
    layers: Layers,
    records: list[tuple[Tensor, ...]],
    g: Tensor,
    grads: Layers | None,
    *,
    first: bool,
) -> Tensor:
    """Put the parameters' gradients into `grads` (add, if not first); return the first layer's."""
    for index in range(len(layers) - 1, -1, -1):
        record = records[index]
        h = record[0]
        if grads is not None:
            _affine_gradient(grads[index], h, g, first=first)
        if index == 0:
            break
        if index == len(layers) - 1 and g.shape[1] == 1:  # its weight has been folded: all ones
            g = _relu_backward_(g.expand_as(h), h, 0, grad_input=torch.empty_like(h))
        else:
            g = g @ layers[index]["weight"]
            _relu_backward_(g, h, 0, grad_input=g)
        if len(record) > 1:
            _, z, mean, rstd = record
            below, mask = layers[index - 1], [True, grads is not None, grads is not None]
            g, g_gain, g_shift = _layer_norm_backward(
                g, z, [z.shape[1]], mean, rstd, below["gain"], below["shift"], mask
            )
            if grads is not None:
                into = grads[index - 1]
                for kind, value in (("gain", g_gain), ("shift", g_shift)):
                    into[kind].copy_(value) if first else into[kind].add_(value)
    return g


def _fold_head(layers: Layers) -> tuple[Layers, Tensor]:
    """Move a single output's weight w into the layer below, so that backward can start from ones.

    With g the gradient of the output, that of the last activation is g w; everything below is
    linear in w's entries, which scale the outputs of the layer below (its gain, if it has one).
    That saves writing and reading one activation.
    """
    head, below = layers[-1]["weight"][0], dict(layers[-2])
    if "gain" in below:
        below["gain"] = below["gain"] * head
    else:
        below["weight"] = below["weight"] * head.unsqueeze(1)
    return [*layers[:-2], below, layers[-1]], head


def _unfold_head(grads: dict[str, Tensor], head: Tensor) -> None:
    """Scale the gradients of the layer below a folded head."""
    if "gain" in grads:
        grads["gain"] *= head
        grads["shift"] *= head
    elif "affine" in grads:
        grads["affine"] *= head
    else:
        grads["weight"] *= head.unsqueeze(1)
        grads["bias"] *= head


def _affine_gradient(into: dict[str, Tensor], h: Tensor, g: Tensor, *, first: bool) -> None:
    if "affine" in into:
        torch.addmm(into["affine"], h.t(), g, beta=0 if first else 1, out=into["affine"])
        return
    torch.addmm(into["weight"], g.t(), h, beta=0 if first else 1, out=into["weight"])
    if first:
        torch.sum(g, 0, out=into["bias"])
    else:
        into["bias"] += g.sum(0)


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

        Its rows: B of the data, P * M of the proposals, B * N of the policy's actions.
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
        """Return the gradient of the policy's actions, [B, N, A], from that of q_KBN."""
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
    """Return [B * N, D + A]: every state with each of its actions."""
    b, n, _ = actions_BNA.shape
    states_BND = observations_BD.unsqueeze(1).expand(-1, n, -1)
    return torch.cat([states_BND, actions_BNA], dim=2).view(b * n, -1)
