"""Checks whether a network is usable in a role, and explains why if it is not.

`check` runs once when a network becomes encoder, comparator, target or judge: two small forward passes, and a backward
pass if the role needs a gradient. Only a network that fails is examined further, to name the cause.
"""

import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from dgn.errors import UserError, first_line
from dgn.networks.featurenet import FeatureNet
from dgn.networks.foreign_code import format_error
from dgn.networks.layers import OUTPUT, iterate_tensors, watched

NEEDS_GRADIENT = ("comparator", "target")
"""Roles in which images are optimized along a gradient that passes through the network."""


def check(net: FeatureNet, role: str, layers: Sequence[str]) -> None:
    """Checks that `net` can be used as `role`.

    Two images and one image must give activations of the layers' shapes, these must be finite, and in the roles of
    `NEEDS_GRADIENT` the gradient of every layer must reach the images. The result is cached: a network that has
    passed is not checked again for the same layers.

    Args:
        net: The network.
        role: "encoder", "comparator", "target" or "judge".
        layers: The layers that the role reads.

    Raises:
        UserError: If `net` cannot be used; one line with the cause and the next step.
    """
    gradient = role in NEEDS_GRADIENT
    passed = _PASSED.setdefault(net, set())
    wanted = [name for name in dict.fromkeys(layers) if (name, gradient) not in passed]
    if not wanted:
        return
    with torch.inference_mode(False), torch.enable_grad():
        images = _images(net, 2).requires_grad_(gradient)
        activations = _activations(net, images, wanted, role)
        single = _activations(net, _images(net, 1), wanted, role)
        for name in wanted:
            _check_shapes(net, role, name, activations[name], single[name])
            _check_finite(net, role, name, activations[name])
            _check_finite(net, role, name, single[name])
        for name in wanted if gradient else ():
            _check_gradient(net, role, name, images, activations[name])
    passed.update((name, gradient) for name in wanted)


_PASSED: WeakKeyDictionary[FeatureNet, set[tuple[str, bool]]] = WeakKeyDictionary()


def _images(net: FeatureNet, count: int) -> Tensor:
    noise = torch.rand(2, 3, *net.probe_size, generator=torch.Generator().manual_seed(1))
    return noise[:count].to(net.device)


def _activations(net: FeatureNet, images: Tensor, layers: Sequence[str], role: str) -> dict[str, Tensor]:
    try:
        return net(images, layers)
    except UserError:
        raise
    except Exception as error:  # user code can raise anything
        batch = "one image" if len(images) == 1 else f"a batch of {len(images)} images"
        grad = " with a gradient" if images.requires_grad else ""
        raise UserError(
            f"{net.name} cannot be the {role}: on {batch}{grad} its own code raises {format_error(error)}; fix it there"
        ) from error


def _check_shapes(net: FeatureNet, role: str, name: str, two: Tensor, one: Tensor) -> None:
    shape = net.layer(name).shape
    if tuple(two.shape) == (2, *shape) and tuple(one.shape) == (1, *shape):
        return
    if tuple(one.shape) == shape or one.ndim < two.ndim:
        raise UserError(
            f"{net.name} cannot be the {role}: for one image {name} gives a tensor of shape {tuple(one.shape)} instead "
            f"of {(1, *shape)}, as .squeeze() without an axis does; use .flatten(1) or .squeeze(-1) in its forward"
        )
    raise UserError(
        f"{net.name} cannot be the {role}: the shape of {name} changes from call to call, {tuple(two.shape)} for two "
        f"images and {tuple(one.shape)} for one, where {shape} for each is expected; name another layer"
    )


def _check_finite(net: FeatureNet, role: str, name: str, activations: Tensor) -> None:
    finite = activations.isfinite()
    if bool(finite.all()) or (role == "target" and bool(finite.any())):  # the search reports which units are not finite
        return
    bad = next((key for key, value in net.network.state_dict().items() if _not_finite(value)), None)
    if bad is not None:
        raise UserError(
            f"{net.name} cannot be the {role}: its weight {bad} holds values that are not finite; give other weights"
        )
    count = len(activations)
    events = _watch(net, _images(net, count))
    first = next((event.where for event in events if event.leaving and not event.finite), name)
    images = "one image" if count == 1 else f"{count} images"
    raise UserError(
        f"{net.name} cannot be the {role}: {name} is not finite on {images} of plain noise, first at {first}; check "
        "its weights, what its forward divides by, and mean, std and value_range of what enters"
    )


