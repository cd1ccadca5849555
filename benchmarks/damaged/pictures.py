"""Damaged images of every format, files of packed images, and files of scores of experiments."""

import functools
import io
import struct
import zlib
from pathlib import Path
from random import Random

import numpy as np
import torch
from PIL import Image

from damaged.case import Case, kind
from damaged.mutations import BYTES, of_safetensors, of_text
from dgn.data.images import read_image
from dgn.data.packed import PackedImages
from dgn.data.packed_file import _header
from dgn.networks.laboratory.score_files import read_scores
from dgn.networks.network_settings import NetworkSettings

_MODES = {
    "jpg": ("L", "RGB", "CMYK"), "png": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"), "webp": ("RGB", "RGBA"),
    "gif": ("P", "L"), "bmp": ("1", "L", "P", "RGB"), "tif": ("1", "L", "RGB", "RGBA", "CMYK", "I;16", "F"),
    "ppm": ("L", "RGB"),
}  # fmt: skip
_FORMATS = {"jpg": "JPEG", "tif": "TIFF"}
_COMPRESSIONS = ("raw", "tiff_lzw", "tiff_deflate", "packbits", "jpeg", "group4")


@functools.cache
def _picture(ending: str, mode: str, variant: int) -> bytes:
    values = np.random.default_rng(variant).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    image = Image.fromarray(values).convert(mode if mode not in ("I;16", "F", "LA") else "L")
    image = image.convert(mode)
    file = io.BytesIO()
    further: dict = {}
    if ending == "tif":
        compression = _COMPRESSIONS[variant % len(_COMPRESSIONS)]
        if (compression == "group4") == (mode == "1") and not (compression == "jpeg" and mode not in ("L", "RGB")):
            further["compression"] = compression
    if ending == "jpg":
        exif = Image.Exif()
        exif[0x0112] = 1 + variant % 8
        further = {"progressive": bool(variant % 2), "exif": exif}
    if ending in ("gif", "webp") and variant % 3 == 0:
        further = {"save_all": True, "append_images": [image.rotate(90), image]}
    image.save(file, _FORMATS.get(ending, ending.upper()), **further)
    return file.getvalue()


def _huge(ending: str, random: Random) -> bytes:
    """A small file that says it is a picture of billions of pixels."""
    wide, high = random.choice(((65500, 65500), (30000, 30000), (2**31 - 1, 2**31 - 1), (16000, 12000), (1, 2**30)))
    if ending == "png":

        def chunk(name: bytes, data: bytes) -> bytes:
            return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

        rows = zlib.compress(bytes(2**20))
        kind_of_color = random.choice((0, 2, 6))
        return (
            b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", wide, high, 8, kind_of_color, 0, 0, 0))
            + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
        )  # fmt: skip
    if ending == "ppm":
        return b"P6 %d %d 255\n" % (wide, high) + bytes(1000)
    if ending == "bmp":
        header = struct.pack("<IiiHHIIiiII", 40, wide, high, 1, random.choice((1, 8, 24, 32)), 0, 0, 0, 0, 0, 0)
        return b"BM" + struct.pack("<IHHI", 54 + 1000, 0, 0, 54) + header + bytes(1000)
    if ending == "gif":
        picture = bytearray(_picture("gif", "P", 1))
        picture[6:10] = struct.pack("<HH", min(wide, 65535), min(high, 65535))
        return bytes(picture)
    if ending == "jpg":
        picture = bytearray(_picture("jpg", "RGB", random.randrange(4)))
        at = max(picture.find(b"\xff\xc0"), picture.find(b"\xff\xc2"))
        picture[at + 5 : at + 9] = struct.pack(">HH", min(high, 65535), min(wide, 65535))
        return bytes(picture)
    picture = bytearray(_picture(ending, "RGB", 0))
    size = struct.pack("<I", 40)  # the width, where it stands in a TIFF's directory or a WebP's header
    at = picture.find(size, 8)
    picture[at : at + 4] = struct.pack("<I", min(wide, 2**32 - 1))
    return bytes(picture)


@kind("images (JPEG, PNG, WebP, GIF, BMP, TIFF, PPM)")
def _images(folder: Path, random: Random) -> Case:
    ending = random.choice(list(_MODES))
    if random.random() < 0.2:
        content = _huge(ending, random)
    else:
        content = random.choice(BYTES)(_picture(ending, random.choice(_MODES[ending]), random.randrange(12)), random)
    path = folder / f"image.{random.choice((ending, ending, 'png', 'jpg'))}"
    path.write_bytes(content)

    def read() -> None:
        image = read_image(path, random.choice((None, 8)))
        assert image.dtype == torch.uint8
        assert image.ndim == 3
        assert image.shape[0] == 3

    return Case(read, (path.name,))


@functools.cache
def _packed() -> bytes:
    images = np.random.default_rng(0).integers(0, 256, (6, 3, 16, 16), dtype=np.uint8)
    labels = np.array([0, 1, 0, 1, 0, 1], "<i8")
    return _header(6, (3, 16, 16), ["cat", "dog"]) + labels.tobytes() + images.tobytes()


@kind("packed image files")
def _packed_files(folder: Path, random: Random) -> Case:
    path = folder / "packed.safetensors"
    further = (of_safetensors, functools.partial(of_safetensors, header="classes"))
    path.write_bytes(random.choice((*BYTES, *further * 2))(_packed(), random))

    def read() -> None:
        images = PackedImages(path, random.choice(("train", "val", "all")), image_size=8)
        for index in range(len(images)):
            image, label = images[index]
            assert image.shape == (3, 8, 8)
            assert 0 <= label < len(images.classes)

    return Case(read, (path.name,))


@kind("files of scores and of labels")
def _scores(folder: Path, random: Random) -> Case:
    names = [f"{i}.png" for i in range(4)]
    form = random.choice(("csv", "csv", "npy", "mat", "h5", "json", "txt"))
    path, file = folder / f"scores.{form}", io.BytesIO()
    values = np.arange(4.0)
    if form == "csv":
        content = of_text(b"image,score\n0.png,1.5\n1.png,2\n2.png,nan\n3.png,4e-3\n", random)
        content = content if random.random() < 0.7 else random.choice(BYTES)(content + b"\n", random)
    elif form in ("json", "txt"):
        content = {"json": b'{"0": ["n01", "cat"], "1": ["n02", "dog"]}', "txt": b"cat\ndog\n"}[form]
        content = random.choice((*BYTES, of_text, of_text))(content, random)
    else:
        if form == "npy":
            np.save(file, values)
        elif form == "mat":
            from scipy.io import savemat

            savemat(file, {"scores": values})
        else:
            import h5py

            with h5py.File(file, "w") as opened:
                opened["scores"] = values
        content = random.choice(BYTES)(file.getvalue(), random)
    path.write_bytes(content)
    if form in ("json", "txt"):
        return Case(lambda: NetworkSettings(labels=str(path)).given_labels(), (path.name,))
    return Case(lambda: read_scores(path, names, 1), (path.name,))
