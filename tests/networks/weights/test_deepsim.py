from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from caffe_encoder import new_net, old_net
from torch import Tensor, nn

from dgn.errors import UserError
from dgn.networks.weights import (
    CaffeLayer,
    caffenet_state,
    expected_layers,
    generator_state,
    load_state_dict,
    ordered_layers,
    read_caffemodel,
    read_state_dict,
)


def floats(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def zeros(count: int) -> np.ndarray:
    return np.zeros(count, dtype=np.float32)


def target_fc() -> nn.Sequential:
    """A small generator from a vector code, built as this project does: 3x3 layers are convolutions, and nothing has
    a bias from the first upconvolution on."""
    return nn.Sequential(
        *(nn.Linear(6, 16), nn.LeakyReLU(0.3), nn.Linear(16, 16), nn.LeakyReLU(0.3), nn.Linear(16, 32)),
        *(nn.LeakyReLU(0.3), nn.Unflatten(1, (8, 2, 2)), nn.ConvTranspose2d(8, 8, 4, 2, 1, bias=False)),
        *(nn.LeakyReLU(0.3), nn.Conv2d(8, 10, 3, padding=1, bias=False), nn.LeakyReLU(0.3)),
        *(nn.ConvTranspose2d(10, 4, 4, 2, 1, bias=False), nn.LeakyReLU(0.3)),
        *(nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.LeakyReLU(0.3), nn.ConvTranspose2d(4, 3, 4, 2, 1, bias=False)),
    )


def translated_fc(names: list[str], bias: bool) -> nn.Sequential:
    """The same with transposed convolutions throughout, as in the PyTorch translations."""
    return nn.Sequential(
        OrderedDict(
            [
                (names[0], nn.Linear(6, 16)),
                ("relu_a", nn.LeakyReLU(0.3)),
                (names[1], nn.Linear(16, 16)),
                ("relu_b", nn.LeakyReLU(0.3)),
                (names[2], nn.Linear(16, 32)),
                ("relu_c", nn.LeakyReLU(0.3)),
                ("reshape", nn.Unflatten(1, (8, 2, 2))),
                (names[3], nn.ConvTranspose2d(8, 8, 4, 2, 1, bias=bias)),
                ("relu_d", nn.LeakyReLU(0.3)),
                (names[4], nn.ConvTranspose2d(8, 10, 3, 1, 1, bias=bias)),
                ("relu_e", nn.LeakyReLU(0.3)),
                (names[5], nn.ConvTranspose2d(10, 4, 4, 2, 1, bias=bias)),
                ("relu_f", nn.LeakyReLU(0.3)),
                (names[6], nn.ConvTranspose2d(4, 4, 3, 1, 1, bias=bias)),
                ("relu_g", nn.LeakyReLU(0.3)),
                (names[7], nn.ConvTranspose2d(4, 3, 4, 2, 1, bias=bias)),
            ]
        )
    )


CAFFE_NAMES = ["defc7", "defc6", "defc5", "deconv5", "conv5_1", "deconv4", "conv4_1", "deconv0"]
TORCH_NAMES = ["fc7", "fc6", "fc5", "tconv5_0", "tconv5_1", "tconv4_0", "tconv4_1", "tconv0"]


def same_images(source: nn.Module, target: nn.Module, codes: Tensor) -> None:
    with torch.no_grad():
        torch.testing.assert_close(target(codes), source(codes), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("names", "bias"), [(CAFFE_NAMES, True), (TORCH_NAMES, False)])
@pytest.mark.parametrize("reordered", [False, True])
def test_a_translations_weights_give_the_translations_images(names, bias, reordered):
    source, target = translated_fc(names, bias), target_fc()
    for name, parameter in source.named_parameters():  # the published translations have biases that are all zero
        if bias and "conv" in name and name.endswith("bias"):
            nn.init.zeros_(parameter)
    state = source.state_dict()
    if reordered:  # as safetensors do
        state = dict(sorted(state.items()))
    assert [layer.name for layer in ordered_layers(state, source="x")] == names
    load_state_dict(target, generator_state(state, expected_layers(target), source="x"), source="x")
    same_images(source, target, torch.randn(2, 6))


def test_names_as_the_first_upload_had_them_are_known():
    """Its layers sat in a Sequential of one, so that the keys read defc7.1.weight."""
    state = translated_fc(CAFFE_NAMES, True).state_dict()
    inner = {key.replace(".weight", ".1.weight").replace(".bias", ".1.bias"): value for key, value in state.items()}
    assert [layer.name for layer in ordered_layers({f"G.{k}": v for k, v in inner.items()}, source="x")] == CAFFE_NAMES


def test_a_translation_with_both_kinds_of_layers_is_recognized_by_its_names():
    """The generators for conv3 and conv4: tconv5_1 is a transposed convolution, conv2_1 a convolution, both square
    here, so that no shape tells them apart."""
    source = nn.Sequential(
        OrderedDict(
            conv6=nn.Conv2d(4, 4, 3),
            conv8=nn.Conv2d(4, 6, 2),
            tconv5_0=nn.ConvTranspose2d(6, 5, 4, 2, 1, bias=False),
            tconv5_1=nn.ConvTranspose2d(5, 5, 3, 1, 1, bias=False),
            tconv2_0=nn.ConvTranspose2d(5, 4, 4, 2, 1, bias=False),
            conv2_1=nn.Conv2d(4, 4, 3, 1, 1, bias=False),
            tconv1_0=nn.ConvTranspose2d(4, 4, 4, 2, 1, bias=False),
            conv1_1=nn.Conv2d(4, 3, 3, 1, 1, bias=False),
        )
    )
    target = nn.Sequential(
        *(nn.Conv2d(4, 4, 3), nn.Conv2d(4, 6, 2), nn.ConvTranspose2d(6, 5, 4, 2, 1, bias=False)),
        *(nn.Conv2d(5, 5, 3, 1, 1, bias=False), nn.ConvTranspose2d(5, 4, 4, 2, 1, bias=False)),
        *(nn.Conv2d(4, 4, 3, 1, 1, bias=False), nn.ConvTranspose2d(4, 4, 4, 2, 1, bias=False)),
        nn.Conv2d(4, 3, 3, 1, 1, bias=False),
    )
    state = generator_state(source.state_dict(), expected_layers(target), source="x")
    load_state_dict(target, state, source="x")
    same_images(source, target, torch.randn(2, 4, 6, 6))


def test_convolutions_under_caffes_names_are_recognized_by_their_shapes():
    """conv5_1 with (out, in) = (10, 8) behind a deconv5 that gives 8 channels can only be a convolution; the square
    conv4_1 is then one as well."""
    state = translated_fc(CAFFE_NAMES, False).state_dict()
    state["conv5_1.weight"] = torch.randn(10, 8, 3, 3)
    kinds = {layer.name: layer.kind for layer in ordered_layers(state, source="x")}
    assert kinds["conv5_1"] == kinds["conv4_1"] == "conv"
    assert kinds["deconv5"] == "upconv"
    target = target_fc()
    converted = generator_state(state, expected_layers(target), source="x")
    assert torch.equal(converted["9.weight"], state["conv5_1.weight"])
    assert torch.equal(converted["13.weight"], state["conv4_1.weight"])


def deconvolve(image: np.ndarray, weight: np.ndarray, pad: int) -> np.ndarray:
    """Caffe's Deconvolution with stride 1 by its definition: every input pixel adds its multiple of the kernel to the
    output. image (in, h, w), weight (in, out, k, k) -> (out, h + k - 1 - 2 pad, ...)."""
    (_, height, width), kernel = image.shape, weight.shape[-1]
    full = np.zeros((weight.shape[1], height + kernel - 1, width + kernel - 1))
    for y in range(height):
        for x in range(width):
            full[:, y : y + kernel, x : x + kernel] += np.tensordot(image[:, y, x], weight, axes=(0, 0))
    return full[:, pad : full.shape[1] - pad, pad : full.shape[2] - pad]


@pytest.mark.parametrize("encode", [new_net, old_net])
def test_a_caffemodel_is_converted_by_the_type_of_its_layers(tmp_path: Path, encode):
    """Two square 3x3 layers of the same name pattern, one a Deconvolution, one a Convolution."""
    up, deconv, conv = floats(2, 3, 4, 4), floats(3, 3, 3, 3, seed=1), floats(3, 3, 3, 3, seed=2)
    fc, fc_bias = floats(2, 5, seed=3), floats(2, seed=4)
    layers = [
        ("defc5", "InnerProduct", [fc, fc_bias]),
        ("deconv5", "Deconvolution", [up, zeros(3)]),
        ("conv5_1", "Deconvolution", [deconv, zeros(3)]),
        ("conv4_1", "Convolution", [conv, zeros(3)]),
    ]
    (tmp_path / "g.caffemodel").write_bytes(encode(layers))
    expected = [
        ("fc", (2, 5), True),
        ("up", (2, 3, 4, 4), False),
        ("was_deconv", (3, 3, 3, 3), False),
        ("was_conv", (3, 3, 3, 3), True),
    ]
    state = generator_state(read_caffemodel(tmp_path / "g.caffemodel"), expected, source="g")
    assert list(state) == [
        *("fc.weight", "fc.bias", "up.weight", "was_deconv.weight", "was_conv.weight", "was_conv.bias")
    ]
    np.testing.assert_array_equal(state["fc.weight"], fc)
    np.testing.assert_array_equal(state["fc.bias"], fc_bias)
    np.testing.assert_array_equal(state["up.weight"], up)
    np.testing.assert_array_equal(state["was_conv.weight"], conv)
    image = floats(3, 6, 5, seed=5)
    ours = F.conv2d(torch.from_numpy(image)[None], state["was_deconv.weight"], padding=1)[0]
    np.testing.assert_allclose(ours, deconvolve(image, deconv, pad=1), rtol=1e-4, atol=1e-5)


def test_layers_of_other_names_are_taken_in_the_order_of_the_caffemodel():
    layers = {
        name: CaffeLayer(name, "Deconvolution", [floats(2, 2, 4, 4, seed=seed)])
        for seed, name in enumerate(["upconv_b", "upconv_a"])
    }
    assert [layer.name for layer in ordered_layers(layers, source="x")] == ["upconv_b", "upconv_a"]


def refusal(call, *args) -> str:
    with pytest.raises(UserError) as caught:
        call(*args, source="g.pt")
    assert "\n" not in str(caught.value)
    assert "g.pt" in str(caught.value)
    return str(caught.value)


def test_weights_that_are_not_the_expected_generators_are_refused():
    expected = expected_layers(target_fc())
    state = translated_fc(CAFFE_NAMES, False).state_dict()
    fewer = {name: value for name, value in state.items() if "conv4_1" not in name}
    assert "7 layers with weights, the generator has 8" in refusal(generator_state, fewer, expected)
    other = state | {"defc7.weight": torch.zeros(16, 7)}
    assert "'defc7' is linear (16, 7), the generator has linear (16, 6)" in refusal(generator_state, other, expected)
    biased = state | {"deconv4.bias": torch.ones(4)}
    assert "'deconv4' has a bias that is not zero" in refusal(generator_state, biased, expected)
    short = state | {"defc7.bias": torch.ones(3)}
    assert "3 biases for 16 channels" in refusal(generator_state, short, expected)
    assert "blocks" in refusal(ordered_layers, {"blocks.weight": torch.zeros(2, 2)})
    assert "running_mean" in refusal(ordered_layers, state | {"bn.running_mean": torch.zeros(2)})
    twice = {f"{net}.{key}": value for net in "GE" for key, value in state.items()}
    assert "several layers 'defc7'" in refusal(ordered_layers, twice)
    assert "same layer twice" in refusal(ordered_layers, state | {"fc7.weight": torch.zeros(2, 2)})
    assert "0 layers" in refusal(generator_state, {}, expected)
    up = [("up", (2, 2, 4, 4), False, "upconv")]
    assert "conv (2, 2, 4, 4)" in refusal(
        generator_state, {"u": CaffeLayer("u", "Convolution", [floats(2, 2, 4, 4)])}, up
    )
    norm = {"bn": CaffeLayer("bn", "BatchNorm", [zeros(2), zeros(2), zeros(1)])}
    assert "type 'BatchNorm' has 3 blobs" in refusal(ordered_layers, norm)


def test_a_bias_that_the_file_lacks_is_zero():
    layers = {"defc7": CaffeLayer("defc7", "InnerProduct", [floats(2, 3)])}
    state = generator_state(layers, [("a", (2, 3), True)], source="x")
    assert torch.equal(state["a.bias"], torch.zeros(2))


def test_generators_read_from_files_in_every_published_form_are_the_same(tmp_path: Path):
    source, target = translated_fc(CAFFE_NAMES, False), target_fc()
    state = source.state_dict()
    torch.save({"state_dict": {f"G.{key}": value for key, value in state.items()}}, tmp_path / "g.pt")
    types = {"defc": "InnerProduct", "deconv": "Deconvolution", "conv": "Deconvolution"}
    blobs = [
        (
            name,
            types[name[: 4 if name.startswith("defc") else -1].rstrip("_0123456789")],
            [state[f"{name}.{part}"].numpy() for part in ("weight", "bias") if f"{name}.{part}" in state],
        )
        for name in CAFFE_NAMES
    ]
    (tmp_path / "g.caffemodel").write_bytes(old_net(blobs))
    expected = expected_layers(target)
    from_torch = generator_state(read_state_dict(tmp_path / "g.pt"), expected, source="g.pt")
    from_caffe = generator_state(read_caffemodel(tmp_path / "g.caffemodel"), expected, source="g.caffemodel")
    assert from_torch.keys() == from_caffe.keys() == target.state_dict().keys()
    assert all(torch.equal(value, from_caffe[key]) for key, value in from_torch.items())
    load_state_dict(target, from_caffe, source="g.caffemodel")
    same_images(source, target, torch.randn(3, 6))


# CaffeNet

SIZES = {"conv1": (4, 3, 5, 5), "conv2": (6, 2, 3, 3), "conv3": (5, 6, 3, 3), "conv4": (6, 2, 3, 3)}
SIZES |= {"conv5": (4, 3, 3, 3), "fc6": (7, 16), "fc7": (6, 7), "fc8": (3, 6)}


def caffenet(last: str = "fc8") -> list[tuple[str, str, list[np.ndarray]]]:
    return [
        (
            last if name == "fc8" else name,
            "Convolution" if name.startswith("conv") else "InnerProduct",
            [floats(*shape, seed=i), floats(shape[0], seed=100 + i)],
        )
        for i, (name, shape) in enumerate(SIZES.items())
    ]


@pytest.mark.parametrize("encode", [new_net, old_net])
@pytest.mark.parametrize("last", ["fc8", "fc8_flickr"])
def test_caffenet_gets_its_weights_under_its_own_names(tmp_path: Path, encode, last):
    (tmp_path / "net.caffemodel").write_bytes(encode(caffenet(last)))
    state = caffenet_state(read_caffemodel(tmp_path / "net.caffemodel"), source="net.caffemodel")
    assert list(state) == [f"{name}.{part}" for name in SIZES for part in ("weight", "bias")]
    for i, (name, shape) in enumerate(SIZES.items()):
        assert state[f"{name}.weight"].shape == shape
        np.testing.assert_array_equal(state[f"{name}.weight"], floats(*shape, seed=i))
        np.testing.assert_array_equal(state[f"{name}.bias"], floats(shape[0], seed=100 + i))


def test_other_networks_are_refused_as_caffenet():
    layers = {name: CaffeLayer(name, kind, blobs) for name, kind, blobs in caffenet()}
    message = refusal(caffenet_state, {name: layer for name, layer in layers.items() if name != "conv3"})
    assert "conv3" in message
    assert "is not a CaffeNet" in message
    refusal(caffenet_state, layers | {"fc8_b": layers["fc8"]})
    refusal(caffenet_state, layers | {"scale": CaffeLayer("scale", "Scale", [zeros(1)])})
    as_conv = CaffeLayer("fc6", "Convolution", [floats(7, 4, 2, 2), zeros(7)])
    assert "'fc6' is conv (7, 4, 2, 2)" in refusal(caffenet_state, layers | {"fc6": as_conv})
    assert "bias" in refusal(caffenet_state, layers | {"fc7": CaffeLayer("fc7", "InnerProduct", [floats(6, 7)])})
