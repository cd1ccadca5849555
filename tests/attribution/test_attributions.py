"""Each method's step against the same step computed by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dgn.am.objectives.language import parse_units
from dgn.attribution import (
    Deconvnet,
    GradCAM,
    GuidedBackprop,
    IntegratedGradients,
    Occlusion,
    Saliency,
    at_peak,
    most_probable,
    reduced,
)
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.networks.inputs import InputSpace

CLOSE = dict(rtol=1e-4, atol=1e-6)  # float32 sums of some hundred products in another order


def unit(text, net):
    (objective,) = parse_units(text, net)
    return objective


def forward(net, image):
    """The tiny network's activations, layer by layer."""
    conv1, _, _, conv2, _, _, linear = net.network
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (net.input_space.mean, net.input_space.std))
    first = F.conv2d((image - mean) / std, conv1.weight, conv1.bias, padding=1)
    pooled, places = F.max_pool2d(first.relu(), 2, return_indices=True)
    second = F.conv2d(pooled, conv2.weight, conv2.bias, padding=1)
    return first, places, second, F.linear(second.relu().flatten(1), linear.weight, linear.bias)


def backward(net, image, index, rule):
    """The gradient of class `index`, where `rule` says what a ReLU passes back, written out."""
    conv1, _, _, conv2, _, _, linear = net.network
    first, places, second, _ = forward(net, image)
    back = rule(linear.weight[index].view_as(second), second)
    back = F.conv_transpose2d(back, conv2.weight, padding=1)
    back = rule(F.max_unpool2d(back, places, 2), first)
    return F.conv_transpose2d(back, conv1.weight, padding=1) / torch.tensor(net.input_space.std).view(3, 1, 1)


@pytest.mark.parametrize(
    ("method", "rule"),
    [
        (Saliency(), lambda back, forward: back * (forward > 0)),
        (GuidedBackprop(), lambda back, forward: back.clamp_min(0) * (forward > 0)),
        (Deconvnet(), lambda back, forward: back.clamp_min(0)),
    ],
)
def test_backward_passes_are_those_of_the_papers(net, image, method, rule):
    expected = backward(net, image, 1, rule)
    assert expected.abs().max() > 0.01
    torch.testing.assert_close(method(net, unit("6:dog", net), image), expected, **CLOSE)
    assert not any(module._forward_hooks or module._backward_hooks for module in net.modules())


def test_integrated_gradients_are_a_gauss_legendre_sum_and_add_up(net, image):
    attributed = IntegratedGradients(baseline=0.25, steps=50)(net, unit("6:0", net), image)
    nodes, weights = np.polynomial.legendre.leggauss(50)
    baseline, total = torch.full_like(image, 0.25), torch.zeros_like(image)
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        at = baseline + float(node) * (image - baseline)
        total += float(weight) * backward(net, at, 0, lambda back, forward: back * (forward > 0))
    torch.testing.assert_close(attributed, (image - baseline) * total, rtol=1e-3, atol=1e-5)
    difference = forward(net, image)[3][0, 0] - forward(net, baseline)[3][0, 0]
    # A piecewise linear network has kinks between the nodes; 50 of them leave a few percent.
    assert float(attributed.sum()) == pytest.approx(float(difference), abs=0.05 * float(difference.abs()) + 0.02)


def test_occlusion_averages_the_drops_of_the_patches_that_cover_a_pixel(net, image):
    drops = Occlusion(patch=4, stride=2, grey=0.5)(net, unit("6:cow", net), image)[0, 0]
    probability = lambda images: forward(net, images)[3].softmax(1)[0, 2]  # noqa: E731
    total, count = torch.zeros(12, 12), torch.zeros(12, 12)
    for y in range(0, 9, 2):
        for x in range(0, 9, 2):
            occluded = image.clone()
            occluded[..., y : y + 4, x : x + 4] = 0.5
            total[y : y + 4, x : x + 4] += (probability(image) - probability(occluded)).detach()
            count[y : y + 4, x : x + 4] += 1
    torch.testing.assert_close(drops, total / count, **CLOSE)
    assert drops.min() < 0 < drops.max()  # distractors are negative


