"""Ensembles of multilayer perceptrons (MLPs) that share one flat parameter tensor.

With the flat parameter, an optimizer step and a target update are one kernel each. `Ensemble.plain`
is the forward pass for autograd. `Ensemble.run` and `Ensemble.backward` compute the same passes
without an autograd graph; tests compare the two.
"""

import itertools
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from lunar_offline.agents.nn import forward_backward
from lunar_offline.agents.nn.forward_backward import LAYER_NORM_EPS, Layers

# Rows per block: at width 256, an activation of this many rows fits in a 1 MB L2 cache.
ROW_BLOCK = 1024


@dataclass(frozen=True)
class Layout:
    """Sizes of K equal MLPs: [Linear, (LayerNorm), ReLU] per hidden layer and a Linear head.

    LayerNorm precedes the ReLU, as in RLPD (Ball et al. 2023, section 4.2).
    """

    members: int
    inputs: int
    hidden: tuple[int, ...]
    outputs: int
    layer_norm: bool

    @cached_property
    def shapes(self) -> tuple[tuple[int, str, tuple[int, ...]], ...]:
        """Layer, kind and shape of every tensor of one member, in the order of the flat tensor.

        The first layer is stored as one transposed affine map of [inputs, 1]: with so few inputs,
        the matrix product then takes half the time.
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
        """Number of elements of every tensor, for all members."""
        return [math.prod(shape) for _, _, shape in self.shapes] * self.members

    def views(self, flat: Tensor) -> list[list[dict[str, Tensor]]]:
        """Split a flat tensor into views[member][layer][kind], without a copy.

        Every layer has `weight`, its transpose `weight_t` and `bias`; the first also has `affine`.
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


Tape = list[list[list[tuple[Tensor, ...]]]]
"""The record that a backward pass needs: activations[member][block][layer]."""


class Ensemble(nn.Module):
    """K MLPs of the same shape over one flat parameter.

    Linear layers are initialized from torch's default distribution, U(-1/sqrt(in), 1/sqrt(in)), but
    drawn from `rng` (`torch.nn.Linear` would draw from the global generator). Gains of LayerNorm
    start at 1, shifts at 0.

    Attributes:
        flat: float32 [K * elements of one member].
        layout: the sizes of the networks.
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
        """Return the parameter's views, the gradient buffer and its views, cached per storage."""
        where = self.flat.data_ptr()
        if self._cuts is None or self._cuts[0] != where:
            with torch.inference_mode(False):  # cached beyond the current update
                flat = self.flat.detach()
                gradient = torch.empty_like(flat)
                self._cuts = (where, self.layout.views(flat), gradient, self.layout.views(gradient))
        return self._cuts[1:]

    def forward(self, x_RI: Tensor) -> Tensor:
        """Return [K, R, outputs] for inputs [R, inputs], by `plain` in grad mode, else by `run`."""
        return self.plain(x_RI) if torch.is_grad_enabled() else self.run(x_RI)[0]

    def plain(self, x_RI: Tensor) -> Tensor:
        """Return [K, R, outputs], computed with operations that autograd records."""
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

        The rows are processed in blocks, so that an activation is still in the cache when the next
        layer reads it.
        """
        layers_of, _, _ = self._cut()
        x_RI = torch.cat([x_RI, x_RI.new_ones(len(x_RI), 1)], dim=1)
        out = x_RI.new_empty(self.layout.members, len(x_RI), self.layout.outputs)
        tape = [
            [
                forward_backward.forward(layers, self.layout.layer_norm, x, q)
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
        """Return the gradient with respect to the flat parameter or to the inputs.

        Args:
            tape: the tape of `run`, with the parameter unchanged since then.
            g_KRO: gradient with respect to the outputs of R consecutive rows; that of all other
                rows is 0.
            of: the tensor to differentiate with respect to.
            start: index of the first of those rows.

        Returns:
            For `parameters`, a tensor like `flat`, in a buffer that the next call overwrites; for
            `inputs`, [R, inputs].
        """
        layers_of, grad_flat, grads_of = self._cut()
        wanted = of == "parameters"
        grad_x: list[Tensor] = []
        for k, g_R in enumerate(g_KRO.unbind()):
            layers, head = layers_of[k], None
            grads = grads_of[k] if wanted else None
            if self.layout.outputs == 1:
                layers, head = forward_backward.fold_head(layers)
            for i, (g, records) in enumerate(forward_backward.rows_of(tape[k], g_R, start)):
                below = forward_backward.backward(layers, records, g, grads, first=i == 0)
                if wanted:
                    continue
                if k == 0:
                    grad_x.append(below @ layers[0]["weight"])
                else:
                    grad_x[i].addmm_(below, layers[0]["weight"])
            if grads and head is not None:
                forward_backward.unfold_head(grads[-2], head)
        if wanted:
            return grad_flat
        return grad_x[0] if len(grad_x) == 1 else torch.cat(grad_x)

    def named_tensors(self) -> dict[str, Tensor]:
        """Return views by the parameter names of the same network as a torch.nn.Sequential.

        The names are net.0.weight, net.0.bias, net.2.weight, ...

        Raises:
            ValueError: there is more than one member, or LayerNorm.
        """
        if self.layout.members != 1 or self.layout.layer_norm:
            raise ValueError("only a single member without LayerNorm has these names")
        (layers,) = self.layout.views(self.flat.detach())
        return {
            f"net.{2 * index}.{kind}": value
            for index, layer in enumerate(layers)
            for kind, value in layer.items()
            if kind in ("weight", "bias")
        }
