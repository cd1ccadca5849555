"""Grad-CAM (Selvaraju et al. 2017): the channels of a feature map, weighted by their mean gradient."""

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.surrogates import below_rectifier
from dgn.attribution.base import Channels
from dgn.attribution.response import Response, differentiable
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.networks.layers import Layer


@dataclass(frozen=True)
class GradCAM:
    """The rectified sum of the channels of a feature map, weighted by their mean gradient, enlarged to the image.

    Attributes:
        layer: The feature map; None: the deepest one below the unit that is not the output of a pooling, as published,
            nor on a branch beside the unit's own, on which it does not depend.
        channels: How channels become one map; Grad-CAM has only one.
        colour: Always False.
    """

    layer: str | None = None
    channels: Channels = "sum"
    colour: bool = False
    zero: ClassVar[str] = "no part of the feature map speaks for the unit"

    @property
    def signed(self) -> bool:
        return False

    def __call__(self, net: FeatureNet, objective: Objective, images: Tensor) -> Tensor:
        objective = below_rectifier(objective, net)
        response, layers = Response(net, objective), self._layers(net, objective)
        tried = (_weighted(response, layer, images) for layer in layers)
        depending = (weighted for weighted in tried if weighted is not None)
        deepest = next(depending, None)
        if deepest is None:
            raise UserError(
                f"gradcam: {', '.join(objective.layers)} does not depend on layer {layers[0].name} of {net.name}; name "
                "a feature map below it with attributions.gradcam.layer="
            )
        weighted = deepest if deepest.any() else next((other for other in depending if other.any()), deepest)
        return F.interpolate(weighted.relu(), images.shape[-2:], mode="bilinear", align_corners=False)

    def _layers(self, net: FeatureNet, objective: Objective) -> list[Layer]:
        """Returns the feature maps to try in turn. Raises UserError if there is none, or if the one named is none."""
        if self.layer is not None:
            layer = net.layer(self.layer)
            if _suitable(layer):
                return [layer]
            raise UserError(
                f"attributions.gradcam.layer={self.layer} has activations of shape {layer.shape}; Grad-CAM needs a "
                "feature map, (channels, height, width) as its module returns it"
            )
        names = list(net.layers())
        end = min(names.index(net.layer(name).name) for name in objective.layers if net.layer(name).name in names)
        maps = [net.layers()[name] for name in names[:end] if _suitable(net.layers()[name])]
        if not maps:
            raise UserError(
                f"gradcam needs a feature map below {', '.join(objective.layers)}, and {net.name} has none; take "
                "saliency, integrated_gradients or occlusion"
            )
        return [layer for layer in reversed(maps) if "Pool" not in layer.kind] or [maps[-1]]


def _weighted(response: Response, layer: Layer, images: Tensor) -> Tensor | None:
    """Returns the sum of the channels, weighted by their mean gradient; None if the unit does not depend on them."""
    from captum.attr import LayerGradCam  # here: it takes a second, and most commands need none of it

    method = LayerGradCam(response, response.net.network.get_submodule(layer.module))
    try:
        weighted: Tensor = method.attribute(differentiable(images), attribute_to_layer_input=layer.entering)
    except (RuntimeError, AssertionError, KeyError):
        return None
    return weighted.detach()


def _suitable(layer: Layer) -> bool:
    is_map = len(layer.shape) == 3 and layer.is_map
    as_returned = not layer.channels_last and layer.batch_axis == 0 and layer.windows == 1
    return is_map and as_returned and layer.calls == 1 and not layer.port and layer.plain
