"""Autoencoders of Diffusers as priors: tiny ones with random weights."""

import json
import logging
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from dgn.errors import Unavailable, UserError
from dgn.networks.autoencoders import model_class
from dgn.networks.siglip import known_to_diffusers
from dgn.prior import Prior
from dgn.prior.decoders import RAE, find_model, import_autoencoder
from dgn.prior.prior_file import HEADER

sys.path.insert(0, str(Path(__file__).parent))
import tiny_autoencoders

EXTRA = "needs the extra rae: pip install 'dgn[rae]'"
diffusers = pytest.importorskip("diffusers", reason=EXTRA)
pytest.importorskip("transformers", reason=EXTRA)
CLASSES = ["AutoencoderRAE", "AutoencoderKL", "VQModel", "AutoencoderTiny"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Returns the folder of a tiny model of a class."""
    made: dict[str, Path] = {}

    def of(name: str) -> Path:
        if name not in made:
            made[name] = tiny_autoencoders.save(name, tmp_path_factory.mktemp(name))
        return made[name]

    return of


@pytest.fixture(scope="module")
def rae_file(folder, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("prior") / "rae.safetensors"
    import_autoencoder(folder(RAE)).save(path)
    return path


def encoded(name: str, model, images: torch.Tensor) -> torch.Tensor:
    """Diffusers' own latents of images in image space."""
    if name == RAE:
        return model.encode(images).latent
    output = model.encode(2 * images - 1)
    if hasattr(output, "latent_dist"):
        return output.latent_dist.mode()
    return output.latent if name == "AutoencoderDC" else output.latents


def decoded(name: str, model, codes: torch.Tensor) -> torch.Tensor:
    """Diffusers' own images of latents, in image space."""
    images = model.decode(codes).sample
    return images if name == RAE else (images + 1) / 2


@pytest.mark.parametrize("name", [*CLASSES, "AutoencoderDC", "AsymmetricAutoencoderKL"])
@torch.no_grad()
def test_a_prior_from_its_file_decodes_and_encodes_as_diffusers_does(folder, tmp_path, name):
    import_autoencoder(folder(name)).save(tmp_path / "prior.safetensors")
    prior = Prior.load(tmp_path / "prior.safetensors")
    model = getattr(diffusers, name).from_pretrained(folder(name)).eval()
    images = torch.rand(3, 3, prior.image_size, prior.image_size, generator=torch.Generator().manual_seed(0))
    codes = encoded(name, model, images)
    assert prior.code_shape == codes.shape[1:]
    # The same operations; only the memory layout, and so the order of sums, may differ.
    torch.testing.assert_close(prior.encode(images), codes, atol=1e-5, rtol=1e-4)
    expected = decoded(name, model, codes)
    torch.testing.assert_close(prior.generator(codes), expected, atol=1e-5, rtol=1e-4)
    assert torch.equal(prior.decode(codes), prior.generator(codes).clamp(0, 1))
    assert expected.std() > 0.01  # not all alike


@pytest.mark.parametrize("encoder", ["mae", "siglip2"])
@torch.no_grad()
def test_a_rae_of_another_encoder_is_imported_alike(tmp_path, encoder):
    import_autoencoder(tiny_autoencoders.save(RAE, tmp_path, encoder)).save(tmp_path / "prior.safetensors")
    prior = Prior.load(tmp_path / "prior.safetensors")
    with known_to_diffusers():
        model = diffusers.AutoencoderRAE.from_pretrained(tmp_path).eval()
    images = torch.rand(2, 3, 32, 32)
    codes = model.encode(images).latent
    torch.testing.assert_close(prior.encode(images), codes, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(prior.generator(codes), model.decode(codes).sample, atol=1e-5, rtol=1e-4)
    vision = import_module("transformers").SiglipVisionModel
    assert not hasattr(vision, "vision_model")  # what Diffusers needs while it builds a model is taken back


@pytest.mark.parametrize("name", CLASSES)
def test_the_gradient_of_an_image_reaches_the_code(folder, name):
    prior = import_autoencoder(folder(name))
    codes = prior.sample(1).requires_grad_()
    prior.decode(codes).square().sum().backward()
    assert codes.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("name", "mean", "std"), [(RAE, 0.0, 1.5), ("AutoencoderKL", 0.1, 1 / 0.18215), ("AutoencoderTiny", 0.0, 1.0)]
)
def test_without_images_the_bounds_are_three_deviations_of_the_release(folder, name, mean, std):
    prior = import_autoencoder(folder(name))
    low, high = prior.bounds()
    torch.testing.assert_close(low, torch.full(prior.code_shape, mean - 3 * std))
    torch.testing.assert_close(high, torch.full(prior.code_shape, mean + 3 * std))
    assert prior.statistics.count == 0


def test_the_codes_of_a_vq_model_are_spread_as_its_codebook(folder):
    entries = load_file(folder("VQModel") / "diffusion_pytorch_model.safetensors")["quantize.embedding.weight"]
    statistics = import_autoencoder(folder("VQModel")).statistics
    torch.testing.assert_close(statistics.mean[:, 0, 0], entries.mean(0))
    torch.testing.assert_close(statistics.std[:, 1, 2], entries.std(0))


def test_statistics_are_those_of_diffusers_latents_over_a_folder_of_images(folder, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    for i, picture in enumerate(pixels):
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
    prior = import_autoencoder(folder(RAE), images=tmp_path, axes=3)
    model = diffusers.AutoencoderRAE.from_pretrained(folder(RAE)).eval()
    with torch.no_grad():
        codes = model.encode(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255).latent
    assert prior.statistics.count == 6
    torch.testing.assert_close(prior.statistics.mean, codes.mean(0), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(prior.statistics.std, codes.std(0, correction=0), atol=1e-5, rtol=1e-4)
    assert prior.principal.count == 3
    assert prior.about["data"]["root"] == str(tmp_path)


def test_its_encoder_is_a_network_whose_code_is_a_layer(rae_file):
    net = Prior.load(rae_file).encoder_net()
    assert net.layer("latent").shape == (64, 4, 4)
    assert net.headless
    block = "model.encoder.encoder.layer.0"
    images = torch.rand(2, 3, 32, 32)
    assert net(images, [block])[block].shape == (2, 1 + 4 + 16, 64)  # class token, registers, patches


def changed(path: Path, to: Path, change) -> Path:
    """A copy of a prior file with another header."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()[HEADER])
    change(header)
    save_file(load_file(path), to, metadata={HEADER: json.dumps(header)})
    return to


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("name", "DiffusionPipeline", "is no autoencoder that dgn can use"),
        ("config", {"unknown": 1}, "does not describe a AutoencoderRAE"),
        ("config", {"encoder_type": "other"}, "does not describe a AutoencoderRAE"),
        ("config", {}, "are missing or of another size"),
    ],
)
def test_a_file_with_another_class_or_configuration_is_damaged(rae_file, tmp_path, key, value, message):
    path = changed(rae_file, tmp_path / "prior.safetensors", lambda header: header["generator"].update({key: value}))
    with pytest.raises(UserError, match=f"is damaged: .*{message}"):
        Prior.load(path)


def test_without_the_library_the_file_is_not_damaged_but_asks_for_it(rae_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(
        Unavailable, match=r"AutoencoderRAE needs diffusers, which is not installed: pip install"
    ) as error:
        Prior.load(rae_file)
    assert "damaged" not in str(error.value)


def test_an_older_library_without_the_class_is_named(monkeypatch):
    monkeypatch.delattr(diffusers, "AutoencoderTiny", raising=False)
    monkeypatch.setitem(sys.modules, "diffusers", type("Old", (), {"__version__": "0.1"})())
    with pytest.raises(Unavailable, match=r"diffusers 0\.1 has no AutoencoderTiny"):
        model_class("AutoencoderTiny")


def test_pickled_weights_are_not_read(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(logging.getLogger("diffusers"), "propagate", True)
    tiny_autoencoders.save("AutoencoderTiny", tmp_path)
    weights = tmp_path / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(weights), tmp_path / "diffusion_pytorch_model.bin")
    weights.unlink()
    with pytest.raises(UserError, match="cannot be read as a AutoencoderTiny with safetensors weights") as error:
        import_autoencoder(tmp_path)
    assert "\n" not in str(error.value)
    assert not caplog.records  # the library says nothing beside it


RENAMED = [  # (Transformers 5.5.4, 5.24.0)
    ("encoder.encoder.layer.0.intermediate.dense.", "encoder.layers.0.mlp.fc1."),
    ("encoder.encoder.layer.0.output.dense.", "encoder.layers.0.mlp.fc2."),
    ("encoder.encoder.layer.0.layernorm", "encoder.layers.0.layernorm"),
    *(
        (f"encoder.encoder.layer.0.attention.attention.{part}.", f"encoder.layers.0.attention.{part[0]}_proj.")
        for part in ("query", "key", "value")
    ),
    ("encoder.encoder.layer.0.attention.output.dense.", "encoder.layers.0.attention.o_proj."),
]


@pytest.mark.parametrize("encoder", ["dinov2", "mae"])
def test_a_release_written_by_another_version_of_transformers_is_read_whole(tmp_path, encoder):
    """Diffusers alone would leave the encoder's renamed weights random."""
    tiny_autoencoders.save(RAE, tmp_path, encoder)
    expected = import_autoencoder(tmp_path)
    weights = tmp_path / "diffusion_pytorch_model.safetensors"
    state = load_file(weights)
    pairs = RENAMED
    if encoder == "dinov2":
        pairs = [(old, new.replace("encoder.layers.", "encoder.encoder.layer.")) for old, new in RENAMED[3:]]
    other = {}
    for name, tensor in state.items():
        changed_names = [name.replace(*pair) for old, new in pairs for pair in ((old, new), (new, old))]
        other[next((new for new in changed_names if new != name), name)] = tensor
    assert len(other) == len(state)
    assert len(other.keys() - state.keys()) >= 8
    save_file(other, weights)
    prior = import_autoencoder(tmp_path)
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(prior.encode(images), expected.encode(images))
    # So a prior file made with one version is opened with another.
    assert prior.about["encoder"]["fingerprint"] == expected.about["encoder"]["fingerprint"]


def test_a_release_that_lacks_weights_is_not_read(tmp_path):
    weights = tiny_autoencoders.save(RAE, tmp_path) / "diffusion_pytorch_model.safetensors"
    state = load_file(weights)
    del state["encoder_mean"]  # it stands in the configuration
    save_file(state, weights)
    import_autoencoder(tmp_path)
    del state["decoder.decoder_pred.weight"]
    save_file(state, weights)
    with pytest.raises(UserError, match=r"lacks 1 weights of a AutoencoderRAE \(decoder\.decoder_pred\.weight\)"):
        import_autoencoder(tmp_path)


def test_libraries_that_do_not_fit_each_other_are_named(rae_file, monkeypatch):
    class Broken:
        @property
        def AutoencoderKL(self):
            raise RuntimeError("Failed to import because of:") from ImportError("tokenizers==9 is required")

    def unbuilt(self, *_, **__):
        raise AttributeError("'SiglipVisionModel' object has no attribute 'vision_model'")

    monkeypatch.setattr(diffusers.AutoencoderRAE, "__init__", unbuilt)
    with pytest.raises(Unavailable, match=r"cannot be made by diffusers .* and transformers .*no attribute") as error:
        Prior.load(rae_file)
    assert "damaged" not in str(error.value)
    monkeypatch.setitem(sys.modules, "diffusers", Broken())
    with pytest.raises(Unavailable, match="tokenizers==9 is required"):
        model_class("AutoencoderKL")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 48}, "decodes to 32 px and has no other size"),
        ({"classes": ("AutoencoderKL",)}, "is of class AutoencoderRAE, .* `rae` imports it"),
        ({"subfolder": "vae"}, "has no config.json"),
        ({"axes": 3}, "--axes 3: name the pictures over which they are fitted, --images FOLDER"),
        ({"axes": 0, "images": "."}, "--axes 0: give the most principal axes to fit, at least 1"),
    ],
)
def test_an_import_that_does_not_fit_is_one_line(folder, arguments, message):
    with pytest.raises(UserError, match=message) as error:
        import_autoencoder(folder(RAE), **arguments)
    assert "\n" not in str(error.value)


def test_a_size_is_for_models_that_take_any(folder):
    assert import_autoencoder(folder("AutoencoderKL"), size=24).code_shape == (4, 12, 12)
    with pytest.raises(UserError, match="give another --size"):
        import_autoencoder(folder("AutoencoderKL"), size=25)


def test_nothing_is_downloaded_unless_the_user_says_so(tmp_path, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    asked = []

    def snapshot(name, local_files_only, **_):
        asked.append(local_files_only)
        raise OSError("not here")

    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # no one listens there
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    with pytest.raises(UserError, match="add --download to download it"):
        find_model("someone/absent")
    with pytest.raises(UserError, match=r"someone/absent cannot be downloaded \(no connection to 127"):
        find_model("someone/absent", download=True)
    assert asked == [True, True]
    with pytest.raises(UserError, match="no such folder"):
        find_model("absent")


def test_a_release_of_several_parts_is_read_by_its_subfolder(folder):
    whole = folder("AutoencoderTiny").parent
    name = folder("AutoencoderTiny").name
    assert find_model(str(whole), name) == whole / name
    with pytest.raises(UserError, match="--subfolder"):
        find_model(str(whole))