def test_gradcam_weights_channels_by_their_mean_gradient(net, image):
    shown = GradCAM()(net, unit("6:1", net), image)
    _, _, second, _ = forward(net, image)
    weights = net.network[6].weight[1].view(5, 36).mean(1)  # the gradient of the logit by the last rectified map
    small = (weights.view(5, 1, 1) * second[0].relu()).sum(0).relu()
    expected = F.interpolate(small[None, None], (12, 12), mode="bilinear", align_corners=False)
    torch.testing.assert_close(shown, expected, **CLOSE)
    assert shown.max() > 0


class _Branches(nn.Module):
    """A convolution, and two beside each other whose channels follow each other, as in SqueezeNet and Inception."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.left, self.right = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1), nn.Conv2d(4, 3, 3, padding=1)
        self.both, self.out = nn.Identity(), nn.Conv2d(5, 2, 1)

    def forward(self, images):
        found = self.stem(images)
        return self.out(self.both(torch.cat([self.left(found), self.right(found)], 1)))


def test_gradcam_goes_past_the_branches_beside_the_units_own(image):
    torch.manual_seed(0)
    branches = _Branches()
    nn.init.constant_(branches.left.bias, 2.0)
    net = FeatureNet(branches, InputSpace((12, 12)), "branches")
    shown = GradCAM()(net, unit("both:1@4,4", net), image)
    small = branches.left(branches.stem(image))[0, 1] / 144  # of a map of 144 places, one has the gradient 1
    torch.testing.assert_close(shown[0, 0], small.relu(), **CLOSE)
    assert shown.max() > 0


def test_hidden_units_are_explained_within_their_receptive_field(net, image):
    hidden = at_peak(unit("3:2", net), net, image[0])
    channel = forward(net, image)[2][0, 2]
    row, column = np.unravel_index(int(channel.argmax()), channel.shape)
    assert hidden.terms[0][1].position == (row, column)
    attributed = reduced(Saliency()(net, hidden, image), "max")[0]
    top, left, bottom, right = net.receptive_field("3").region((row, column))
    outside = attributed.clone()
    outside[top:bottom, left:right] = 0
    assert attributed.max() > 0
    assert outside.max() == 0


def test_an_inactive_unit_of_a_relu_is_read_below_it(net, image):
    values = forward(net, image)[2][0]
    channel, row, column = np.argwhere(values.detach().numpy() < 0)[0]
    objective = unit(f"4:{channel}@{row},{column}", net)
    assert Saliency()(net, objective, image).abs().max() > 0


def test_the_most_probable_classes_come_first(net, image):
    (found,) = most_probable(net, image, 2)
    order = forward(net, image)[3][0].argsort(descending=True).tolist()
    assert [objective.terms[0][1].index for objective in found] == order[:2]
    assert found[0].label == net.labels[order[0]]


@pytest.mark.parametrize("channels", ["max", "sum", "absolute"])
def test_channels_become_one_map(channels):
    values = torch.tensor([[[[1.0]], [[-3.0]], [[1.5]]]])
    assert float(reduced(values, channels)) == {"max": 3.0, "sum": -0.5, "absolute": 5.5}[channels]


@pytest.mark.parametrize("method", [GuidedBackprop(), Deconvnet()])
def test_networks_without_relus_are_refused_in_one_line(smooth, image, method):
    with pytest.raises(UserError, match="defined for ReLUs, and smooth has GELU; take saliency"):
        method(smooth, unit("6:0", smooth), image)


def test_gradcam_needs_a_map_below_the_unit(net, image):
    with pytest.raises(UserError, match="needs a feature map below 0"):
        GradCAM()(net, unit("0:0", net), image)
    with pytest.raises(UserError, match=r"does not depend on layer 3 .*attributions.gradcam.layer="):
        GradCAM(layer="3")(net, unit("0:0", net), image)
    with pytest.raises(UserError, match="needs a feature map"):
        GradCAM(layer="6")(net, unit("6:0", net), image)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Saliency(channels="signed"), r"channels=signed: give max \(.*\), sum \(with signs\) or absolute"),
        (lambda: IntegratedGradients(steps=0), "steps=0"),
    ],
)
def test_settings_are_checked(make, message):
    with pytest.raises(UserError, match=message):
        make()
