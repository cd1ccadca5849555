"""Published generators, made here with random weights in the published formats, become priors."""

import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from dgn.data.images import read_image
from dgn.data.transforms import EvalTransform
from dgn.errors import UserError
from dgn.networks.generator import published_generator
from dgn.networks.zoo import caffenet, save_network
from dgn.prior import Prior
from dgn.prior.published import import_generator, main, read_labels, read_range

sys.path.insert(0, str(Path(__file__).parents[1] / "networks" / "weights"))
from caffe_encoder import new_net, old_net

# norm1's generator, the smallest: names in Caffe's files and in the PyTorch translation.
CAFFE = [
    "Rconv6",
    "Rconv7",
    "Rconv8",
    "deconv4",
    "conv4_1",
    "deconv3",
    "conv3_1",
    "deconv2",
    "conv2_1",
    "deconv1",
    "conv1_1",
]
TORCH = [
    "conv6",
    "conv7",
    "conv8",
    "tconv4_0",
    "conv4_1",
    "tconv3_0",
    "conv3_1",
    "tconv2_0",
    "conv2_1",
    "tconv1_0",
    "conv1_1",
]
BOUNDS = np.random.default_rng(0).integers(0, 40, 96 * 27 * 27)


def layers(seed: int = 0) -> list[tuple[str, np.ndarray, np.ndarray | None]]:
    """norm1's (kind, weight, bias) in network order."""
    torch.manual_seed(seed)
    weighted = [m for m in published_generator("norm1").layers if hasattr(m, "weight")]
    kinds = {nn.Conv2d: "Convolution", nn.ConvTranspose2d: "Deconvolution"}
    return [
        (
            kinds[type(m)],
            m.weight.detach().numpy(),
            None if m.bias is None else (0.05 * torch.randn(len(m.bias))).numpy(),
        )
        for m in weighted
    ]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    made = layers()
    for name, encode in (("new", new_net), ("old", old_net)):
        blobs = [
            (caffe, kind, [w, np.zeros(w.shape[kind == "Deconvolution"], np.float32) if b is None else b])
            for caffe, (kind, w, b) in zip(CAFFE, made, strict=True)
        ]
        (folder / f"{name}.caffemodel").write_bytes(encode(blobs))
    state = OrderedDict()
    for name, (_, w, b) in zip(TORCH, made, strict=True):
        state[f"{name}.weight"] = torch.from_numpy(w)
        if b is not None:
            state[f"{name}.bias"] = torch.from_numpy(b)
    torch.save(state, folder / "port.pt")
    named = {
        f"G.{caffe}.{key.rpartition('.')[2]}": v
        for key, v in state.items()
        for t, caffe in NAMES
        if key.startswith(t + ".")
    }
    torch.save({"state_dict": named}, folder / "port_with_caffes_names.pth")
    (folder / "norm1.txt").write_text(" ".join(map(str, BOUNDS)))
    return folder


NAMES = list(zip(TORCH, CAFFE, strict=True))


@pytest.fixture(scope="module")
def prior(files) -> Prior:
    return import_generator("norm1", files / "new.caffemodel", files / "norm1.txt")


def convolve(x: np.ndarray, weight: np.ndarray, stride: int, pad: int) -> np.ndarray:
    """Caffe's Convolution: the sum over channels and taps, from the padded map."""
    x, k = np.pad(x, ((0, 0), (pad, pad), (pad, pad))), weight.shape[-1]
    windows = np.lib.stride_tricks.sliding_window_view(x, (k, k), axis=(1, 2))[:, ::stride, ::stride]
    return np.tensordot(weight, windows, axes=([1, 2, 3], [0, 3, 4]))


