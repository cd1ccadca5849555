"""The rule of dgn.networks.precision: the layers of networks compute in low precision, everything else in float32."""

import pytest
import torch
from torch import nn

from dgn.metrics.features import extract_features
from dgn.networks.discriminator import Discriminator
from dgn.networks.featurenet import FeatureNet
from dgn.networks.generator import UpconvGenerator
from dgn.networks.inputs import InputSpace
from dgn.networks.precision import low_precision
from dgn.prior.code_prior import CodeAutoencoder
from dgn.prior.frechet import frechet
from dgn.prior.statistics import measure
from dgn.training.adversarial import CrossEntropy
from dgn.training.augmentation import Augmentation, blurred
from dgn.training.losses import euclidean, feature_loss, image_loss

LOW = (torch.bfloat16, torch.float16)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64, 10))


def computed_in(module: nn.Module) -> list[torch.dtype]:
    """Collects what type the module's layers give, while it is called."""
    dtypes: list[torch.dtype] = []
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(lambda *args: dtypes.append(args[2].dtype))
    return dtypes


@pytest.fixture(params=["the run's", "the caller's autocast"])
def lowered(request):
    """Both ways to ask for low precision, as a context."""
    return {
        "the run's": lambda: low_precision(torch.bfloat16),
        "the caller's autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    }[request.param]


def test_layers_of_networks_compute_in_low_precision_and_give_float32(lowered):
    images = torch.rand(2, 3, 48, 40)
    net = FeatureNet(network(), InputSpace(size=(32, 32), mean=(0.5, 0.4, 0.3)), "net")
    expected = net(images, ["2", "6"])
    dtypes = computed_in(net.network)
    generator, discriminator = UpconvGenerator((16,), 32, width=0.05), Discriminator(32, width=0.25, code_shape=(16,))
    drawn, judged = computed_in(generator), computed_in(discriminator)
    with lowered():
        activations = net(images, ["2", "6"])
        painted = generator(torch.rand(2, 16))
        logits = discriminator(painted, torch.rand(2, 16))
    assert set(dtypes) == set(drawn) == set(judged) == {torch.bfloat16}
    assert activations["2"].dtype == painted.dtype == logits.dtype == torch.float32
    for layer, values in expected.items():  # bfloat16 keeps eight bits
        torch.testing.assert_close(activations[layer], values, rtol=0.05, atol=0.05 * float(values.abs().max()))


def test_fixed_networks_may_stay_in_float32():
    images = torch.rand(2, 3, 32, 32)
    net, generator = FeatureNet(network(), InputSpace(size=(32, 32)), "net"), UpconvGenerator((16,), 32, width=0.05)
    seen, drawn = computed_in(net.network), computed_in(generator)
    with low_precision(torch.bfloat16, fixed=False):
        net(images, ["6"])
        generator(torch.rand(2, 16))
    assert set(seen) == {torch.float32}
    assert set(drawn) == {torch.bfloat16}


def test_everything_else_is_float32_and_the_same(lowered):
    torch.manual_seed(0)
    images, others = torch.rand(4, 3, 24, 24), torch.rand(4, 3, 24, 24)
    every = Augmentation(rotation=20, scale=0.2, shift=0.1, mirror=True, blur=2, light=0.2)
    autoencoder = CodeAutoencoder((12,), rectified=False)

    def augmented():
        torch.manual_seed(1)
        return every(images)

    computations = {
        "augmentation": augmented,
        "blur": lambda: blurred(images, 1.5),
        "resizing, colours, mean": lambda: InputSpace((32, 30), (9, 8, 7), (3, 2, 1), "BGR", 255.0).enter(images),
        "and back": lambda: InputSpace((24, 24), (9, 8, 7), (3, 2, 1), "BGR", 255.0).leave(images),
        "image loss": lambda: image_loss(images, others),
        "feature loss": lambda: feature_loss({"a": images}, {"a": others}, {"a": 2.0}),
        "euclidean": lambda: euclidean(images, others),
        "discriminator loss": lambda: CrossEntropy().discriminator([images[:, 0, 0]], [others[:, 0, 0]]),
        "codes": lambda: autoencoder(images[:, 0, 0, :12]),
        "frechet": lambda: torch.tensor(frechet(images[:, 0, 0, :3], others[:, 0, 0, :3])),
    }
    for name, compute in computations.items():
        expected = compute()
        with lowered():
            computed = compute()
        assert computed.dtype == expected.dtype not in LOW, name
        assert torch.equal(computed, expected), name


def test_low_precision_inputs_are_converted_to_float32():
    images, others = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8)
    loss = euclidean(images.bfloat16(), others.bfloat16())
    assert loss.dtype == torch.float32
    assert loss == euclidean(images.bfloat16().float(), others.bfloat16().float())
    assert InputSpace(size=(16, 16)).enter(images.half()).dtype == torch.float32


def test_statistics_and_features_are_float32(lowered):
    net = FeatureNet(network(), InputSpace(size=(16, 16)), "net", labels=list("abcdefghij"))
    images = torch.rand(6, 3, 16, 16)
    expected, features = measure(net, ["6"], [images])["6"], extract_features(net, images)
    with lowered():
        statistics, computed = measure(net, ["6"], [images])["6"], extract_features(net, images)
    assert statistics.mean.dtype == computed.dtype == torch.float32
    torch.testing.assert_close(statistics.mean, expected.mean, rtol=0.05, atol=0.02)
    torch.testing.assert_close(computed, features, rtol=0.05, atol=0.02)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_network_of_any_type_takes_and_gives_float32(dtype):
    images = torch.rand(2, 3, 40, 40)
    plain = FeatureNet(network(), InputSpace(size=(32, 32)), "plain")
    net = FeatureNet(network().to(dtype), InputSpace(size=(32, 32)), "other")
    assert net.dtype == dtype
    images.requires_grad_(True)
    logits = net(images, ["6"])["6"]
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, plain(images, ["6"])["6"], rtol=0.05, atol=0.02)
    (gradient,) = torch.autograd.grad(logits.sum(), images)
    (expected,) = torch.autograd.grad(plain(images, ["6"])["6"].sum(), images)
    assert gradient.dtype == torch.float32
    # A unit near zero may be on the other side of its ReLU, so the directions are compared and not each pixel.
    assert torch.cosine_similarity(gradient.flatten(), expected.flatten(), dim=0) > 0.99
