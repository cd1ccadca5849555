"""Small networks of unusual kinds for `benchmarks/networks.py`: `encoder.model=benchmarks/other_networks.py:NAME`."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.models import resnet18
from torchvision.models.segmentation.fcn import FCNHead
from torchvision.ops import FeaturePyramidNetwork


class RowReader(nn.Module):
    """A GRU that reads an image row by row and classifies from its last state."""

    def __init__(self, units: int = 32, classes: int = 5) -> None:
        super().__init__()
        self.rows = nn.Conv2d(3, 4, 4, 4)
        self.gru = nn.GRU(input_size=4 * 16, hidden_size=units, batch_first=True)
        self.head = nn.Linear(units, classes)

    def forward(self, images: Tensor) -> Tensor:
        rows = self.rows(images).permute(0, 2, 1, 3).flatten(2)  # (N, 16, 4 * 16)
        states, _ = self.gru(rows)
        return self.head(states[:, -1])


class Mixer(nn.Module):
    """An MLP-Mixer of two blocks (Tolstikhin et al. 2021)."""

    def __init__(self, size: int = 64, patch: int = 8, channels: int = 32, classes: int = 5) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, channels, patch, patch)
        self.blocks = nn.Sequential(*(_MixerBlock((size // patch) ** 2, channels) for _ in range(2)))
        self.norm = nn.LayerNorm(channels)
        self.head = nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.stem(images).flatten(2).transpose(1, 2)
        return self.head(self.norm(self.blocks(tokens)).mean(1))


class _MixerBlock(nn.Module):
    def __init__(self, tokens: int, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.mlp_tokens = nn.Sequential(nn.Linear(tokens, 32), nn.GELU(), nn.Linear(32, tokens))
        self.mlp_channels = nn.Sequential(nn.Linear(channels, 64), nn.GELU(), nn.Linear(64, channels))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.mlp_tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.mlp_channels(self.norm2(x))


class Conditioned(nn.Module):
    """A network with a second input, which has a default: a scale for its features."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU())
        self.head = nn.Linear(16, classes)

    def forward(self, images: Tensor, scale: Tensor | None = None) -> Tensor:
        pooled = self.features(images).mean((2, 3))
        return self.head(pooled if scale is None else pooled * scale)


@dataclass
class Outputs:
    """What `Described` returns."""

    logits: Tensor
    features: Tensor
    loss: Tensor | None = None


class Described(nn.Module):
    """A network that returns a dataclass, as those of transformers do."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU())
        self.head = nn.Linear(16, classes)

    def forward(self, images: Tensor) -> Outputs:
        features = self.features(images)
        return Outputs(self.head(features.mean((2, 3))), features)


class Pyramid(nn.Module):
    """A feature pyramid on a ResNet-18, the backbone of detectors (Lin et al. 2017): {level: map}."""

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        self.body = resnet18()
        self.fpn = FeaturePyramidNetwork([64, 128, 256, 512], channels)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        body = self.body
        x = body.maxpool(body.relu(body.bn1(body.conv1(images))))
        maps = {}
        for level in ("layer1", "layer2", "layer3", "layer4"):
            x = getattr(body, level)(x)
            maps[level] = x
        return self.fpn(maps)


class Segmenter(nn.Module):
    """A small fully convolutional segmentation network (Long et al. 2015): {"out": (N, classes, H, W)}."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU())
        self.classifier = FCNHead(32, classes)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        scores = self.classifier(self.backbone(images))
        return {"out": torch.nn.functional.interpolate(scores, images.shape[-2:], mode="bilinear", align_corners=False)}
