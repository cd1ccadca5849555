"""The discriminator D: classifies real and generated images, with or without the code (Dosovitskiy & Brox 2016).

Published: conv 32 k7 s4 -> conv 64 k5 s1 -> conv 128 k3 s2 -> conv 256 k3 s1 -> conv 256 k3 s2, ReLU after each,
no padding; average pooling; dropout 0.5 -> fc 256 -> ReLU -> dropout 0.5 -> fc 2 -> softmax. Conditioned on the
code, two fully connected layers process it, and their output is concatenated with D's pooled features.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from dgn.data.size import ImageSize, sides
from dgn.errors import UserError
from dgn.networks.critic import Critic
from dgn.networks.dropout import SharedDropout
from dgn.networks.featurenet import FeatureNet
from dgn.networks.plan import parse_plan, scaled, shape_after
from dgn.networks.precision import at_least_float32, own_layers

PUBLISHED_PLAN = (
    "conv 32 k7 s4 p0, conv 64 k5 s1 p0, conv 128 k3 s2 p0, conv 256 k3 s1 p0, conv 256 k3 s2 p0, average, "
    "dropout 0.5, fc 256, dropout 0.5, fc 2"
)
REAL, GENERATED = 1, 0
"""Labels of D's two outputs."""


class Discriminator(Critic):
    """The discriminator D.

    Weights use MSRA initialization, scaled by 0.1 for the first convolution and the fully connected layers.

    Args:
        image_size: Side of the images in pixels, or (height, width).
        plan: The architecture up to `fc 2`; None: `auto_plan`.
        width: Scales the automatic plan; 1 is the published size.
        code_shape: Shape of the codes to condition on; None: D sees only the image.
        code_units: Units of the two fully connected layers on the code.
        image_channels: Number of channels of the images.

    Raises:
        UserError: If the plan is not that of a discriminator.
    """

    def __init__(
        self,
        image_size: ImageSize,
        plan: str | None = None,
        width: float = 1.0,
        code_shape: Sequence[int] | None = None,
        code_units: tuple[int, int] = (1024, 512),
        image_channels: int = 3,
    ) -> None:
        super().__init__()
        self.plan = plan or auto_plan(min(sides(image_size)), width)
        steps = parse_plan(self.plan)
        shape: tuple[int, ...] = (image_channels, *sides(image_size))
        if steps[-1].kind != "fc" or steps[-1].width != 2:
            raise UserError(f"discriminator's plan ends in `{self.plan.split(', ')[-1]}`; it must end in `fc 2`")
        self.image_layers, self.judgement = nn.Sequential(), nn.Sequential()
        self.code_layers: nn.Sequential | None = None
        part = self.image_layers
        for i, step in enumerate(steps):
            if step.kind == "conv":
                part.append(nn.Conv2d(shape[0], step.width, step.kernel, step.stride, step.padding))
            elif step.kind == "fc":
                part.append(nn.Linear(math.prod(shape), step.width))
            elif step.kind == "dropout":
                part.append(SharedDropout(step.size[0]))
            elif step.kind == "average":
                part.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten()])
            else:
                raise UserError(f"plan step `{step.kind}` is not for a discriminator")
            shape = shape_after(step, shape)
            if step.has_weights and i != len(steps) - 1:
                part.append(nn.ReLU(inplace=True))
            if step.kind == "average":
                part = self.judgement
                if code_shape is not None:
                    units = math.prod(code_shape), *code_units
                    self.code_layers = nn.Sequential(
                        nn.Linear(units[0], units[1]), nn.ReLU(), nn.Linear(units[1], units[2]), nn.ReLU()
                    )
                    shape = (shape[0] + units[2],)
        if not len(self.judgement):
            raise UserError("discriminator's plan needs `average` between its convolutions and its fc layers")
        self._initialize()

    def seen(self, images: Tensor, features: Mapping[str, Tensor]) -> list[Tensor]:
        """Returns what D sees of images (N, C, H, W): the images."""
        return [images]

    def judge(
        self, real: Sequence[Tensor], generated: Sequence[Tensor], codes: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Scores images by the difference of D's two logits, REAL - GENERATED: one head with one position."""
        scores = []
        for (images,) in (real, generated):
            logits = self(images, codes)
            scores.append([logits[:, REAL, None] - logits[:, GENERATED, None]])
        return scores[0], scores[1]

    def forward(self, images: Tensor, codes: Tensor | None = None) -> Tensor:
        """Computes logits.

        Args:
            images: (N, C, H, W) in image space.
            codes: (N, *code_shape); required if D is conditioned.

        Returns:
            Logits (N, 2) for (GENERATED, REAL).
        """
        # D's input is centred and has about unit scale.
        images = 4 * at_least_float32(images) - 2
        with own_layers(images.device):
            features = self.image_layers(images)
            if self.code_layers is not None:
                assert codes is not None  # D is conditioned on them
                features = torch.cat([features, self.code_layers(codes.flatten(1))], dim=1)
            return at_least_float32(self.judgement(features))

    def _initialize(self) -> None:
        weighted = [m for m in self.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
        for module in weighted:
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
            if module is weighted[0] or isinstance(module, nn.Linear):
                module.weight.data.mul_(0.1)


def conv_discriminator(
    image_size: ImageSize,
    code_shape: Sequence[int],
    comparator: FeatureNet,
    plan: str | None = None,
    width: float = 1.0,
    conditional: bool = False,
    code_units: tuple[int, int] = (1024, 512),
    image_channels: int = 3,
) -> Discriminator:
    """Builds the discriminator of `discriminator=conv`; `comparator` is not used. See `Discriminator`."""
    code = tuple(code_shape) if conditional else None
    return Discriminator(image_size, plan, width, code, code_units, image_channels)


def auto_plan(image_size: int, width: float = 1.0) -> str:
    """The published plan for images of 160 px and more.

    For smaller images, the same five convolutions have smaller first kernels and strides, and padding, so that the
    average pooling still receives a map.
    """
    c = [scaled(n, width) for n in (32, 64, 128, 256, 256, 256)]
    if image_size >= 160:
        geometry = ("k7 s4 p0", "k5 s1 p0", "k3 s2 p0", "k3 s1 p0", "k3 s2 p0")
    elif image_size >= 96:
        geometry = ("k5 s4 p2", "k5 s1 p2", "k3 s2 p1", "k3 s1 p1", "k3 s2 p1")
    elif image_size >= 48:
        geometry = ("k5 s2 p2", "k3 s2 p1", "k3 s1 p1", "k3 s2 p1", "k3 s1 p1")
    else:
        geometry = ("k3 s1 p1", "k3 s2 p1", "k3 s1 p1", "k3 s2 p1", "k3 s1 p1")
    convs = [f"conv {n} {g}" for n, g in zip(c[:5], geometry, strict=True)]
    return ", ".join([*convs, "average", "dropout 0.5", f"fc {c[5]}", "dropout 0.5", "fc 2"])
