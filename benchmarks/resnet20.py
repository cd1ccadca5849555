"""ResNet-20 for photographs of 32 px (He et al. 2016, section 4.2), the target of docs/metrics.md's CIFAR table.

`encoder=custom encoder.model=benchmarks/resnet20.py:resnet20`
"""

from collections import OrderedDict

from torch import Tensor, nn


class Block(nn.Module):
    """Two convolutions and a shortcut: the identity, or a projection where the shape changes (option B).

    Args:
        channels: Channels of the input.
        out: Channels of the output.
        stride: Stride of the first convolution.
    """

    def __init__(self, channels: int, out: int, stride: int):
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(channels, out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(),
            nn.Conv2d(out, out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(out),
        )
        same = channels == out and stride == 1
        projection = (nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        self.shortcut = nn.Identity() if same else nn.Sequential(*projection)
        self.relu = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        return self.relu(self.residual(images) + self.shortcut(images))


def resnet20(classes: int = 10, width: int = 16) -> nn.Module:
    """Three stages of three blocks; the maps of the second and third have half the side and twice the channels.

    Args:
        classes: Number of classes.
        width: Channels of the first stage.

    Returns:
        The network, with random weights, for images `(N, 3, side, side)`.
    """
    stem = nn.Sequential(nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
    layers: list[tuple[str, nn.Module]] = [("stem", stem)]
    channels = width
    for stage in range(3):
        out = width * 2**stage
        blocks = [Block(channels, out, 2 if stage else 1), Block(out, out, 1), Block(out, out, 1)]
        layers.append((f"stage{stage + 1}", nn.Sequential(*blocks)))
        channels = out
    head = [("pool", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten()), ("fc", nn.Linear(channels, classes))]
    return nn.Sequential(OrderedDict(layers + head))
