"""Networks, generators and discriminators of other channels than RGB and other shapes than squares."""

import pytest
import torch
from torch import nn

from dgn.am.parametrizations.fourier import Fourier, Phase
from dgn.am.parametrizations.pixels import Pixels
from dgn.am.setting import Setting
from dgn.errors import UserError
from dgn.networks.custom import custom
from dgn.networks.discriminator import Discriminator
from dgn.networks.featurenet import FeatureNet
from dgn.networks.generator import UpconvGenerator
from dgn.networks.generator_kinds import build_generator
from dgn.networks.inputs import InputSpace
from dgn.networks.laboratory import BlackBox, Canvas, FunctionScorer
from dgn.networks.modulated import ModulatedGenerator
from dgn.networks.usable import check
from dgn.networks.zoo import build, mini_caffenet, mini_resnet

CODE = """
from torch import nn

def of(channels):
    pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    return nn.Sequential(nn.Conv2d(channels, 4, 3, 2), nn.ReLU(), *pooled)

class Own(nn.Module):  # makes its own input of RGB
    def __init__(self):
        super().__init__()
        self.net = of(1)
    def forward(self, x):
        assert x.shape[1] == 3
        return self.net(x.mean(1, keepdim=True))

def flat():
    return nn.Sequential(nn.Flatten(), nn.Linear(2 * 12 * 12, 3))
"""


@pytest.fixture
def code(tmp_path):
    (tmp_path / "nets.py").write_text(CODE)
    return str(tmp_path / "nets.py")


@pytest.mark.parametrize("channels", [1, 2, 4, 7])
def test_the_number_of_channels_is_that_of_the_first_convolution(code, channels):
    net = custom(f"{code}:of", {"channels": channels}, input_size=12)
    assert net.input_space.channels == channels
    images = torch.rand(2, channels, 12, 12)
    assert torch.equal(net.input_space.enter(images), images)  # the network's input is image space
    assert net(images, ["0"])["0"].shape == (2, 4, 5, 5)
    check(net, "target", ["4"])


def test_a_network_that_makes_its_own_input_of_rgb_keeps_it(code):
    assert custom(f"{code}:Own", input_size=12).input_space == InputSpace(size=(12, 12))


def test_without_a_convolution_the_data_say_it_or_it_is_asked_for(code):
    net = custom(f"{code}:flat", data_size=12, data_channels=2)
    assert net(torch.rand(1, 2, 12, 12), ["1"])["1"].shape == (1, 3)
    with pytest.raises(UserError, match=r"takes images of 2 channels, .* have 3 channels \(RGB\): set channels=2"):
        custom(f"{code}:flat", input_size=12).layers()
    assert custom(f"{code}:flat", input_size=12, channels=2).input_space.channels == 2


def test_bands_choose_what_a_network_sees():
    images = torch.rand(2, 5, 8, 8)
    space = InputSpace(mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7), bands=(3, 1, 0))
    assert torch.equal(space.enter(images), InputSpace(mean=space.mean, std=space.std).enter(images[:, [3, 1, 0]]))
    assert InputSpace.from_dict(space.to_dict()) == space
    assert space.image_channels == 4
    zero = space.zero(5).flatten()
    assert torch.allclose(zero, torch.tensor([0.3, 0.2, 0.5, 0.1, 0.5]))  # 0.5 where it sees nothing
    with pytest.raises(UserError, match=r"bands=\[3,1,0\]: the images have 3 channels \(RGB\)"):
        space.enter(images[:, :3])
    with pytest.raises(UserError, match=r"images of 5 channels do not enter a network that takes 3 .*bands="):
        InputSpace().enter(images)
    with pytest.raises(UserError, match="names 2 channels, and the network takes 3"):
        InputSpace(bands=(0, 1))


def test_grey_and_rgb_images_enter_each_others_networks():
    grey = torch.rand(2, 1, 8, 8)
    assert torch.equal(InputSpace().enter(grey), grey.expand(-1, 3, -1, -1))
    space = InputSpace(mean=(0.0,), std=(1.0,), channel_order="grey")
    assert torch.equal(space.enter(grey), grey)
    assert space.seen(grey).shape == grey.shape


