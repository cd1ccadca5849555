"""A plain convolutional network for photographs of 32 px, the judge of docs/metrics.md's CIFAR table.

`judge=custom judge.model=benchmarks/vgg7.py:vgg7`. It shares neither architecture nor weights with the ResNet-20 whose
pictures it judges: no shortcuts, max pooling (Simonyan & Zisserman 2015, with batch normalization).
"""

from torch import nn

_CHANNELS = (32, 64, 64, 128, 128, 256)
_POOLED = (0, 2, 4)


def vgg7(classes: int = 10) -> nn.Module:
    """Six 3x3 convolutions, of which the first, third and fifth are followed by 2x2 max pooling, and a linear layer.

    Args:
        classes: Number of classes.

    Returns:
        The network, with random weights, for images `(N, 3, side, side)`.
    """
    layers: list[nn.Module] = []
    before = 3
    for place, channels in enumerate(_CHANNELS):
        layers += [nn.Conv2d(before, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] * (place in _POOLED)
        before = channels
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes))
