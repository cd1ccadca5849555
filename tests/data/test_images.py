import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from dgn.data.images import image_grid, read_image, save_png
from dgn.errors import UserError


@pytest.fixture
def picture():
    """A smooth colour picture whose four corners differ, 40 wide and 24 high."""
    across = np.broadcast_to(np.linspace(0, 255, 40)[None, :], (24, 40))
    down = np.broadcast_to(np.linspace(255, 0, 24)[:, None], (24, 40))
    return Image.fromarray(np.stack([across, down, (across + down) / 2], axis=2).astype(np.uint8))


def as_tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def furthest(a: torch.Tensor, b: torch.Tensor) -> int:
    assert a.shape == b.shape
    return (a.int() - b.int()).abs().max().item()


def png_16_bit_rgb(values: np.ndarray) -> bytes:
    """Pillow writes no 16-bit colour, so by hand; `values` uint16 (H, W, 3)."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.webp", "a.ppm"])
def test_a_lossless_file_reads_as_it_was_written(picture, tmp_path, name):
    picture.save(tmp_path / name, **({"lossless": True} if name == "a.webp" else {}))
    image = read_image(tmp_path / name)
    assert image.dtype == torch.uint8
    assert furthest(image, as_tensor(picture)) == 0


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_reads_as_pillow_reads_it(picture, tmp_path, mode):
    picture.convert(mode).save(tmp_path / "a.jpg", quality=90)
    image = read_image(tmp_path / "a.jpg")
    assert furthest(image, as_tensor(Image.open(tmp_path / "a.jpg"))) <= 1
    assert furthest(image, as_tensor(picture.convert(mode))) < 24  # what JPEG itself loses


def test_jpegs_are_read_without_torchvisions_decoder_too(picture, tmp_path, monkeypatch):
    picture.save(tmp_path / "a.jpg")
    fast = read_image(tmp_path / "a.jpg")
    monkeypatch.delattr("torchvision.io.decode_jpeg")
    assert furthest(read_image(tmp_path / "a.jpg"), fast) <= 1


@pytest.mark.parametrize(
    ("short_side", "size"), [(30, (75, 125)), (37, (75, 125)), (38, (150, 250)), (76, (300, 500)), (9, (38, 63))]
)
def test_a_large_jpeg_read_for_a_small_side_is_never_less_than_twice_it(picture, tmp_path, short_side, size):
    large = picture.resize((500, 300), Image.Resampling.BICUBIC)
    large.save(tmp_path / "a.jpg", quality=95)
    image = read_image(tmp_path / "a.jpg", short_side)
    assert image.shape[1:] == size
    small = Image.fromarray(image.permute(1, 2, 0).numpy()).resize((40, 24), Image.Resampling.BILINEAR)
    assert furthest(as_tensor(small), as_tensor(large.resize((40, 24), Image.Resampling.BILINEAR))) < 12


def test_a_large_jpeg_read_small_stands_upright_too(picture, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    large = picture.resize((500, 300), Image.Resampling.BICUBIC)
    large.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "a.jpg", quality=95, exif=exif)
    assert read_image(tmp_path / "a.jpg", 30).shape == (3, 75, 125)


@pytest.mark.parametrize("transform", [None, 0, 2])
def test_a_cmyk_jpeg_reads_as_pillow_reads_it_with_every_adobe_marker(picture, tmp_path, transform):
    file = io.BytesIO()
    picture.convert("CMYK").save(file, "JPEG", quality=90)
    data = bytearray(file.getvalue())
    marker = data.index(b"\xff\xee\x00\x0eAdobe")
    if transform is None:
        del data[marker : marker + 16]
    else:
        data[marker + 15] = transform  # 2: YCCK, so that other colours come out, but the same in both
    (tmp_path / "a.jpg").write_bytes(data)
    assert furthest(read_image(tmp_path / "a.jpg"), as_tensor(Image.open(tmp_path / "a.jpg"))) <= 1


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_exif_rotated_picture_stands_upright(picture, tmp_path, suffix, orientation):
    # The value stored is what undoes the turn given here (the table of the EXIF standard, tag 0x0112).
    stored = {
        1: picture,
        2: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: picture.transpose(Image.Transpose.ROTATE_180),
        4: picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: picture.transpose(Image.Transpose.TRANSPOSE),
        6: picture.transpose(Image.Transpose.ROTATE_90),
        7: picture.transpose(Image.Transpose.TRANSVERSE),
        8: picture.transpose(Image.Transpose.ROTATE_270),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    stored.save(path, exif=exif, **{"jpg": {"quality": 95}, "webp": {"lossless": True}}.get(suffix, {}))
    assert furthest(read_image(path), as_tensor(picture)) < (24 if suffix == "jpg" else 1)


def test_orientation_that_cannot_be_parsed_does_not_cost_the_picture(picture, tmp_path):
    picture.save(tmp_path / "a.png", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert furthest(read_image(tmp_path / "a.png"), as_tensor(picture)) == 0


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_alpha_is_laid_on_white(picture, tmp_path, mode, suffix):
    alpha = np.linspace(0, 255, 24 * 40).reshape(24, 40).astype(np.uint8)
    image = picture.convert(mode)
    image.putalpha(Image.fromarray(alpha))
    image.save(tmp_path / f"a.{suffix}")
    colours = np.array(image.convert("RGB")).astype(float)
    weight = alpha[:, :, None] / 255
    wanted = torch.from_numpy(np.round(weight * colours + (1 - weight) * 255)).permute(2, 0, 1)
    assert furthest(read_image(tmp_path / f"a.{suffix}"), wanted) <= 1


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_a_palette_with_a_transparent_colour_shows_white_there(tmp_path, suffix):
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / f"a.{suffix}", transparency=0)
    assert read_image(tmp_path / f"a.{suffix}")[:, 0].T.tolist() == [[255, 255, 255], [0, 0, 255]]


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_16_bit_gray_is_scaled_and_not_clipped(tmp_path, suffix):
    values = np.array([[0, 256, 257, 25700, 40000, 65535]], dtype=np.uint16)
    if suffix == "pgm":
        (tmp_path / "a.pgm").write_bytes(b"P5 6 1 65535\n" + values.astype(">u2").tobytes())
    else:
        Image.fromarray(values).save(tmp_path / f"a.{suffix}")
    image = read_image(tmp_path / f"a.{suffix}")
    assert image[:, 0].tolist() == [[0, 1, 1, 100, 156, 255]] * 3


@pytest.mark.parametrize("top", [1, 255, 65535])
def test_floating_point_gray_is_scaled_from_the_range_that_holds_it(tmp_path, top):
    values = np.array([[0, 0.25, 0.5, 0.8, 1, 1.00001, -0.00001]], dtype=np.float32) * top  # off by a rounding, too
    Image.fromarray(values).save(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif")[:, 0].tolist() == [[0, 64, 128, 204, 255, 255, 0]] * 3


def test_16_bit_colour_is_scaled_and_not_clipped(tmp_path):
    values = np.array([[[0, 25700, 65535], [40000, 257, 12850]]], dtype=np.uint16)
    (tmp_path / "a.png").write_bytes(png_16_bit_rgb(values))
    wanted = torch.from_numpy(values / 257).permute(2, 0, 1).round()
    assert furthest(read_image(tmp_path / "a.png"), wanted) <= 1


@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_black_and_white_gray_and_palette_files_become_rgb(picture, tmp_path, mode):
    image = picture.convert(mode)
    image.save(tmp_path / "a.png")
    assert furthest(read_image(tmp_path / "a.png"), as_tensor(image)) == 0


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_an_animation_gives_its_first_frame(tmp_path, suffix):
    frames = [Image.new("RGB", (4, 3), colour) for colour in ("red", "blue")]
    lossless = {"lossless": True} if suffix == "webp" else {}
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], **lossless)
    assert furthest(read_image(tmp_path / f"a.{suffix}"), as_tensor(frames[0])) == 0


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "bmp", "tif"])
def test_one_pixel_is_a_picture(tmp_path, suffix):
    Image.new("RGB", (1, 1), (128, 128, 128)).save(tmp_path / f"a.{suffix}")
    assert furthest(read_image(tmp_path / f"a.{suffix}"), torch.full((3, 1, 1), 128)) <= 1


def test_the_first_bytes_decide_and_not_the_name(picture, tmp_path):
    picture.save(tmp_path / "a.jpg", format="PNG")
    assert furthest(read_image(tmp_path / "a.jpg"), as_tensor(picture)) == 0


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "bmp", "tif"])
def test_a_truncated_file_is_named(picture, tmp_path, suffix):
    whole, path = tmp_path / f"whole.{suffix}", tmp_path / f"half.{suffix}"
    picture.save(whole)
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(UserError, match=f"cannot read image .*half.{suffix}: "):
        read_image(path)


def test_a_file_that_is_not_a_picture_is_reported_in_one_line(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "drawing.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    Image.fromarray(np.full((2, 2), np.nan, dtype=np.float32)).save(tmp_path / "nan.tif")
    Image.fromarray(np.full((2, 2), -0.5, dtype=np.float32)).save(tmp_path / "negative.tif")
    Image.fromarray(np.full((2, 2), 70_000.0, dtype=np.float32)).save(tmp_path / "large.tif")
    reasons = {
        "empty.png": "the file is empty",
        "text.jpg": "not an image of a known format",
        "drawing.png": "not an image of a known format",
        "nan.tif": "from nan to nan are in no known range",
        "negative.tif": "from -0.5 to -0.5 are in no known range",
        "large.tif": "0 .. 1, 0 .. 255, 0 .. 65535",
        "absent.png": "no image file",
        ".": "is a folder",
    }
    for name, reason in reasons.items():
        with pytest.raises(UserError, match=reason) as caught:
            read_image(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_saved_png_reads_back_to_the_nearest_level(tmp_path):
    image = torch.rand(3, 5, 7, generator=torch.Generator().manual_seed(0)) * 1.4 - 0.2
    save_png(image, tmp_path / "new" / "a.png")
    assert furthest(read_image(tmp_path / "new" / "a.png"), (image.clamp(0, 1) * 255).round()) == 0


def test_a_png_that_fails_leaves_the_old_one_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    save_png(torch.zeros(3, 2, 2), path)

    def half(self, file, **kwargs):
        with open(file, "wb") as opened:
            opened.write(b"\x89PNG")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", half)
    with pytest.raises(UserError, match="No space left"):
        save_png(torch.ones(3, 2, 2), path)
    assert read_image(path).max() == 0
    assert list(tmp_path.iterdir()) == [path]


def test_a_grid_places_images_row_by_row():
    images = torch.arange(5).float().view(5, 1, 1, 1).expand(5, 3, 2, 3) / 10
    grid = image_grid(images, columns=3, padding=1, background=0.9)
    assert grid.shape == (3, 2 * 3 + 1, 3 * 4 + 1)
    assert grid[0, 1].tolist() == pytest.approx([0.9, 0, 0, 0, 0.9, 0.1, 0.1, 0.1, 0.9, 0.2, 0.2, 0.2, 0.9])
    assert grid[0, 5].tolist() == pytest.approx([0.9, 0.3, 0.3, 0.3, 0.9, 0.4, 0.4, 0.4] + [0.9] * 5)
    assert grid[:, [0, 3, 6]].unique().tolist() == pytest.approx([0.9])


def test_a_grid_of_one_image_is_padded_like_any_other():
    assert image_grid(torch.rand(1, 3, 4, 4), columns=5, padding=2).shape == (3, 8, 8)
    assert image_grid(torch.rand(5, 3, 4, 4), padding=0).shape == (3, 8, 12)


@pytest.mark.parametrize(("kind", "marker"), [("JPEG", b"\xff\xc0"), ("GIF", None)])
def test_a_header_that_states_billions_of_pixels_takes_no_memory(kind, marker, picture, tmp_path):
    file = io.BytesIO()
    picture.save(file, kind)
    content = bytearray(file.getvalue())
    at = 6 if marker is None else content.find(marker) + 5
    content[at : at + 4] = b"\xff\xff\xff\xff"
    (tmp_path / "huge").write_bytes(content)
    with pytest.raises(UserError, match=r"cannot read image .*huge: it is damaged, or has more than 128 megapixels"):
        read_image(tmp_path / "huge")
    with pytest.raises(UserError, match="embedded null byte"):
        read_image("a\0b.png")


def test_an_animation_counts_the_canvases_that_it_is_composed_on(picture, tmp_path):
    file = io.BytesIO()
    frames = [picture.convert("RGB"), Image.new("RGB", picture.size)]
    frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:])
    content = bytearray(file.getvalue())
    (tmp_path / "moving").write_bytes(content)
    assert read_image(tmp_path / "moving").shape == (3, picture.height, picture.width)
    at = content.find(b"VP8X") + 8 + 7  # the height of the canvas less 1, of three bytes
    content[at : at + 3] = (100_000_000 // picture.width).to_bytes(3, "little")
    (tmp_path / "tall").write_bytes(content)
    with pytest.raises(UserError, match="more than 128 megapixels"):
        read_image(tmp_path / "tall")


@pytest.mark.parametrize("kind", ["PNG", "GIF", "JPEG", "TIFF"])
def test_a_files_header_is_read_once(kind, picture, tmp_path, monkeypatch):
    picture.save(tmp_path / "picture", kind)
    opened, really = [], Image.open
    monkeypatch.setattr(Image, "open", lambda *given, **named: opened.append(given) or really(*given, **named))
    read_image(tmp_path / "picture")
    assert len(opened) == 1
