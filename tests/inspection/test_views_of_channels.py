"""Filters and patches of networks that see other channels than RGB, against a direct computation."""

import pytest
import torch
from torch import nn

from dgn.am.objectives.terms import Unit
from dgn.inspection import first_filters, patches_of
from dgn.metrics.top_images import top_images
from dgn.networks.featurenet import FeatureNet
from dgn.networks.inputs import InputSpace


class Kept:
    """Real images in memory, as patches ask for them."""

    def __init__(self, images):
        self.images = images

    def images_at(self, places):
        return {place: self.images[place] for place in places}


@pytest.mark.parametrize("channels", [1, 4])
def test_filters_and_patches_have_the_networks_channels(channels):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(channels, 2, 3, 2), nn.ReLU())
    order = "grey" if channels == 1 else "as_is"
    space = InputSpace((9, 9), mean=(0.0,) * channels, std=(1.0,) * channels, channel_order=order)
    net = FeatureNet(module, space, "tiny")
    weight, bias = module[0].weight.detach(), module[0].bias.detach()
    filters = first_filters(net).images
    largest = weight.abs().amax((1, 2, 3), keepdim=True)
    torch.testing.assert_close(filters, 0.5 + 0.5 * weight / largest)

    images = (torch.rand(12, channels, 9, 9) * 255).round() / 255
    units = [Unit("0", index) for index in range(2)]
    ranked = top_images(net, units, iter([images]), 3)
    for shown, index in zip(patches_of(net, units, ranked, Kept(images)), range(2), strict=True):
        patches = torch.stack(list(shown.patches))
        assert patches.shape == (3, channels, 3, 3)
        expected = (patches.float() * weight[index]).sum((1, 2, 3)) + bias[index]
        torch.testing.assert_close(shown.values.float(), expected, atol=1e-4, rtol=0)
        assert torch.stack(list(shown.deconvolutions)).shape == (3, channels, 3, 3)
