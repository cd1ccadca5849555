"""Where images come from: each function makes an ImageData. A leaf of conf/data names one of them."""

import logging
import os
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dgn.data.datamodule import ImageData
from dgn.data.doodles import CLASSES, Doodles
from dgn.data.image_folder import ImageFolder
from dgn.data.packed import PackedImages, pack
from dgn.data.transforms import EvalTransform
from dgn.errors import UserError
from dgn.files import cache_dir

log = logging.getLogger(__name__)
_DOODLES_VERSION = 1
"""Raised whenever the doodles are drawn differently, so that what was drawn before is not used."""


def doodles(
    image_size: int = 64,
    batch_size: int = 64,
    num_workers: int = 0,
    train_images: int = 16_000,
    val_images: int = 512,
    world: int = 0,
    cache: bool = True,
    seed: int = 0,
) -> ImageData:
    """The embedded picture world (`dgn.data.doodles`).

    train_images, val_images: how many there are of each split. world: seed of the pictures themselves.
    cache: draw all once, into the cache folder (`dgn.files.cache_dir`), and read them from there; else every image
    is drawn whenever it is asked for."""
    sources: list[Dataset] = [
        Doodles("train", image_size, train_images, world),
        Doodles("val", image_size, val_images, world),
    ]
    if cache:
        sources = [_drawn(source) for source in sources]
    return ImageData(*sources, image_size, batch_size, num_workers, val_images, seed)


def image_folder(
    root: str | Path,
    image_size: int,
    batch_size: int = 64,
    num_workers: int = 2,
    val_root: str | Path | None = None,
    val_fraction: float = 0.05,
    val_images: int = 512,
    resize: int | None = None,
    mirror: bool = True,
    layout: str = "auto",
    seed: int = 0,
) -> ImageData:
    """A folder of class folders, or of images without classes (`dgn.data.image_folder.ImageFolder`).

    Training sees the paper's augmentation (random crop of the image resized by 256/227, mirror), validation the
    centre. A file that `python -m dgn.data.packed` wrote serves as root too."""
    if root is None:
        raise UserError("data.root is not given; name the folder of images: data.root=FOLDER")
    common = dict(image_size=image_size, resize=resize, mirror=mirror, val_fraction=val_fraction, seed=0)
    if Path(root).is_file():
        train, val = (PackedImages(root, split, **common) for split in ("train", "val"))
    else:
        common |= dict(val_root=val_root, layout=layout)
        train, val = (ImageFolder(root, split, **common) for split in ("train", "val"))
    return ImageData(train, val, image_size, batch_size, num_workers, val_images, seed)


def _drawn(source: Doodles) -> PackedImages:
    """All of a split, drawn once by every core and kept in one mapped file."""
    name = f"doodles{_DOODLES_VERSION}-{source.split}-{source.image_size}px-{source.size}-world{source.seed}"
    path = cache_dir() / "doodles" / f"{name}.safetensors"
    if not path.exists():
        log.info("Drawing %d %s doodles, once; they are kept in %s", len(source), source.split, path)
        loader = DataLoader(source, batch_size=100, num_workers=min(8, os.cpu_count() or 1))
        images, labels = zip(*loader, strict=True)
        pack(_Held(torch.cat(images), torch.cat(labels)), path)
    return PackedImages(
        path, "all", image_size=source.image_size, transform=EvalTransform(source.image_size, source.image_size)
    )


class _Held(Dataset):
    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels, self.classes = images, labels, CLASSES

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index], int(self.labels[index])
