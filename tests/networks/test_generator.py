import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.signal import correlate2d
from torch import nn

from dgn.errors import UserError
from dgn.networks.discriminator import Discriminator
from dgn.networks.doubling import Doubling
from dgn.networks.generator import UpconvGenerator, published_generator
from dgn.networks.generator_plans import PUBLISHED, UPCONVOLUTIONS, auto_plan

PARAMETERS = {
    "norm1": 1_034_032,
    "norm2": 1_660_848,
    "conv3": 8_073_008,
    "conv4": 8_073_008,
    "pool5": 12_700_672,
    "fc6": 56_096_256,
    "fc7": 56_096_256,
    "fc8": 43_415_040,
}


@pytest.mark.parametrize("layer", PUBLISHED)
def test_published_generators_have_the_published_parameters_and_sizes(layer):
    with torch.device("meta"):
        generator = published_generator(layer)
    assert sum(p.numel() for p in generator.parameters()) == PARAMETERS[layer]
    assert generator.uncropped_size == (240 if layer.startswith("norm") else 256)
    images = generator(torch.zeros(2, *PUBLISHED[layer][0], device="meta"))
    assert images.shape == (2, 3, 227, 227)


def upconvolution(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Caffe's Deconvolution, kernel 4, stride 2, pad 1, as a scatter: every input pixel stamps the kernel."""
    channels, height, width = x.shape
    out = np.zeros((weight.shape[1], 2 * height + 2, 2 * width + 2))
    for c in range(channels):
        for i in range(height):
            for j in range(width):
                out[:, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += x[c, i, j] * weight[c]
    return out[:, 1:-1, 1:-1]


def convolution(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    return np.stack([sum(correlate2d(padded[c], w[c], "valid") for c in range(len(x))) for w in weight])


def test_a_forward_pass_is_the_papers_sum_of_layers_in_numpy():
    torch.manual_seed(0)
    generator = UpconvGenerator((5,), 8, "fc 7, fc 12, reshape 3x2x2, up 4, conv 6, up 3")
    generator.set_code_statistics(torch.linspace(-1, 1, 5), torch.linspace(0.5, 2, 5))
    for p in generator.parameters():
        p.data.normal_(0, 0.3)
    codes = torch.randn(1, 5)
    fc1, fc2, up1, conv, up2 = (m for m in generator.layers if hasattr(m, "weight"))
    w = {m: m.weight.detach().double().numpy() for m in (fc1, fc2, up1, conv, up2)}

    def leaky(a: np.ndarray) -> np.ndarray:
        return np.where(a > 0, a, 0.3 * a)

    y = (codes[0].double().numpy() - np.linspace(-1, 1, 5)) / np.sqrt((np.linspace(0.5, 2, 5) ** 2).mean())
    h = leaky(w[fc1] @ y + fc1.bias.detach().numpy())
    h = leaky(w[fc2] @ h + fc2.bias.detach().numpy()).reshape(3, 2, 2)
    h = leaky(convolution(leaky(upconvolution(h, w[up1])), w[conv]))
    expected = 0.5 + 0.25 * upconvolution(h, w[up2])
    np.testing.assert_allclose(generator(codes)[0].detach().numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_doubling_is_a_convolution_of_the_map_with_every_pixel_repeated(memory_format):
    doubling = Doubling(3, 4)
    nn.init.normal_(doubling.weight)
    doubling = doubling.to(memory_format=memory_format)
    x = torch.randn(2, 3, 5, 4)
    repeated = x.double().numpy().repeat(2, axis=2).repeat(2, axis=3)
    weight = doubling.weight.detach().double().numpy()
    expected = np.stack([convolution(image, weight) for image in repeated])
    np.testing.assert_allclose(doubling(x).detach().numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_smooth_doubling_is_a_convolution_of_the_bilinear_map(memory_format):
    doubling = Doubling(3, 4, smooth=True)
    nn.init.normal_(doubling.weight)
    doubling = doubling.to(memory_format=memory_format)
    x = torch.randn(2, 3, 6, 5)
    bilinear = F.interpolate(x.double(), scale_factor=2, mode="bilinear", align_corners=False)
    expected = F.conv2d(bilinear, doubling.weight.double(), padding=1)
    inner = (..., slice(2, -2), slice(2, -2))  # at the border, blur and convolution pad in another order
    np.testing.assert_allclose(doubling(x)[inner].detach().numpy(), expected[inner].detach().numpy(), atol=1e-5)


def test_smooth_doublings_have_little_of_the_frequencies_that_repeated_pixels_add():
    torch.manual_seed(0)
    x = torch.randn(1, 3, 16, 16)
    high = {}
    for smooth in (False, True):
        doubling = Doubling(3, 3, smooth=smooth)
        doubling.weight.data.zero_()
        doubling.weight.data[range(3), range(3), 1, 1] = 1  # the convolution is the identity
        power = torch.fft.rfft2(doubling(x))[..., 8:24, 8:].abs().square()  # beyond the small map's frequencies
        high[smooth] = power.sum().item()
    assert high[True] < 0.1 * high[False]


def test_interpolated_doublings_leave_no_checkerboard_in_flat_areas():
    torch.manual_seed(0)
    images = {
        kind: UpconvGenerator((3, 8, 8), 64, plan=f"{kind} 8, {kind} 8, {kind} 3")(torch.ones(1, 3, 8, 8))
        for kind in ("double", "smooth", "up")
    }
    inner = {kind: image[0, :, 28:36, 28:36].flatten(1) for kind, image in images.items()}
    for kind in ("double", "smooth"):
        torch.testing.assert_close(inner[kind], inner[kind][:, :1].expand(-1, 64))
    assert inner["up"].std(1).min() > 0.01


@pytest.mark.parametrize(
    ("code_shape", "size"),
    [
        *[((512,), 64), ((64, 4, 4), 64), ((96, 8, 8), 64), ((16, 2, 2), 32), ((2048, 1, 1), 96), ((7, 5, 9), 40)],
        *[((50, 24), 32), ((49, 24), 32), ((24, 13, 13), 227), ((8, 112, 112), 224), ((8, 40, 40), 32)],
    ],
)
def test_the_automatic_plan_makes_images_of_the_size_from_any_code(code_shape, size):
    for upconvolution in UPCONVOLUTIONS:
        generator = UpconvGenerator(code_shape, size, width=0.03, upconvolution=upconvolution)
        assert generator(torch.randn(2, *code_shape)).shape == (2, 3, size, size)


def test_the_automatic_plan_at_full_width_is_the_published_one():
    assert auto_plan((4096,), 227) == PUBLISHED["fc6"][1]


@pytest.mark.parametrize(("size", "end"), [(32, "smooth 32, conv 32, conv 3"), (64, "conv 32, double 3")])
def test_smooth_plans_of_small_images_have_hidden_layers_at_their_resolution(size, end):
    plan = auto_plan((64,), size, 0.25, "smooth")
    assert plan.endswith(end)
    assert UpconvGenerator((64,), size, plan=plan)(torch.zeros(1, 64)).shape == (1, 3, size, size)


def test_images_are_centre_crops_of_what_the_plan_gives():
    generator = UpconvGenerator((4,), 6, "fc 12, reshape 3x2x2, up 3, up 3")
    whole = generator.uncropped(torch.ones(1, 4))
    torch.testing.assert_close(generator(torch.ones(1, 4)), whole[:, :, 1:7, 1:7])


def test_published_output_becomes_rgb_in_image_space():
    generator = published_generator("fc6")
    raw = torch.tensor([10.0, -20.0, 30.0]).view(1, 3, 1, 1)  # blue, green, red; mean subtracted
    expected = torch.tensor([30.0 + 123, -20 + 117, 10 + 104]).view(1, 3, 1, 1) / 255
    torch.testing.assert_close(generator.output_space.leave(raw), expected)


def test_units_that_never_vary_do_not_break_the_generator():
    generator = UpconvGenerator((4,), 8, width=0.03)
    for std in (torch.tensor([0.0, 1.0, 2.0, 1e-9]), torch.zeros(4)):
        generator.set_code_statistics(torch.ones(4), std)
        assert generator(torch.full((1, 4), 2.0)).isfinite().all()


@pytest.mark.parametrize(
    "plan", ["fc 12", "fc 13, reshape 3x2x2, up 3", "fc 12, reshape 3x2x2, up 4", "fc x", "pool 2", "tanh"]
)
def test_a_plan_that_does_not_fit_is_a_user_error(plan):
    with pytest.raises(UserError, match="plan"):
        UpconvGenerator((4,), 4, plan)


@pytest.mark.parametrize("width", [0, -1, float("nan")])
def test_a_width_that_is_not_positive_is_a_user_error(width):
    for make in (lambda: UpconvGenerator((4,), 64, width=width), lambda: Discriminator(64, width=width)):
        with pytest.raises(UserError, match="give a number above 0"):
            make()
