"""Image sources: each function creates an ImageData. Every leaf of conf/data names one of them."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from dgn.data.cache import cached
from dgn.data.datamodule import ImageData, Source
from dgn.data.doodles import CLASSES, VERSION, Doodles
from dgn.data.huggingface import HuggingFace
from dgn.data.image_folder import ImageFolder, split_indices
from dgn.data.packed import PackedImages, Stored, pack
from dgn.data.public import PUBLIC, public_split
from dgn.data.transforms import EvalTransform, TrainTransform, Transform
from dgn.errors import UserError
from dgn.files import cache_dir
from dgn.runs.threads import processors

log = logging.getLogger(__name__)


def doodles(
    image_size: int = 64,
    batch_size: int = 64,
    num_workers: int = 0,
    train_images: int = 16_000,
    val_images: int = 512,
    world: int = 0,
    cache: str | bool = "disk",
    seed: int = 0,
) -> ImageData:
    """The embedded drawn images (`dgn.data.doodles`).

    Args:
        image_size: Side of the images in pixels.
        batch_size: See `ImageData`.
        num_workers: See `ImageData`.
        train_images: Number of images of the train split.
        val_images: Number of images of the val split.
        world: Seed of the drawings.
        cache: "disk": draw all once into the cache folder (`dgn.files.cache_dir`) and map them from there; "ram":
            keep them in memory; "none": draw an image at every access. True and False mean "disk" and "none".
        seed: See `ImageData`.
    """
    if isinstance(cache, bool):
        cache = "disk" if cache else "none"
    if cache not in ("none", "ram", "disk"):
        raise UserError(f"data.cache={cache!r}: give none, ram or disk")
    splits = [Doodles("train", image_size, train_images, world), Doodles("val", image_size, val_images, world)]
    train, val = splits if cache == "none" else [_drawn(split, cache) for split in splits]
    data = ImageData(train, val, image_size, batch_size, num_workers, val_images, seed)
    data.judge = {"_target_": "dgn.networks.zoo.mini_resnet", "weights": "embedded"}
    return data


def image_folder(
    root: str | Path,
    image_size: int,
    val_root: str | Path | None = None,
    val_fraction: float = 0.05,
    layout: str = "auto",
    resize: int | None = None,
    mirror: bool = True,
    square: bool = False,
    cache: str = "none",
    batch_size: int = 64,
    num_workers: int = 2,
    val_images: int = 512,
    seed: int = 0,
) -> ImageData:
    """A folder of class folders, or of images without classes (`dgn.data.image_folder.ImageFolder`).

    root and val_root may also be files written by `python -m dgn.data.packed`. resize, mirror, square: see
    `TrainTransform`, the paper's augmentation; validation uses the center crop. cache: see `dgn.data.cache.cached`.
    """
    if root is None:
        raise UserError("data.root is not given; name the folder of images: data.root=FOLDER")
    common: dict[str, Any] = dict(image_size=image_size, val_fraction=val_fraction, seed=0)
    train: Source
    val: Source
    if Path(root).is_file():
        packed: dict[str, Any] = dict(resize=resize, mirror=mirror, **common)
        if val_root is None:
            train, val = (PackedImages(root, split, **packed) for split in ("train", "val"))
        else:
            train = PackedImages(root, "train", **{**packed, "val_fraction": 0.0})
            val = PackedImages(val_root, "all", transform=EvalTransform(image_size, resize), **common)
    else:
        common |= dict(resize=resize, mirror=mirror, square=square, val_root=val_root, layout=layout)
        train, val = (cached(ImageFolder(root, split, **common), cache) for split in ("train", "val"))
    return ImageData(train, val, image_size, batch_size, num_workers, val_images, seed)


def public(
    name: str,
    image_size: int,
    root: str | Path | None = None,
    train_split: str | None = None,
    val_split: str | None = None,
    download: bool = True,
    options: Mapping[str, Any] | None = None,
    resize: int | None = None,
    mirror: bool = True,
    square: bool = False,
    cache: str = "none",
    batch_size: int = 64,
    num_workers: int = 2,
    val_images: int = 512,
    seed: int = 0,
) -> ImageData:
    """A public data set by name (`dgn.data.public`). train_split, val_split: None: its first and second split."""

    def source(place: int, split: str | None, transform: Transform) -> Source:
        splits = PUBLIC[name].splits if name in PUBLIC else ("", "")
        return cached(public_split(name, split or splits[place], transform, root, download, options), cache)

    train = source(0, train_split, TrainTransform(image_size, resize, mirror, square))
    val = source(1, val_split, EvalTransform(image_size, resize, square))
    return ImageData(train, val, image_size, batch_size, num_workers, val_images, seed)


def huggingface(
    root: str | Path,
    image_size: int,
    subset: str | None = None,
    train_split: str = "train",
    val_split: str | None = None,
    val_fraction: float = 0.05,
    image_column: str | None = None,
    label_column: str | None = None,
    resize: int | None = None,
    mirror: bool = True,
    square: bool = False,
    cache: str = "none",
    batch_size: int = 64,
    num_workers: int = 2,
    val_images: int = 512,
    seed: int = 0,
) -> ImageData:
    """Images from Hugging Face `datasets` (`dgn.data.huggingface.HuggingFace`).

    val_split: None holds out a seeded share, `val_fraction`, of the training split.
    """
    if root is None:
        raise UserError("data.root is not given; name the data set: data.root=NAME, a folder or a parquet file")
    columns = dict(subset=subset, image_column=image_column, label_column=label_column)
    train = HuggingFace(root, train_split, TrainTransform(image_size, resize, mirror, square), **columns)
    whole = HuggingFace(root, val_split or train_split, EvalTransform(image_size, resize, square), **columns)
    if val_split is None:
        places = [split_indices(len(train), split, val_fraction, 0) for split in ("train", "val")]
        train, whole = train.select(places[0]), whole.select(places[1])
    return ImageData(cached(train, cache), cached(whole, cache), image_size, batch_size, num_workers, val_images, seed)


KNOWN: dict[str, Callable[..., ImageData]] = {
    f"{__name__}.{function.__name__}": function for function in (doodles, image_folder, public, huggingface)
}
"""The sources that a prior file may request by name (`_target_`); files never contain code."""


_KINDS = {f"{__name__}.doodles": "drawn pictures"}
"""What the images of a source are, where its name does not say it."""


def describe(about: Mapping[str, Any]) -> str:
    """Returns what images a prior was trained on, in a few words: the source, the first classes, the kind.

    Args:
        about: The prior's `about["data"]`.
    """
    target = str(about.get("_target_", "unknown images"))
    classes = ", ".join(map(str, about.get("classes", [])[:20]))
    kind = f", {_KINDS[target]}" if target in _KINDS else ""
    return target.rsplit(".", 1)[-1] + (f" ({classes})" if classes else "") + kind


def known(about: Mapping[str, Any]) -> ImageData | None:
    """Opens the images on which a prior was trained, without downloading or decoding in advance.

    Args:
        about: The prior's `about["data"]`.

    Returns:
        The images; None if the file does not name one of `KNOWN`.

    Raises:
        UserError: If the images are not available.
    """
    keys = {key: value for key, value in about.items() if key not in ("_target_", "classes")}
    make = KNOWN.get(str(about.get("_target_", "")))
    if make is None:
        return None
    if make is not doodles:
        keys["cache"] = "none"
    if make is public:
        keys["download"] = False
    if make is huggingface and not Path(str(keys.get("root"))).expanduser().exists():
        raise UserError(f"data.root={keys.get('root')} is on the Hub, and a prior file does not make us download")
    try:
        return make(**keys)
    except TypeError as error:
        raise UserError(f"data of the prior: {error}") from None


def _drawn(source: Doodles, cache: str) -> Stored:
    """All images of a split, drawn once on all cores and stored in one mapped file or in memory."""
    drawn = _pictures(source, cache)
    drawn.facets = source.facets
    return drawn


def _pictures(source: Doodles, cache: str) -> Stored:
    whole = EvalTransform(source.image_size, source.image_size)
    name = f"doodles{VERSION}-{source.split}-{source.image_size}px-{source.size}-world{source.seed}"
    path = cache_dir() / "doodles" / f"{name}.safetensors"
    if cache == "disk" and path.exists():
        return PackedImages(path, "all", image_size=source.image_size, transform=whole)
    cached = f"; they are cached in {path}" if cache == "disk" else ""
    log.info("Drawing %d %s doodles%s", len(source), source.split, cached)
    loader = DataLoader(source, batch_size=100, num_workers=min(8, processors()))
    images, labels = zip(*loader, strict=True)
    drawn = Stored(torch.cat(images), torch.cat(labels), CLASSES, whole)
    if cache == "ram":
        return drawn
    pack(drawn, path)
    return PackedImages(path, "all", image_size=source.image_size, transform=whole)
