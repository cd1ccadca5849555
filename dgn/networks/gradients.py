"""Whether the gradient of a layer reaches the images, on every path, and where it is lost.

A gradient that is lost on all paths is zero. One that is cut on one of several paths (a residual branch under
`torch.no_grad()`) is not zero, but wrong. Two measurements find it:

- If an operation detached a tensor, the gradient is computed again with such operations left out. The part m that
  appears is compared with the slope along m. A tensor can be detached on purpose: with a straight-through estimator, m
  is not part of the slope, and with statistics that are only logged it is zero.
- For any cause, including a custom function with a wrong backward: with D the change of the whole layer f along a
  random direction d, a true gradient satisfies <grad <f, D>, d> = <J d, D> = |D|^2.

Slopes are finite differences. They are used only where the forward and the backward difference agree: rounding errors,
quantization, random numbers in the forward pass and kinks of rectifiers let them differ.
"""

import copy
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dgn.errors import first_line
from dgn.networks.cuts import CAUSES, Cut, Uncut, called, grad_mode, noted_cuts
from dgn.networks.featurenet import FeatureNet
from dgn.networks.layers import iterate_tensors, watched

_STEPS = (1e-3, 1e-2)
"""Steps of finite differences, in image space. At 1e-3, few rectifiers change sign; at 1e-2, low precision disturbs
less."""
_FINER = 2.5e-4
"""A step that confirms a suspicion."""
_DISAGREEMENT = 0.3
"""The largest relative difference of forward and backward difference at which they are used. Networks of torchvision
and timm with random weights have at most 0.2 at the smaller step."""
_ROUNDING = 2e-6
"""The smallest change of a layer, relative to its size, that float32's rounding (6e-8 an operation) leaves intact."""
_SHARE = 0.1
"""The smallest share of the slope along a random direction that counts as missing, at `_STEPS` and at `_FINER`. In five
networks of torchvision with random weights (ResNet-18 to EfficientNet-B0), errors of the differences amount to at most
0.012."""
_PART = 0.01
"""The smallest part of a gradient, relative to all of it, that counts as missing if it appears only with the operations
that detach left out."""


@dataclass(frozen=True)
class LostGradient:
    """Where and why a gradient is lost.

    Attributes:
        share: The missing share of the layer's slope, 1 if the gradient is zero or there is none.
        place: Where it is lost, as in "in body (Conv2d)"; "" if unknown.
        cause: Why; "" if unknown.
        certain: Whether the place was observed to detach a tensor, which rules out an error of the differences.
    """

    share: float
    place: str
    cause: str
    certain: bool = True


def lost(net: FeatureNet, images: Tensor, layers: dict[str, Tensor], seen: Sequence[Cut]) -> dict[str, LostGradient]:
    """Finds the layers whose gradient does not reach the images on every path.

    Units that are 0 on all images (of a rectifier) have no gradient to examine: their layers are not reported.

    Args:
        net: The network.
        images: (2, 3, H, W) in image space, with `requires_grad`.
        layers: Activations (2, ...) of these images by layer.
        seen: The cuts that were noted while they were computed (`noted_cuts`).

    Returns:
        What is lost by layer, for those layers only.
    """
    slopes: _Slopes | None = None
    weights = {name: _weights(activations) for name, activations in layers.items()}
    along: dict[str, Tensor] = {}
    with suppress(Exception):  # user code can raise anything, and what cannot be measured is not reported
        slopes = _Slopes(net, images.detach(), layers)
        along = slopes.along(slopes.direction, list(layers))
    losses, gradients = {}, {}
    for name, activations in layers.items():
        gradient, cause = _gradient_or_cause(activations, images, along.get(name, weights[name]))
        if gradient is not None and bool(gradient.any()):
            gradients[name] = gradient
        elif gradient is None or not torch.equal(activations[0], activations[1]):
            losses[name] = _whole_loss(net, images, name, cause)
    with suppress(Exception):
        if slopes is not None:
            shares = _missing(gradients, along, slopes, seen)
            shares |= _hidden(net, images, gradients, weights | along, slopes, seen)
            losses |= {name: _partial_loss(net, images, name, *share) for name, share in shares.items()}
    return losses


