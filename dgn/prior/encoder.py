"""The encoder of a prior, built again from what the prior's file says of it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dgn.devices import placed
from dgn.errors import UserError, first_line
from dgn.networks.featurenet import FeatureNet
from dgn.networks.weights.load import load_state_dict
from dgn.networks.zoo import build, named
from dgn.runs.programs import command, override


def build_encoder(
    known: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    source: str,
    device: torch.device,
    code: str | None = None,
) -> FeatureNet:
    """Returns the network that a prior inverts, verified by its fingerprint.

    Args:
        known: {spec, fingerprint, name} of the network.
        tensors: Its weights, if the file holds them.
        source: The name of the prior in messages.
        device: Where it computes.
        code: The user's own code by which the prior's generator is made, for messages.

    Raises:
        UserError: If it cannot be built or is another one; the message says how to name it.
    """
    named_code = () if code is None else (override("generator.model", code),)
    again = command("visualize", override("prior", source), *named_code)
    if not known["spec"]:
        raise UserError(
            f"{source}: its generator paints from noise, and inverts no network; name the network to show, as in "
            f"{again} target=torchvision target.name=resnet50 target.weights=DEFAULT"
        )
    if known["fingerprint"] is None:  # a published generator, imported without its encoder's weights
        raise UserError(
            f"{source}: imported without the weights of {known['name']}, which it inverts; visualize with "
            f"target={known['name']} target.weights=FILE, or import it again with --{known['name']} FILE"
        )
    spec, given = dict(known["spec"]), known["spec"].get("weights")
    try:
        if tensors:
            spec |= {"weights": None, "container": None}
            _check_size(spec, tensors)
        net = build(spec)
        if tensors:
            load_state_dict(net.network, tensors, source=source)
    except _OF_WRONG_VALUES as error:
        raise UserError(f"{source} is damaged: it describes its encoder wrongly ({first_line(error)})") from None
    except UserError as error:
        raise UserError(
            f"{source}: the network that this prior inverts is not available from the file alone ({error}); "
            f"name it: {again} {named(spec)}"
        ) from None
    if net.fingerprint() != known["fingerprint"]:
        raise UserError(
            f"{source}: the encoder {known['name']} built from weights={given} is not the one "
            f"this prior was trained to invert (its weights differ); name the right one: {named(spec)}"
        )
    return placed(net, device)


_OF_WRONG_VALUES = (RuntimeError, TypeError, ValueError, KeyError, AttributeError, ArithmeticError, MemoryError)


def _check_size(spec: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Raises ValueError if a spec describes a network far larger than its tensors, before memory is taken for it."""
    try:
        with torch.device("meta"):
            described = sum(tensor.numel() for tensor in build(spec).network.state_dict().values())
    except NotImplementedError:  # a network that cannot be built without its values
        return
    held = sum(tensor.numel() for tensor in tensors.values())
    if described > 2 * held + 1000:
        raise ValueError(f"a network of {described} weights, and {held} are in the file")
