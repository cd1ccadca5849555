import pytest
import torch
from torch import nn
from torchvision import models

from dgn.networks.featurenet import FeatureNet
from dgn.networks.inputs import InputSpace
from dgn.networks.receptive.field import region
from dgn.networks.zoo import caffenet


class Branches(nn.Module):
    """Shortcut, concatenation, pooling with ceil, dilation, channels last, and a stride in one branch's middle."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 5, 2, 1)
        self.long = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=2, dilation=2))
        self.short = nn.Conv2d(4, 4, 1)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.norm = nn.LayerNorm(8)
        self.mix = nn.Linear(8, 6)
        self.last = nn.Conv2d(6, 4, (3, 1), padding=(1, 0))
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        x = self.stem(x)
        x = torch.cat([self.long(x) + x, self.short(x)], 1)
        x = self.pool(x).permute(0, 2, 3, 1)
        x = self.mix(self.norm(x)).permute(0, 3, 1, 2)
        return self.head(self.last(x).mean((2, 3)))


def seen_by_brute_force(net, layer, position, size):
    """Which input pixels change the units at a position: each pixel, one by one."""
    base = torch.rand(1, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    images = base.repeat(size * size, 1, 1, 1)
    for pixel in range(size * size):
        images[pixel, :, pixel // size, pixel % size] += 10 + torch.arange(3)
    at = (slice(None), slice(None), *position)
    before, after = (net(batch, [layer])[layer][at] for batch in (base, images))
    changed = (after != before).flatten(1).any(1).view(size, size).nonzero()
    top, left = changed.amin(0).tolist()
    bottom, right = (changed.amax(0) + 1).tolist()
    return top, left, bottom, right


@pytest.mark.parametrize(
    ("layer", "positions"),
    [
        ("stem", [(0, 0), (6, 9)]),
        ("long.2", [(0, 3), (6, 6)]),
        ("short", [(6, 6)]),
        ("pool", [(0, 0), (3, 3), (4, 2)]),
        ("norm", [(3, 3)]),
        ("mix", [(3, 3)]),
        ("last", [(3, 3), (0, 4)]),
        ("head", [()]),
    ],
)
def test_a_region_is_what_changes_a_unit_when_it_changes(layer, positions):
    torch.manual_seed(0)
    network = Branches().double()
    # Any path counts, none may cancel or be shut: positive weights, and maxima that every pixel can reach.
    for parameter in network.parameters():
        parameter.data.abs_()
    net = FeatureNet(network, InputSpace(size=(24, 24)), "branches")
    for position in positions:
        found = seen_by_brute_force(net, layer, position, 24)
        assert region(net, layer, position) == found, position
        assert net.receptive_field(layer).exact


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [  # Araujo, Norris & Sim 2019, "Computing Receptive Fields of Convolutional Neural Networks"
        ("alexnet", 224, {"features.12": (195, 32)}),
        ("vgg16", 64, {"features.29": (196, 16), "features.30": (212, 32)}),
        ("resnet50", 64, {"layer3": (267, 16), "layer4": (427, 32)}),
        ("resnet18", 64, {"layer4": (435, 32)}),
    ],
)
def test_published_sizes(name, size, expected):
    net = FeatureNet(models.get_model(name, weights=None), InputSpace(size=(size, size)), name)
    for layer, (sees, stride) in expected.items():
        field = net.receptive_field(layer)
        assert (field.size, field.stride) == ((sees, sees), (stride, stride))


def test_caffenets_published_sizes_and_corner():
    net = caffenet(weights=None)
    assert net.receptive_field("conv5").size == (163, 163)
    assert net.receptive_field("pool5").size == (195, 195)
    # conv1 has no padding, conv2 pads by 2 of 8 pixels, conv3 .. conv5 by 1 of 16.
    assert net.receptive_field("pool5").offset == (-16 - 3 * 16, -16 - 3 * 16)
    assert region(net, "pool5", (0, 0)) == (0, 0, 131, 131)
    assert net.receptive_field("fc6").everywhere
    assert region(net, "fc6") == (0, 0, 227, 227)


def test_global_receptive_fields_are_marked_and_unknown_ones_are_not_stated():
    vit = FeatureNet(models.vit_b_32(weights=None, image_size=64), InputSpace(size=(64, 64)), "vit")
    assert region(vit, "conv_proj", (1, 0)) == (32, 0, 64, 32)
    assert region(vit, "encoder.dropout", (1 + 2,)) == (32, 0, 64, 32)  # the class token, then row by row
    assert vit.receptive_field("encoder.ln").everywhere
    gated = FeatureNet(models.mobilenet_v3_small(weights=None), InputSpace(size=(64, 64)), "gated")
    assert gated.receptive_field("features.0").size == (3, 3)
    assert gated.receptive_field("features.1").everywhere  # squeeze and excitation look at all of the image
    swin = FeatureNet(models.swin_t(weights=None), InputSpace(size=(64, 64)), "swin")
    assert not swin.receptive_field("features.1").exact
