"""The forward and backward pass of one member over one block of rows; see `networks`."""

from collections.abc import Iterator

import torch
from torch import Tensor

LAYER_NORM_EPS = 1e-5

Layers = list[dict[str, Tensor]]
_relu_backward_ = torch.ops.aten.threshold_backward.grad_input
_layer_norm_backward = torch.ops.aten.native_layer_norm_backward


def forward(layers: Layers, layer_norm: bool, x: Tensor, out: Tensor) -> list[tuple[Tensor, ...]]:
    """Run a block of rows through one member.

    Args:
        layers: views of the member's parameters, from `Layout.views`.
        layer_norm: whether the hidden layers have LayerNorm.
        x: inputs [R, inputs + 1]; the last column is ones.
        out: [R, outputs], overwritten with the outputs.

    Returns:
        The records for `backward`: per layer, its input and the tensors that the backward pass of
        the preceding LayerNorm needs.
    """
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


def rows_of(
    blocks: list[list[tuple[Tensor, ...]]], g_RO: Tensor, start: int
) -> Iterator[tuple[Tensor, list[tuple[Tensor, ...]]]]:
    """Yield, block by block, the gradients of the rows from `start` on, with their records."""
    for records in blocks:
        n = len(records[0][0])
        low, high = max(start, 0), min(start + len(g_RO), n)
        if low < high:
            rows = records
            if (low, high) != (0, n):
                rows = [tuple(t[low:high] for t in record) for record in records]
            yield g_RO[low - start : high - start], rows
        start -= n


def backward(
    layers: Layers,
    records: list[tuple[Tensor, ...]],
    g: Tensor,
    grads: Layers | None,
    *,
    first: bool,
) -> Tensor:
    """Propagate the gradient of a block of rows back through one member.

    Args:
        layers: as in `forward`; with a single output, after `fold_head`.
        records: the result of `forward`.
        g: gradient with respect to the outputs, [R, outputs].
        grads: views that receive the parameters' gradients; None if those are not needed.
        first: overwrite `grads` instead of adding to it.

    Returns:
        The gradient with respect to the first layer's outputs, [R, hidden].
    """
    for index in range(len(layers) - 1, -1, -1):
        record = records[index]
        h = record[0]
        if grads is not None:
            _affine_gradient(grads[index], h, g, first=first)
        if index == 0:
            break
        if index == len(layers) - 1 and g.shape[1] == 1:  # `fold_head` made its weight all ones
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


def fold_head(layers: Layers) -> tuple[Layers, Tensor]:
    """Move the weight w of a single output into the preceding layer, so that it becomes all ones.

    With g the gradient with respect to the output, that of the last activation is g w. All earlier
    gradients are linear in the entries of w, so w can scale the preceding layer's weight instead
    (its gain, if it has LayerNorm). This saves one write and one read of an activation.
    """
    head, below = layers[-1]["weight"][0], dict(layers[-2])
    if "gain" in below:
        below["gain"] = below["gain"] * head
    else:
        below["weight"] = below["weight"] * head.unsqueeze(1)
    return [*layers[:-2], below, layers[-1]], head


def unfold_head(grads: dict[str, Tensor], head: Tensor) -> None:
    """Scale the gradients of the layer that precedes a folded head."""
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
