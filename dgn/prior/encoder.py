"""The encoder of a prior, built again from what the prior's file says of it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dgn.devices import placed
from dgn.errors import UserError
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
    spec = dict(known["spec"])
    try:
        net = build(spec | ({"weights": None, "container": None} if tensors else {}))
        if tensors:
            load_state_dict(net.network, tensors, source=source)
    except UserError as error:
        raise UserError(
            f"{source}: the network that this prior inverts is not available from the file alone ({error}); "
            f"name it: {again} {named(spec)}"
        ) from None
    if net.fingerprint() != known["fingerprint"]:
        raise UserError(
            f"{source}: the encoder {known['name']} built from weights={spec.get('weights')} is not the one "
            f"this prior was trained to invert (its weights differ); name the right one: {named(spec)}"
        )
    return placed(net, device)