class _Slopes:
    """The slopes of layers along directions in image space, by finite differences of a float32 network."""

    def __init__(self, net: FeatureNet, images: Tensor, layers: dict[str, Tensor]) -> None:
        self.images = images
        self.direction = torch.randn(images.shape, generator=torch.Generator().manual_seed(4)).to(images)
        low = net.dtype in (torch.float16, torch.bfloat16)
        self.net = copy.deepcopy(net).float() if low else net
        self.middle = self.net(images, list(layers)) if low else layers

    @torch.no_grad()
    def along(self, direction: Tensor, names: Sequence[str], steps: Sequence[float] = _STEPS) -> dict[str, Tensor]:
        """The changes of the layers per unit of a direction (2, 3, H, W) of about unit size; only reliable ones."""
        slopes: dict[str, Tensor] = {}
        for h in steps:
            names = [name for name in names if name not in slopes]
            if not names:
                break
            with torch.backends.cudnn.flags(allow_tf32=False):
                after = self.net(self.images + h * direction, names)
                before = self.net(self.images - h * direction, names)
            for name in names:
                slope = (after[name] - before[name]) / (2 * h)
                bend = (after[name] - 2 * self.middle[name] + before[name]) / (2 * h)
                rounding = _ROUNDING * self.middle[name].norm() / h
                if rounding < slope.norm() < torch.inf and bend.norm() <= _DISAGREEMENT * slope.norm():
                    slopes[name] = slope
        return slopes


def _missing(
    gradients: dict[str, Tensor], along: dict[str, Tensor], slopes: _Slopes, seen: Sequence[Cut]
) -> dict[str, tuple[float, bool]]:
    """The share of the slope along a direction that the gradients, weighted by the slopes, lack; if it is certain."""
    shares = {}
    for name in gradients.keys() & along.keys():
        own = float((gradients[name] * slopes.direction).sum())
        if 1 - own / float(along[name].square().sum()) <= _SHARE:
            continue
        finer = slopes.along(slopes.direction, [name], (_FINER,)).get(name)  # curvature shows less at a smaller step
        share = 0.0 if finer is None else 1 - own / float((along[name] * finer).sum())
        if share > _SHARE:
            shares[name] = share, any(cut.certain for cut in seen)
    return shares


def _hidden(
    net: FeatureNet,
    images: Tensor,
    gradients: dict[str, Tensor],
    weights: dict[str, Tensor],
    slopes: _Slopes,
    seen: Sequence[Cut],
) -> dict[str, tuple[float, bool]]:
    """The share of the layers' gradients that appears if nothing detaches; and if it is certainly missing."""
    shares: dict[str, tuple[float, bool]] = {}
    certain, discrete = any(cut.certain for cut in seen), any(cut.cause == "discrete" for cut in seen)
    if not certain and not any(cut.cause in ("zero", "integers") for cut in seen):
        return shares
    with Uncut():
        uncut = net(images, list(gradients))
    for name, gradient in gradients.items():
        whole = _gradient(uncut[name], images, weights[name])
        part = None if whole is None else whole - gradient
        if part is None or whole is None or not part.norm() > _PART * whole.norm():
            continue
        share, size = float(part.norm() / whole.norm()), part.square().mean().sqrt()
        slope = slopes.along(part / size, [name]).get(name)
        if slope is None:
            verdict = None if discrete else False
        else:
            measured = float((slope * weights[name]).sum() * size)
            verdict = _is_missing(measured, gradient, part, certain, discrete)
        if verdict is not None:
            shares[name] = share, verdict
    return shares


def _is_missing(measured: float, gradient: Tensor, part: Tensor, certain: bool, discrete: bool) -> bool | None:
    """Whether the part m of a gradient is missing; False if it may be intended, None if m is not part of the slope.

    The slope along m, `measured`, is <gradient + m, m> if m is missing, and <gradient, m> if it is rightly left out.
    With a straight-through estimator, which passes a gradient where the slope is zero, m points against the slope.
    """
    square = float(part.square().sum())
    if measured - float((gradient * part).sum()) <= square / 2:
        return None
    if measured > (square / 2 if discrete else 0):
        return certain
    return None if discrete else False