def deconvolve(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Caffe's Deconvolution, kernel 4, stride 2, pad 1: every pixel stamps its multiple of the kernel."""
    _, h, w = x.shape
    out = np.zeros((weight.shape[1], 2 * h + 2, 2 * w + 2))
    for i in range(4):
        for j in range(4):
            out[:, i : i + 2 * h : 2, j : j + 2 * w : 2] += np.tensordot(weight[:, :, i, j], x, axes=(0, 0))
    return out[:, 1:-1, 1:-1]


def test_the_priors_images_are_the_published_networks_in_numpy(prior):
    """All of norm1's generator as the published definition has it: 27 -> 15 -> 240, tanh * 255, plus the mean, BGR to
    RGB, the middle 227."""
    code = np.random.default_rng(1).random((96, 27, 27)) * 0.5
    h = code
    for i, (kind, w, b) in enumerate(layers()):
        h = convolve(h, w, 2 if i == 0 else 1, 2 if i == 0 else 1) if kind == "Convolution" else deconvolve(h, w)
        h = h if b is None else h + b[:, None, None]
        h = np.where(h > 0, h, 0.3 * h) if i < 10 else 255 * np.tanh(h)
    assert h.shape == (3, 240, 240)
    image = (h + np.array([104.0, 117.0, 123.0])[:, None, None])[::-1] / 255
    expected = np.clip(image[:, 6:233, 6:233], 0, 1)
    found = prior.decode(torch.from_numpy(code)[None].float())[0].numpy()
    np.testing.assert_allclose(found, expected, atol=2e-4)
    assert (expected % 1 > 0).mean() > 0.1  # not all clipped


@pytest.mark.parametrize("name", ["old.caffemodel", "port.pt", "port_with_caffes_names.pth"])
def test_every_published_form_gives_the_same_prior(files, prior, name):
    again = import_generator("norm1", files / name, files / "norm1.txt")
    first, other = prior.generator.state_dict(), again.generator.state_dict()
    assert all(torch.equal(value, other[key]) for key, value in first.items())


def test_an_imported_prior_is_a_prior_like_any_other(prior, tmp_path):
    prior.save(tmp_path / "norm1.safetensors")
    again = Prior.load(tmp_path / "norm1.safetensors")
    assert (again.layer, again.code_shape, again.image_size) == ("norm1", (96, 27, 27), 227)
    low, high = again.bounds()
    assert torch.equal(high.flatten(), torch.from_numpy(BOUNDS).float())  # to the bit
    assert low.count_nonzero() == 0
    codes = again.sample(2, seed=1)
    assert (codes <= high).all()
    assert (codes >= 0).all()
    images = again.decode(codes)
    assert images.shape == (2, 3, 227, 227)
    torch.testing.assert_close(images, prior.decode(codes), rtol=0, atol=1e-5)
    with pytest.raises(UserError, match=r"target=caffenet target\.weights=FILE"):
        again.encoder_net()


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("caffenet") / "caffenet.safetensors"
    save_network(caffenet(seed=5), path)
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder, noise = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for i in range(4):
        Image.fromarray(noise.integers(256, size=(260, 300, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    return folder


@pytest.mark.slow
@pytest.mark.e2e
def test_bounds_over_images_and_a_gallery(files, encoder, photos, tmp_path, user, capsys):
    out, names = tmp_path / "norm1.safetensors", tmp_path / "synset_words.txt"
    names.write_text("".join(f"n{i:08} thing {i}, also so\n" for i in range(1000)))
    arguments = ["--images", str(photos), "--caffenet", str(encoder), "--labels", str(names), "--out", str(out)]
    main(["norm1", str(files / "new.caffemodel"), *arguments])
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == str(out)
    assert "1,034,032 parameters" in printed[0]
    assert "measured over 4 images" in printed[0]
    prior = Prior.load(out)
    cut = EvalTransform(227, 256)
    pictures = torch.stack([cut(read_image(p)) for p in sorted(photos.iterdir())]).float() / 255
    codes = caffenet(seed=5)(pictures, ["norm1"])["norm1"]
    torch.testing.assert_close(prior.bounds()[1], codes.mean(0) + 3 * codes.std(0, unbiased=False))
    torch.testing.assert_close(prior.encode(pictures), codes)
    settings = ["steps=1", "seeds=1", "reference_images=3", "device=cpu"]
    out_text, _ = user.run("visualize.py", f"prior={out}", "units=fc8:thing 7", *settings)
    table = (user.folder / out_text.strip().splitlines()[-1]).parent / "results.csv"
    header, row = (line.split(",") for line in table.read_text().splitlines()[:2])
    found = dict(zip(header, row, strict=False))
    assert (found["unit"], found["label"]) == ("7", "thing 7")
    assert 0 <= float(found["percentile"]) <= 100


def message(*arguments, **given) -> str:
    with pytest.raises(UserError) as caught:
        import_generator(*arguments, **given)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_weights_of_another_layer_are_reported_with_their_layer(files):
    said = message("conv3", files / "new.caffemodel", files / "norm1.txt")
    assert "is not the generator of conv3: its weights fit norm1; name that layer" in said
    assert "no published generator for layer 'conv1'" in message("conv1", files / "new.caffemodel", files / "norm1.txt")
    # conv5 is DGN-AM's name of pool5's
    assert "is not the generator of pool5" in message("conv5", files / "new.caffemodel", files / "norm1.txt")
    own = {
        f"{n}.{p}": torch.zeros(1, 1)
        for n in (*(f"conv{i}" for i in range(1, 6)), "fc6", "fc7", "fc8")
        for p in ("weight",)
    }
    torch.save(own, files / "caffenet.pt")
    assert "give it with --caffenet" in message("fc6", files / "caffenet.pt", files / "norm1.txt")


def test_damaged_files_are_refused_in_one_line_and_status_2(files, tmp_path, capsys):
    whole = (files / "new.caffemodel").read_bytes()
    not_finite = torch.load(files / "port.pt")
    not_finite["conv7.weight"][0] = float("nan")
    torch.save(not_finite, tmp_path / "nan.pt")
    broken = {"cut.caffemodel": whole[:-100], "empty.caffemodel": b"", "page.caffemodel": b"<html>", "text": b"hello"}
    for name, content in broken.items():
        (tmp_path / name).write_bytes(content)
    for name in (*broken, "nan.pt", "absent.caffemodel"):
        with pytest.raises(SystemExit) as end:
            main(["norm1", str(tmp_path / name), "--range", str(files / "norm1.txt"), "--out", str(tmp_path / "o")])
        said = capsys.readouterr().err
        assert end.value.code == 2
        assert said.count("\n") == 1
        assert name in said
        assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1 2 3", "holds 3 numbers, the code of norm1 has 69984 units"),
        ("5 " * 9216, "it fits pool5"),
        ("5 " * 4096, "it fits fc6, fc7"),
        ("x " * 69984, "must contain only numbers"),
        ("-1 " * 69984, "negative"),
        ("nan " * 69984, "not finite"),
        ("é", "text with one line of numbers"),
        ("1 " * 3_000_000, "too large"),
    ],
)
def test_a_range_file_of_something_else_is_refused(files, tmp_path, text, says):
    (tmp_path / "r.txt").write_text(text)
    assert says in message("norm1", files / "new.caffemodel", tmp_path / "r.txt")


def test_range_files_may_have_lines_and_commas(tmp_path):
    (tmp_path / "r.txt").write_text("\n".join(f"{i % 9}.5," for i in range(1000)))
    assert torch.equal(read_range(tmp_path / "r.txt", "fc8"), torch.arange(1000) % 9 + 0.5)


def test_bounds_come_from_one_place(files, encoder):
    assert "--range FILE" in message("norm1", files / "new.caffemodel")
    assert "--range FILE" in message("norm1", files / "new.caffemodel", files / "norm1.txt", "images")
    assert "--caffenet" in message("norm1", files / "new.caffemodel", images=files)


def test_labels_are_read_from_the_usual_files(tmp_path):
    (tmp_path / "words.txt").write_text("n01440764 tench, Tinca tinca\ngoldfish\nn02 fox\n\n")
    assert read_labels(tmp_path / "words.txt") == ["tench", "goldfish", "n02 fox"]
    with pytest.raises(UserError, match="cannot read the labels"):
        read_labels(tmp_path / "nowhere.txt")
