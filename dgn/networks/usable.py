"""Checks whether a network is usable in a role, and explains why if it is not: the only place that decides it.

`check` runs once when a network becomes encoder, comparator, target or judge: two small forward passes; in roles that
need a gradient, also a backward pass, and two forward passes for finite differences (`dgn.networks.gradients`). Only a
network that fails is examined further, to name the cause.
"""

import hashlib
import logging
from collections.abc import Sequence
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from dgn.errors import UserError
from dgn.networks.cuts import noted_cuts
from dgn.networks.featurenet import IMAGES, FeatureNet
from dgn.networks.foreign_code import format_error
from dgn.networks.gradients import LostGradient, lost
from dgn.networks.layers import iterate_tensors, watched
from dgn.networks.named_networks import NamedNetworks
from dgn.networks.probing import noise_images

log = logging.getLogger(__name__)

NEEDS_GRADIENT = ("comparator", "target")
"""Roles in which images are optimized along a gradient that passes through the network."""


def check(net: FeatureNet, role: str, layers: Sequence[str], gradient: bool = True) -> None:
    """Checks that `net` can be used as `role`.

    Two images and one image must give activations of the layers' shapes, these must be finite, and in the roles of
    `NEEDS_GRADIENT` the gradient of every layer must reach the images. The result is cached: a network that has
    passed is not checked again for the same layers.

    Args:
        net: The network.
        role: "encoder", "comparator", "target" or "judge".
        layers: The layers that the role reads.
        gradient: Whether images are optimized along a gradient, in roles in which they may be.

    Raises:
        UserError: If `net` cannot be used; one line with the cause and the next step.
    """
    gradient = gradient and role in NEEDS_GRADIENT
    if isinstance(net, NamedNetworks):
        for prefix, member in net.members.items():
            own = [net.split(name)[2] for name in layers if net.split(name)[0] == prefix]
            if own:
                check(member, role, own, gradient)
        return
    if not net.has_gradient:
        if gradient:
            raise UserError(
                f"{net.name} gives scores and no gradient, which this method follows; take one that needs none: "
                "method=cma_sphere, cma, cma_cholesky or genetic"
            )
        return  # it is not asked for what is not needed
    passed = _PASSED.setdefault(net, set())
    wanted = [name for name in dict.fromkeys(layers) if (name, gradient) not in passed and name != IMAGES]
    if not wanted:
        return
    with torch.inference_mode(False), torch.enable_grad():
        images = _images(net, 2).requires_grad_(gradient)
        with noted_cuts(net.network) as seen:
            activations = _activations(net, images, wanted, role)
        single = _activations(net, _images(net, 1), wanted, role)
        for name in wanted:
            _check_shapes(net, role, name, activations[name], single[name])
            _check_finite(net, role, name, activations[name])
            _check_finite(net, role, name, single[name])
        if gradient:
            _check_gradients(net, role, lost(net, images, activations, seen))
    passed.update((name, gradient) for name in wanted)


class NamedNetwork(Protocol):
    """A network with a name, such as a FeatureNet."""

    @property
    def name(self) -> str: ...

    @property
    def network(self) -> nn.Module: ...


def check_independent(judge: NamedNetwork, target: NamedNetwork, role: str = "judge") -> None:
    """Raises UserError if judge and target share weights.

    A shared network would only confirm the target. Matrices and filters are compared tensor by tensor, so that a
    fine-tuned copy with a frozen trunk is detected too.

    Args:
        judge: The network that measures.
        target: The network that is measured.
        role: What the judge is called in the message: "judge" or "similarity".
    """
    own = _weights(judge.network)
    shared = own.keys() & _weights(target.network).keys()
    if shared:
        name = own[min(shared)]
        raise UserError(
            f"the {role} {judge.name} shares {len(shared)} weight tensors with the target {target.name} (first "
            f"{name}), so it would only repeat what the target says; give a {role} of its own weights, e.g. "
            "judge=mini_resnet judge.weights=FILE, or judge=none"
        )


def check_codes(net: FeatureNet, layer: str, mean: Tensor, std: Tensor) -> None:
    """Checks the codes of an encoder by their statistics over real images, where plain noise shows nothing.

    Args:
        net: The encoder.
        layer: The layer whose activations are the codes.
        mean: The mean of every unit of the code.
        std: The standard deviation of every unit.

    Raises:
        UserError: If the codes are not finite, or the same for all images.
    """
    if not (std.isfinite().all() and mean.isfinite().all()):
        raise UserError(f"{layer} of {net.name} is not finite on real images; check its weights")
    if not std.any():
        raise UserError(f"{layer} of {net.name} is the same for all images: nothing to invert; name another layer")


_PASSED: WeakKeyDictionary[FeatureNet, set[tuple[str, bool]]] = WeakKeyDictionary()


def _images(net: FeatureNet, count: int) -> Tensor:
    return noise_images(net, 2, seed=1)[:count]


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
    first = _first_not_finite(net, _images(net, count)) or name
    images = "one image" if count == 1 else f"{count} images"
    raise UserError(
        f"{net.name} cannot be the {role}: {name} is not finite on {images} of plain noise, first at {first}; check "
        "its weights, what its forward divides by, and mean, std and value_range of what enters"
    )


def _not_finite(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and not bool(value.isfinite().all())


def _first_not_finite(net: FeatureNet, images: Tensor) -> str:
    """The first module that gives values that are not finite."""
    modules: list[str] = []

    def note(name: str, kind: str, entering: bool, value: Any) -> None:
        if not entering and any(_not_finite(tensor) for _, tensor in iterate_tensors(value)):
            modules.append(name)

    with torch.no_grad(), watched(net.network, note):
        net.run(net.input_space.enter(images))
    return modules[0] if modules else ""


def _check_gradients(net: FeatureNet, role: str, losses: dict[str, LostGradient]) -> None:
    """Checks that the gradient of every layer reaches the images on every path."""
    for name, loss in losses.items():
        if loss.share == 1:
            raise UserError(
                f"{net.name} cannot be the {role}: no gradient comes from {name} to the images. It is lost "
                f"{loss.place} ({loss.cause}); change that, or name a layer before it"
            )
        what = f"the gradient from {name} to the images is cut on one of its paths, a missing part of {loss.share:.0%}"
        if loss.certain:
            raise UserError(
                f"{net.name} cannot be the {role}: {what}. It is lost {loss.place} ({loss.cause}); change that, or "
                "name a layer before it"
            )
        likely = (
            f"probably {loss.place} ({loss.cause})" if loss.cause else "probably by a function with its own backward"
        )
        log.warning("%s as the %s: %s, %s; the search follows what remains", net.name, role, what, likely)


def _weights(network: nn.Module) -> dict[str, str]:
    """Returns {SHA-256: name} of every weight tensor with two or more dimensions that is not constant.

    Independent networks do not share such tensors by chance.
    """
    names = {}
    for name, tensor in network.state_dict().items():
        if tensor.ndim >= 2 and tensor.is_floating_point() and bool((tensor != tensor.flatten()[0]).any()):
            data = tensor.detach().float().cpu().contiguous().numpy()
            names[hashlib.sha256(f"{data.shape}".encode() + data.tobytes()).hexdigest()] = name
    return names