def _gradient_or_cause(activations: Tensor, images: Tensor, weights: Tensor) -> tuple[Tensor | None, str]:
    """The gradient of the weighted sum of a layer's activations, and torch's reason if there is none."""
    if not activations.requires_grad:
        return None, ""
    try:
        return _gradient(activations, images, weights), ""
    except RuntimeError as error:
        text = first_line(error)
        return None, CAUSES["checkpoint"] if "heckpoint" in text and "use_reentrant" in str(error) else text


def _gradient(tensor: Tensor, images: Tensor, weights: Tensor) -> Tensor | None:
    """The gradient of a weighted sum of a tensor's entries."""
    total = (tensor * weights).sum()
    (gradient,) = torch.autograd.grad(total, images, retain_graph=True, allow_unused=True)
    return gradient


def _weights(like: Tensor) -> Tensor:
    """Random weights of both signs, so that entries do not cancel."""
    sizes = torch.rand(like.shape, generator=torch.Generator().manual_seed(2)) + 0.5
    signs = torch.randint(0, 2, like.shape, generator=torch.Generator().manual_seed(3)) * 2 - 1
    return (sizes * signs).to(like)


def _partial_loss(net: FeatureNet, images: Tensor, name: str, share: float, certain: bool) -> LostGradient:
    """A loss at the first place that detaches a tensor on the way to a layer, else at the first flat operation."""
    with noted_cuts(net.network) as seen:
        net(images, [name])
    first = sorted(seen, key=lambda cut: not cut.certain)[:1]
    return (
        LostGradient(share, first[0].place, CAUSES[first[0].cause], certain)
        if first
        else LostGradient(share, "", "", False)
    )


def _whole_loss(net: FeatureNet, images: Tensor, name: str, cause: str) -> LostGradient:
    place, reason = _where(net, images, name)
    return LostGradient(1, place, cause or reason)


@dataclass(frozen=True)
class _Event:
    """The entry or exit of a module, recorded during a forward pass with gradients."""

    where: str
    kind: str
    leaving: bool
    attached: bool
    mode: str
    tensor: Tensor

    def __str__(self) -> str:
        return called(self.where, self.kind)


def _watch(net: FeatureNet, images: Tensor) -> list[_Event]:
    events: list[_Event] = []

    def note(name: str, kind: str, entering: bool, value: Any) -> None:
        tensors = [tensor for _, tensor in iterate_tensors(value) if tensor.is_floating_point()]
        if tensors:
            attached = any(tensor.requires_grad for tensor in tensors)
            events.append(_Event(name, kind, not entering, attached, grad_mode(), tensors[0]))

    with watched(net.network, note):
        net.run(net.input_space.enter(images))
    return events


def _where(net: FeatureNet, images: Tensor, name: str) -> tuple[str, str]:
    """Returns where the gradient of a layer is lost on its way to the images, and why."""
    events = _watch(net, images)
    module, entering = net.layer(name).module, net.layer(name).entering
    ends = [i for i, event in enumerate(events) if event.where == module and event.leaving != entering]
    ends = ends or [len(events) - 1]
    call = net.layer(name).call
    end = ends[-1] if call is None else ends[min(call, len(ends) - 1)]

    def reaches(event: _Event) -> bool:
        gradient, _ = _gradient_or_cause(event.tensor, images, _weights(event.tensor))
        return gradient is not None and bool(gradient.any())

    last = next((i for i in range(end, -1, -1) if events[i].attached and reaches(events[i])), None)
    if last is None or last == end:
        return f"in {events[end]}", CAUSES["detached"]
    before, after = events[last], events[last + 1]
    if after.mode:  # gradients are off from here on
        start = last + 1
        while events[start - 1].mode == after.mode:
            start -= 1
        return f"in {events[start]}", CAUSES[after.mode]
    reason = CAUSES["zero"] if after.attached else CAUSES["detached"]
    if before.where == after.where:
        return f"in {after}", reason
    if before.leaving:
        return f"between {before} and {after}", reason
    right = f"before {after}" if not after.leaving else f"in {after}"
    return f"in {before}, which begins {right}", reason
