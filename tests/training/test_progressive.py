import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dgn.errors import UserError
from dgn.networks.discriminator import Discriminator
from dgn.networks.doubling import Doubling
from dgn.networks.feature_discriminator import FeatureDiscriminator
from dgn.networks.featurenet import FeatureNet
from dgn.networks.generator import UpconvGenerator
from dgn.networks.generator_base import Generator
from dgn.networks.inputs import InputSpace
from dgn.networks.modulated import ModulatedGenerator
from dgn.networks.zoo import mini_caffenet
from dgn.training.progressive import Progressive, half_factors


def test_most_of_a_run_is_at_half_the_side_and_full_steps_become_more_frequent():
    progressive, steps = Progressive(until=0.5, ramp=0.4), 1000
    half = torch.tensor([progressive.half(step, steps) for step in range(steps)])
    assert half[:500].all()
    assert not half[900:].any()
    # In the ramp, the share of half steps falls linearly: 7/8, 5/8, 3/8, 1/8 of its quarters, to one step.
    counts = half[500:900].view(4, 100).sum(1)
    assert (counts - torch.tensor([87.5, 62.5, 37.5, 12.5])).abs().max() <= 1
    assert not any(Progressive().half(step, steps) for step in range(steps))
    assert not progressive.half(0, -1)  # a run without a length has no fractions


@pytest.mark.parametrize("values", [{"until": 1}, {"until": -0.1}, {"ramp": "x"}, {"until": 0.7, "ramp": 0.3}])
def test_a_run_without_full_steps_is_refused(values):
    with pytest.raises(UserError, match="progressive"):
        Progressive(**values)


@pytest.mark.parametrize("smooth", [False, True])
def test_half_of_a_doubling_is_the_mean_of_2x2_pixels(smooth):
    layer, x = Doubling(3, 2, smooth), torch.randn(2, 3, 5, 6)
    nn.init.normal_(layer.weight)
    torch.testing.assert_close(layer.halved(x), F.avg_pool2d(layer(x), 2), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "size", "upconvolution"),
    [
        ((6,), 64, "smooth"),
        ((6,), 64, "learned"),
        ((4, 6, 6), 96, "smooth"),
        ((5, 8), 64, "smooth"),
        ((6,), 74, "smooth"),
    ],
)
def test_g_at_half_the_side_gives_the_means_of_its_pixels(shape, size, upconvolution):
    torch.manual_seed(0)
    generator, codes = UpconvGenerator(shape, size, width=0.02, upconvolution=upconvolution), torch.randn(2, *shape)
    expected = F.avg_pool2d(generator(codes), 2)
    torch.testing.assert_close(generator(codes, half=True), expected, rtol=1e-4, atol=1e-5)


def without_last_doubling(generator: Generator) -> tuple[nn.Module, ...]:
    """The modules that see maps of half the side at the end."""
    if isinstance(generator, ModulatedGenerator):
        return generator.last, generator.last_modulation
    return (generator.layers[-1],)


@pytest.mark.parametrize("make", [
    lambda: UpconvGenerator((6,), 64, width=0.02, upconvolution="interpolated"),
    lambda: ModulatedGenerator((6,), 64, width=0.02, noise=True),
])  # fmt: skip
def test_other_generators_do_not_compute_the_largest_maps(make):
    generator, codes, sides = make(), torch.randn(2, 6), []
    for module in without_last_doubling(generator):
        module.register_forward_pre_hook(lambda _, inputs: sides.append(inputs[0].shape[-1]))
    images = generator(codes, half=True)
    assert images.shape == (2, 3, 32, 32)
    assert set(sides) == {32}
    gradients = torch.autograd.grad(images.square().sum(), list(generator.parameters()))
    assert all(gradient.any() for gradient in gradients)


def test_c_sees_half_of_its_own_size_and_positions_count_alike():
    net = mini_caffenet(classes=4)
    images = torch.rand(2, 3, 32, 32)
    seen = net(images, ["output:input", "pool5"], half=True)
    assert seen["output:input"].shape[-2:] == (32, 32)  # not enlarged to the 64 pixels of its input
    torch.testing.assert_close(seen["output:input"], 4 * images - 2)
    assert half_factors(net, ["norm2", "pool5"], (3, 64, 64)) == {"norm2": 4.0, "pool5": 4.0}
    cropped = InputSpace((224, 224), fit="crop", resize=256).halved()
    assert (cropped.size, cropped.resize) == ((112, 112), 128)


class FixedPositions(nn.Module):
    """Tokens with learned positions, as in a vision transformer: it takes images of one size."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.positions = nn.Conv2d(3, 4, 8, 8), nn.Parameter(torch.zeros(16, 4))
        self.tokens = nn.Identity()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.tokens(self.patches(images).flatten(2).transpose(1, 2) + self.positions).mean(1)


@pytest.mark.parametrize(
    ("net", "layers", "size", "words"),
    [
        (FeatureNet(FixedPositions(), InputSpace((32, 32)), "fixed"), ["tokens"], 32, "half the side"),
        (mini_caffenet(classes=4), ["fc6"], 64, "half the side"),
        (mini_caffenet(classes=4), ["pool5"], 63, "63 px"),
    ],
)
def test_what_has_no_half_is_refused_in_one_line(net, layers, size, words):
    with pytest.raises(UserError, match=words) as refused:
        half_factors(net, layers, (3, size, size))
    assert "progressive.until=0" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_discriminator_that_has_no_map_at_half_the_side_is_refused():
    net = mini_caffenet(classes=4)
    judge = Discriminator(64, "conv 4 k9 s4 p0, conv 4 k9 s1 p0, average, fc 2")
    with pytest.raises(UserError, match="D does not take images of half the side"):
        half_factors(net, ["pool5"], (3, 64, 64), judge, torch.zeros(6))
    heads = FeatureDiscriminator({"conv3": (96, 8, 8), "pool5": (64, 4, 4)}, (6,), channels=4, pixels=4)
    assert set(half_factors(net, ["norm2"], (3, 64, 64), heads, torch.zeros(6))) == {"norm2", "conv3", "pool5"}