def test_the_small_networks_take_the_channels_of_data_and_of_weights():
    for make in (mini_caffenet, mini_resnet):
        net = make(3, data_channels=4)
        assert net(torch.rand(1, 4, 64, 64), ["conv1"])["conv1"].shape[0] == 1
        again = build(net.spec)
        assert again.input_space == net.input_space
        assert again.network[0].in_channels == 4
    assert mini_resnet(3).input_space == InputSpace(size=(64, 64), mean=(0.5,) * 3, std=(0.25,) * 3)


@pytest.mark.parametrize("code_shape", [(24,), (8, 6, 6), (17, 8)])
@pytest.mark.parametrize(("size", "channels"), [((24, 40), 4), ((50, 20), 1), (28, 2)])
def test_generators_make_images_of_any_shape(code_shape, size, channels):
    height, width = size if isinstance(size, tuple) else (size, size)
    kinds = [lambda **of: ModulatedGenerator(width=0.02, noise=True, **of)]
    for upconvolution in ("learned", "interpolated", "smooth"):
        kinds.append(lambda up=upconvolution, **of: UpconvGenerator(width=0.02, upconvolution=up, **of))
    for make in kinds:
        generator = make(code_shape=code_shape, image_size=size, channels=channels).eval()
        codes = torch.randn(2, *code_shape)
        with torch.no_grad():
            images = generator(codes)
            assert images.shape == (2, channels, height, width) == (2, *generator.image_shape)
            again = build_generator(generator.spec())
            again.load_state_dict(generator.state_dict())
            assert torch.equal(again.eval()(codes), images)
            assert generator(codes, half=True).shape == (2, channels, height // 2, width // 2)


def test_an_rgb_square_is_described_as_before():
    spec = UpconvGenerator((24,), 32, width=0.02).spec()
    assert spec["image_size"] == 32
    assert "channels" not in spec
    assert "bands" not in spec["output_space"]
    assert UpconvGenerator((24,), (32, 32), width=0.02).spec() == spec


def test_a_plan_of_other_channels_is_refused():
    with pytest.raises(UserError, match=r"must end in 4 channels of at least 16x24"):
        UpconvGenerator((8,), (16, 24), plan="fc 96, reshape 4x4x6, up 8, up 3", channels=4)


def test_the_discriminator_sees_all_channels():
    d = Discriminator((24, 40), width=0.1, image_channels=4)
    assert d(torch.rand(2, 4, 24, 40)).shape == (2, 2)


def test_searches_of_images_have_the_targets_channels():
    net = FeatureNet(
        nn.Sequential(nn.Conv2d(4, 2, 3)), InputSpace((9, 12), (0.2,) * 4, (0.5,) * 4, channel_order="as_is"), "net"
    )
    real = torch.rand(6, 4, 9, 12, generator=torch.Generator().manual_seed(0))
    setting = Setting(net, images=lambda count: iter([real[:count]]))
    for parametrization in (Pixels(setting), Fourier(setting), Fourier(setting, colours="measured"), Phase(setting)):
        parameters = parametrization.start([0, 1])
        assert parametrization.images(parameters).shape == (2, 4, 9, 12)
        encoded = parametrization.images(parametrization.encode(real))
        assert encoded.shape == real.shape
    torch.testing.assert_close(Pixels(setting).images(Pixels(setting).encode(real)), real)


def test_a_black_box_is_given_all_channels_and_pictures_are_as_shown():
    net = BlackBox(FunctionScorer(lambda images: images[:, 3].mean((1, 2)), ["score"], "f"))
    images = torch.rand(2, 4, 6, 5)
    assert torch.allclose(net(images, ["score"])["score"][:, 0], images[:, 3].mean((1, 2)))
    assert torch.equal(Canvas().show(images), images[:, :3])