def _not_finite(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and not bool(value.isfinite().all())


def _check_gradient(net: FeatureNet, role: str, name: str, images: Tensor, activations: Tensor) -> None:
    """Checks that the gradient of the layer reaches the images.

    Units of a rectifier that are 0 on both images have no gradient to check here; the search reports these itself.
    """
    cause = ""
    if activations.requires_grad:
        try:
            gradient = _gradient(activations, images)
        except RuntimeError as error:
            gradient, cause = None, _of_torch(error)
        else:
            alike = torch.equal(activations[0], activations[1])
            if gradient is not None and (bool(gradient.any()) or alike):
                return
    place, reason = _lost(net, name)
    raise UserError(
        f"{net.name} cannot be the {role}: no gradient comes from {name} to the images. It is lost {place} "
        f"({cause or reason}); change that, or name a layer before it"
    )


def _of_torch(error: RuntimeError) -> str:
    text = first_line(error)
    return _REENTRANT if "heckpoint" in text and "use_reentrant" in str(error) else text


_REENTRANT = "reentrant checkpointing: give torch.utils.checkpoint use_reentrant=False, or leave it out"
_CAUSES = {
    "inference": "computed under torch.inference_mode()",
    "no_grad": "computed under torch.no_grad()",
    "detached": "by detach(), .data, a round trip through numpy or a cast to whole numbers",
    "zero": "a step whose gradient is 0 everywhere, such as rounding, sign or a comparison",
}


@dataclass(frozen=True)
class _Event:
    """The entry or exit of a module, recorded during a forward pass with gradients."""

    where: str
    kind: str
    leaving: bool
    attached: bool
    mode: str
    finite: bool
    tensor: Tensor | None


def _watch(net: FeatureNet, images: Tensor) -> list[_Event]:
    events: list[_Event] = []

    def note(name: str, kind: str, entering: bool, value: Any) -> None:
        tensors = [tensor for _, tensor in iterate_tensors(value) if tensor.is_floating_point()]
        if not tensors:
            return
        attached = any(tensor.requires_grad for tensor in tensors)
        finite = all(bool(tensor.detach().isfinite().all()) for tensor in tensors)
        events.append(_Event(name, kind, not entering, attached, _grad_mode(), finite, tensors[0]))

    with watched(net.network, note):
        net._call(net.input_space.enter(images))
    return events


def _grad_mode() -> str:
    if torch.is_inference_mode_enabled():
        return "inference"
    if torch.is_grad_enabled():
        return ""
    frames = traceback.extract_stack()
    return "checkpoint" if any(frame.filename.endswith("torch/utils/checkpoint.py") for frame in frames) else "no_grad"


def _lost(net: FeatureNet, name: str) -> tuple[str, str]:
    """Returns where the gradient of a layer is lost on its way to the images, and why."""
    images = _images(net, 2).requires_grad_(True)
    events = _watch(net, images)
    module, entering = net.layer(name).module, net.layer(name).entering
    ends = [i for i, event in enumerate(events) if event.where == module and event.leaving != entering]
    ends = ends or [len(events) - 1]
    call = net.layer(name).call
    end = ends[-1] if call is None else ends[min(call, len(ends) - 1)]

    def reaches(event: _Event) -> bool:
        if event.tensor is None or not event.tensor.requires_grad:
            return False
        try:
            gradient = _gradient(event.tensor, images)
        except RuntimeError:
            return False
        return gradient is not None and bool(gradient.any())

    last = next((i for i in range(end, -1, -1) if events[i].attached and reaches(events[i])), None)
    if last is None or last == end:
        return f"in {_called(events[end])}", _CAUSES["detached"]
    before, after = events[last], events[last + 1]
    if after.mode:  # gradients are off from here on
        start = last + 1
        while events[start - 1].mode == after.mode:
            start -= 1
        reason = _REENTRANT if after.mode == "checkpoint" else _CAUSES[after.mode]
        return f"in {_called(events[start])}", reason
    reason = _CAUSES["zero"] if after.attached else _CAUSES["detached"]
    if before.where == after.where:
        return f"in {_called(after)}", reason
    left = f"after {_called(before)}" if before.leaving else f"in {_called(before)}, which begins"
    right = f"before {_called(after)}" if not after.leaving else f"in {_called(after)}"
    return (f"between {_called(before)} and {_called(after)}" if before.leaving else f"{left} {right}"), reason


def _called(event: _Event) -> str:
    return f"the network's forward ({event.kind})" if event.where == OUTPUT else f"{event.where} ({event.kind})"


def _gradient(tensor: Tensor, images: Tensor) -> Tensor | None:
    """The gradient of a randomly weighted sum of a tensor's entries; random weights keep entries from cancelling."""
    weights = torch.rand(tensor.shape, generator=torch.Generator().manual_seed(2)).to(tensor) + 0.5
    signs = torch.randint(0, 2, tensor.shape, generator=torch.Generator().manual_seed(3)).to(tensor) * 2 - 1
    (gradient,) = torch.autograd.grad((tensor * weights * signs).sum(), images, retain_graph=True, allow_unused=True)
    return gradient
