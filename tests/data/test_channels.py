"""Images of other channels than RGB, and of other shapes than squares, from files to batches."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from dgn.data.bands import decode_bands
from dgn.data.channels import with_channels
from dgn.data.display import as_rgb, showing
from dgn.data.exact import read_exact, write_exact
from dgn.data.image_folder import ImageFolder
from dgn.data.images import as_images, pictures, read_image, save_png
from dgn.data.packed import PackedImages, main
from dgn.data.sources import image_folder
from dgn.data.transforms import EvalTransform, TrainTransform
from dgn.errors import UserError

tifffile = pytest.importorskip("tifffile")
RANDOM = np.random.default_rng(0)


def test_arrays_are_read_with_their_channels_first_or_last(tmp_path):
    image = RANDOM.integers(0, 256, (5, 8, 7), dtype=np.uint8)
    np.save(tmp_path / "first.npy", image)
    np.save(tmp_path / "last.npy", image.transpose(1, 2, 0))
    np.savez(tmp_path / "packed.npz", image)
    for name in ("first.npy", "last.npy", "packed.npz"):
        assert torch.equal(read_image(tmp_path / name, channels=5), torch.from_numpy(image)), name


def test_values_are_scaled_from_the_range_that_is_given(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[[0, 5000, 10000, 12000]]], dtype=np.uint16))
    read = read_image(tmp_path / "a.npy", channels=1, values=(0, 10000))
    assert read.flatten().tolist() == [0, 128, 255, 255]
    assert read_image(tmp_path / "a.npy", channels=1).flatten().tolist() == [0, 19, 39, 47]  # of 0..65535


@pytest.mark.parametrize("planar", [False, True])
def test_tiffs_of_bands_and_of_pages_are_read(tmp_path, planar):
    image = RANDOM.integers(0, 65536, (6, 9, 7), dtype=np.uint16)
    expected = np.round(image / 257).astype(np.uint8)
    path = tmp_path / "a.tif"
    if planar:
        tifffile.imwrite(path, image, photometric="minisblack", planarconfig="separate")
    else:
        tifffile.imwrite(path, image.transpose(1, 2, 0), photometric="minisblack", planarconfig="contig")
    np.testing.assert_array_equal(read_image(path, channels=6), expected)
    Image.fromarray(expected[0]).save(path, save_all=True, append_images=[Image.fromarray(b) for b in expected[1:]])
    np.testing.assert_array_equal(read_image(path, channels=6), expected)


def test_pictures_give_grey_and_alpha(tmp_path):
    rgba = RANDOM.integers(0, 256, (6, 5, 4), dtype=np.uint8)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", channels=4), rgba.transpose(2, 0, 1))
    rgb = rgba[..., :3].copy()
    Image.fromarray(rgb).save(tmp_path / "b.png")
    grey = np.asarray(Image.fromarray(rgb).convert("L"))
    np.testing.assert_array_equal(read_image(tmp_path / "b.png", channels=1)[0], grey)
    stored = torch.from_numpy(rgb.transpose(2, 0, 1).copy())[None]
    np.testing.assert_array_equal(with_channels(stored, 1, "cifar10")[0, 0], grey)
    deep = RANDOM.integers(0, 65536, (6, 5), dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "c.png")
    np.testing.assert_array_equal(read_image(tmp_path / "c.png", channels=1)[0], np.round(deep / 257))


def test_wrong_channels_are_named_with_the_next_step(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((8, 8, 5), np.uint8))
    with pytest.raises(UserError, match=r"a.npy: it has 5 channels .*, and 4 are expected; set data.channels=5"):
        read_image(tmp_path / "a.npy", channels=4)
    Image.new("RGB", (4, 4)).save(tmp_path / "b.png")
    with pytest.raises(UserError, match=r"3 channels \(RGB\), and 4 are expected; set data.channels=3"):
        read_image(tmp_path / "b.png", channels=4)
    with pytest.raises(UserError, match=r"cifar10 has 3 channels \(RGB\), and data.channels=4 asks for 4"):
        with_channels(torch.zeros(1, 3, 2, 2, dtype=torch.uint8), 4, "cifar10")
    with pytest.raises(UserError, match=r"data.channels=0: give a number"):
        ImageFolder(tmp_path, image_size=4, channels=0)
    with pytest.raises(UserError, match=r"data.values=\[5, 1\]: give the values of black and white"):
        ImageFolder(tmp_path, image_size=4, channels=1, values=[5, 1])


def test_an_array_cannot_run_code_or_ask_for_all_memory():
    pickled = io.BytesIO()
    np.save(pickled, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle"):
        decode_bands(np.frombuffer(pickled.getvalue(), np.uint8), 1)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (10**6, 10**6)})
    with pytest.raises(ValueError, match="too large"):
        decode_bands(np.frombuffer(header.getvalue(), np.uint8), 1)


def test_without_channels_a_folder_is_of_rgb_pictures_alone(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((8, 8, 3), np.uint8))
    Image.new("L", (8, 8), 9).save(tmp_path / "b.png")
    assert ImageFolder(tmp_path, "all", image_size=8)[0][0].shape == (3, 8, 8)
    assert len(ImageFolder(tmp_path, "all", image_size=8)) == 1
    assert len(ImageFolder(tmp_path, "all", image_size=8, channels=3)) == 2


def test_batches_packed_files_and_caches_keep_channels_and_shape(tmp_path, monkeypatch):
    monkeypatch.setenv("DGN_CACHE", str(tmp_path / "cache"))
    for i in range(8):
        np.save(tmp_path / f"{i}.npy", RANDOM.integers(0, 256, (12, 20, 4), dtype=np.uint8))
    of = dict(image_size=[12, 20], resize=12, channels=4, val_fraction=0.25, mirror=False, num_workers=0)
    batches = {}
    for cache in ("none", "ram", "disk"):
        data = image_folder(tmp_path, cache=cache, **of)
        assert (data.channels, data.image_size, data.image_shape) == (4, (12, 20), (4, 12, 20))
        batches[cache] = next(data.real_images(6))[0]
        assert batches[cache].shape == (6, 4, 12, 20)
    assert torch.equal(batches["none"], batches["ram"])
    assert torch.equal(batches["none"], batches["disk"])
    main(["--root", str(tmp_path), "--out", str(tmp_path / "p"), "--size", "12x20", "--channels", "4"])
    assert torch.equal(next(image_folder(tmp_path / "p", **of).real_images(6))[0], batches["none"])
    with pytest.raises(UserError, match=r"holds pictures of 4 channels, and data.channels=1; set data.channels=4"):
        PackedImages(tmp_path / "p", image_size=12, channels=1)


@pytest.mark.parametrize("sides", [(40, 100), (100, 40), (20, 24), (7, 300)])
def test_crops_of_any_shape_are_cut_from_what_covers_them(sides):
    image = torch.from_numpy(RANDOM.integers(0, 256, (2, *sides), dtype=np.uint8))
    for transform in (TrainTransform((24, 48)), EvalTransform((24, 48)), TrainTransform((24, 48), square=True)):
        assert transform(image).shape == (2, 24, 48)
    assert EvalTransform((24, 48)).extent == (27, 54)
    exact = torch.from_numpy(RANDOM.integers(0, 256, (2, 24, 48), dtype=np.uint8))
    assert torch.equal(EvalTransform((24, 48), 24)(exact), exact)


def test_images_in_memory_may_have_any_channels():
    four = RANDOM.random((2, 8, 9, 4)).astype(np.float32)
    np.testing.assert_array_equal(as_images(four), four.transpose(0, 3, 1, 2))
    assert as_images(torch.rand(2, 6, 8, 9)).shape == (2, 6, 8, 9)
    with pytest.raises(UserError, match="channels last"):
        as_images(torch.rand(2, 8, 9, 4))


def test_how_channels_are_shown_is_a_setting():
    images = torch.rand(2, 5, 4, 6, generator=torch.Generator().manual_seed(0))
    rgb = images[:, :3].contiguous()
    assert as_rgb(rgb) is rgb  # RGB passes unchanged, with any setting
    assert torch.equal(as_rgb(images), images[:, :3])
    assert torch.equal(as_rgb(images[:, :2]), images[:, :1].expand(-1, 3, -1, -1))
    with showing([4, 0, 1]):
        assert torch.equal(as_rgb(images), images[:, [4, 0, 1]])
        assert as_rgb(rgb) is rgb
    with showing(2):
        assert torch.equal(as_rgb(images), images[:, 2:3].expand(-1, 3, -1, -1))
    with pytest.raises(UserError, match=r"show.channels=\[7\]: the images have channels 0 .. 4"), showing([7]):
        as_rgb(images)
    with pytest.raises(UserError, match="three indices"), showing([1, 2]):
        pass
    (picture, _) = pictures(images)
    np.testing.assert_array_equal(np.asarray(picture).transpose(2, 0, 1), (images[0, :3] * 255).round().byte())


def test_false_colours_are_principal_components():
    generator = torch.Generator().manual_seed(0)
    strong, weak = (torch.randn(3, 1, 8, 8, generator=generator) for _ in range(2))
    images = 0.5 + torch.cat([strong, strong, weak * 0.1, -strong], 1) * 0.1
    with showing("pca", lambda: [images]):
        shown = as_rgb(images)
    pixels = images.movedim(1, 3).reshape(-1, 4).double().numpy()
    axes = np.linalg.svd(pixels - pixels.mean(0), full_matrices=False)[2]
    scores = (pixels - pixels.mean(0)) @ axes[0]
    assert abs(np.corrcoef(scores, shown[:, 0].flatten())[0, 1]) > 0.999
    assert abs(float(shown[:, 0].mean()) - 0.5) < 0.02  # the mean is mid-grey


def test_what_a_picture_does_not_hold_is_kept_beside_it(tmp_path):
    image = torch.rand(4, 5, 6, generator=torch.Generator().manual_seed(0))
    save_png(image, tmp_path / "a.png")
    write_exact(image, tmp_path / "a.png")
    assert torch.equal(read_exact(tmp_path / "a.png"), image)
    write_exact(image[:3], tmp_path / "b.png")
    assert not (tmp_path / "b.npy").exists()
