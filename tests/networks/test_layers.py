"""Layers by name, whatever a module gives and however a network calls it."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models

from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.networks.inputs import InputSpace

IMAGES = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def net_of(module, size=16, **more):
    torch.manual_seed(0)
    return FeatureNet(module, InputSpace(size=(size, size)), "net", **more)


class Odd(nn.Module):
    """A module called twice, one that gives a dict, a branch on what is seen, axes in another order, windows."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.twice = nn.ReLU()
        self.several = Several()
        self.bright, self.dark = nn.Identity(), nn.Identity()
        self.sequence_first = nn.Identity()
        self.windowed = nn.Identity()
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        bright = x.mean() > 0.3
        x = self.twice(self.conv(x))
        x = self.twice(x - 0.1)
        x = (self.bright if bright else self.dark)(x)
        found = self.several(x)
        tokens = found["tokens"]  # (N, 256, 6)
        self.sequence_first(tokens.transpose(0, 1))
        self.windowed(tokens.reshape(-1, 64, 6))
        return self.head(found["mean"])


class Several(nn.Module):
    def forward(self, x):
        return {"mean": x.mean((2, 3)), "tokens": x.flatten(2).transpose(1, 2), "deep": [x, {"map": 2 * x}]}


def test_calls_outputs_and_orders_of_axes():
    net = net_of(Odd())
    names = ["twice@0", "twice", "twice@1:input", "several", "several:tokens", "several:deep.1.map"]
    found = net(IMAGES, [*names, "sequence_first", "windowed", "several:tokens:mean", "twice:mean", "head"])
    first = net.network.conv(IMAGES).relu()
    last = (first - 0.1).relu()
    tokens = last.flatten(2).transpose(1, 2)
    expected = {
        "twice@0": first,
        "twice": last,
        "twice@1:input": first - 0.1,
        "several": last.mean((2, 3)),
        "several:tokens": tokens,
        "several:deep.1.map": 2 * last,
        "sequence_first": tokens,
        "windowed": tokens,
        "several:tokens:mean": tokens.mean(1),
        "twice:mean": last.mean((2, 3)),
        "head": net.network.head(last.mean((2, 3))),
    }
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, msg=name)
        assert net.layer(name).shape == tuple(tensor.shape[1:])


def test_a_layer_that_these_images_do_not_reach_is_an_error_not_a_key_error():
    net = net_of(Odd())
    assert net(IMAGES, ["bright"])["bright"].shape == (3, 6, 16, 16)
    with pytest.raises(UserError, match="did not reach layer 'bright'"):
        net(torch.zeros(1, 3, 16, 16), ["bright"])


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("twice@7", "@0, @0:input, @1"),
        ("several:nothing", ":tokens"),
        ("head:class", "class is for tokens"),
        ("head:mean", "tokens or a map"),
        ("several:deeep", ":deep"),
    ],
)
def test_a_missing_unit_is_reported_with_the_available_ones(name, says):
    with pytest.raises(UserError) as error:
        net_of(Odd()).layer(name)
    assert says in str(error.value)


def test_a_module_that_is_never_called_is_reported_as_such():
    class Unused(nn.Sequential):
        def forward(self, x):
            return self[0](x)

    with pytest.raises(UserError, match="never calls that module"):
        net_of(Unused(nn.Conv2d(3, 4, 3), nn.ReLU())).layer("1")


@pytest.mark.parametrize("name", ["swin_t", "convnext_tiny"])
def test_maps_with_channels_last_come_out_as_maps_do_elsewhere(name):
    network = models.get_model(name, weights=None)
    net = net_of(network, 32)
    images = torch.rand(2, 3, 32, 32)
    if name == "swin_t":
        expected = {"features.1": network.features[:2](images).permute(0, 3, 1, 2)}
    else:
        x = network.features[0](images)
        inner = network.features[1][0].block
        expected = {"features.1.0.block.2": inner[2](inner[1](inner[0](x))).permute(0, 3, 1, 2)}
        expected["features.0"] = x
    found = net(images, list(expected))
    for layer, tensor in expected.items():
        torch.testing.assert_close(found[layer], tensor)
        assert net.layer(layer).shape == tuple(tensor.shape[1:])
        assert net.layer(layer).units == tensor.shape[1]


def test_the_layout_of_ambiguous_maps_is_found_with_another_size():
    class Cube(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Conv2d(3, 8, 1, 2), nn.Identity()

        def forward(self, x):
            return self.last(self.first(x).permute(0, 2, 3, 1))

    layers = net_of(Cube()).layers()
    assert not layers["first"].channels_last
    assert layers["last"].channels_last


def test_tokens_and_their_class_token():
    network = models.vit_b_32(weights=None, image_size=64)
    torch.nn.init.normal_(network.class_token)
    net = net_of(network, 64)
    images = torch.rand(2, 3, 64, 64)
    found = net(images, ["encoder.ln", "encoder.ln:class", "encoder.ln:mean", "heads.head:input"])
    assert found["encoder.ln"].shape == (2, 5, 768)
    torch.testing.assert_close(found["encoder.ln:class"], found["encoder.ln"][:, 0])
    torch.testing.assert_close(found["heads.head:input"], found["encoder.ln:class"])
    torch.testing.assert_close(found["encoder.ln:mean"], found["encoder.ln"].mean(1))


def test_the_default_code_is_the_input_of_the_classifier():
    expected = {
        "resnet18": ("fc:input", 512),
        "alexnet": ("classifier.6:input", 4096),
        "squeezenet1_1": ("classifier.1:input", 512),
    }
    for name, (layer, units) in expected.items():
        net = net_of(models.get_model(name, weights=None), 64)
        assert (net.code_layer(), net.layer(net.code_layer()).units) == (layer, units)


def test_the_search_reads_below_the_relu_that_ends_a_block():
    net = net_of(models.resnet18(weights=None), 32)
    assert net.before_rectifier("layer4") == "layer4.1.relu:input"
    assert net.before_rectifier("fc") == "fc"


def test_conv1_of_a_deep_network_costs_a_fraction_of_the_whole():
    net = net_of(models.resnet50(weights=None), 64)
    net.layers()

    def operations(layer: str) -> int:
        with FlopCounterMode(display=False) as counter:
            net(torch.rand(1, 3, 64, 64), [layer])
        return counter.get_total_flops()

    assert operations("conv1") == 2 * 32 * 32 * 64 * 3 * 7 * 7  # that convolution and no more
    assert operations("conv1") < 0.05 * operations("fc")
    assert operations("layer2") < 0.6 * operations("fc")


def test_duplicate_labels_are_made_unique():
    net = net_of(nn.Sequential(nn.Flatten(), nn.Linear(768, 3)), labels=["crane", "house", "crane"])
    assert net.labels == ("crane", "house", "crane (2)")
    assert net.layer_labels("1") == net.labels
