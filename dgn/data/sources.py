"""Image sources: each function creates an ImageData. Every leaf of conf/data names one of them."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from dgn.data.cache import image_cache
from dgn.data.common_settings import Common
from dgn.data.datamodule import ImageData
from dgn.data.doodles import CLASSES, VERSION, Doodles
from dgn.data.huggingface import HuggingFace
from dgn.data.image_folder import ImageFolder, split_indices
from dgn.data.loading import Loader
from dgn.data.packed import PackedImages, Stored, pack
from dgn.data.public import PUBLIC, public_split
from dgn.data.size import ImageSize
from dgn.data.transforms import EvalTransform
from dgn.errors import UserError
from dgn.files import cache_dir
from dgn.runs.progress import announced
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
    if not isinstance(image_size, int):
        raise UserError(f"data.image_size={image_size}: doodles are squares; give one side")
    if isinstance(cache, bool):
        cache = "disk" if cache else "none"
    cache = image_cache(cache)
    if cache not in ("none", "ram", "disk"):
        raise UserError(f"data.cache={cache!r}: give none, ram, disk or codes")
    splits = [Doodles("train", image_size, train_images, world), Doodles("val", image_size, val_images, world)]
    train, val = splits if cache == "none" else [_drawn(split, cache) for split in splits]
    data = ImageData(train, val, image_size, batch_size, num_workers, val_images, seed)
    data.judge = {"_target_": "dgn.networks.zoo.mini_resnet", "weights": "embedded"}
    return data


def image_folder(
    root: str | Path,
    image_size: ImageSize,
    val_root: str | Path | None = None,
    val_fraction: float = 0.05,
    layout: str = "auto",
    **common: Any,
) -> ImageData:
    """A folder of class folders, or of images without classes (`dgn.data.image_folder.ImageFolder`).

    Args:
        root: The folder, or a file written by `python -m dgn.data.packed`.
        image_size: See `Common`.
        val_root: The same for validation; None: a seeded share of `root`.
        val_fraction: That share.
        layout: See `ImageFolder`.
        common: See `Common`.
    """
    if root is None:
        raise UserError("data.root is not given; name the folder of images: data.root=FOLDER")
    shared = Common(image_size, **common)
    if Path(root).is_file():
        return shared.data(*_packed(Path(root), val_root, val_fraction, shared))
    crops: dict[str, Any] = dict(
        image_size=shared.image_size, resize=shared.resize, mirror=shared.mirror, square=shared.square
    )
    crops |= dict(channels=shared.channels, values=shared.values)
    splits: dict[str, Any] = dict(val_root=val_root, val_fraction=val_fraction, layout=layout, seed=0)
    train, val = (ImageFolder(root, split, **crops, **splits) for split in ("train", "val"))
    return shared.data(train, val)


def _packed(
    root: Path, val_root: str | Path | None, val_fraction: float, common: Common
) -> tuple[PackedImages, PackedImages]:
    """Returns the splits of a packed file, or of two."""
    crops: dict[str, Any] = dict(image_size=common.image_size, resize=common.resize, mirror=common.mirror, seed=0)
    crops["channels"] = common.channels
    if val_root is None:
        train, val = (PackedImages(root, split, val_fraction=val_fraction, **crops) for split in ("train", "val"))
        return train, val
    transform = EvalTransform(common.image_size, common.resize)
    whole = PackedImages(
        val_root, "all", val_fraction=val_fraction, transform=transform,
        image_size=common.image_size, channels=common.channels,
    )  # fmt: skip
    return PackedImages(root, "train", val_fraction=0.0, **crops), whole


def public(
    name: str,
    image_size: ImageSize,
    root: str | Path | None = None,
    train_split: str | None = None,
    val_split: str | None = None,
    download: bool = True,
    options: Mapping[str, Any] | None = None,
    **common: Any,
) -> ImageData:
    """A public data set by name (`dgn.data.public`).

    Args:
        name: Its name.
        image_size: See `Common`.
        root: The folder that holds it; None: in the cache folder.
        train_split: The split to train on; None: its first.
        val_split: The split to validate on; None: its second.
        download: Whether it may be downloaded.
        options: Arguments of the data set's class.
        common: See `Common`.
    """
    shared = Common(image_size, **common)
    first, second = PUBLIC[name].splits[:2] if name in PUBLIC else ("", "")
    train = public_split(name, train_split or first, shared.training, root, download, options, shared.form)
    val = public_split(name, val_split or second, shared.evaluation, root, download, options, shared.form)
    return shared.data(train, val)


def huggingface(
    root: str | Path,
    image_size: ImageSize,
    subset: str | None = None,
    train_split: str = "train",
    val_split: str | None = None,
    val_fraction: float = 0.05,
    image_column: str | None = None,
    label_column: str | None = None,
    **common: Any,
) -> ImageData:
    """Images from Hugging Face `datasets` (`dgn.data.huggingface.HuggingFace`).

    Args:
        root: A name on the Hub, a folder or a parquet file.
        image_size: See `Common`.
        subset: See `HuggingFace`.
        train_split: The split to train on.
        val_split: The split to validate on; None: a seeded share of the training split.
        val_fraction: That share.
        image_column: See `HuggingFace`.
        label_column: See `HuggingFace`.
        common: See `Common`.
    """
    if root is None:
        raise UserError("data.root is not given; name the data set: data.root=NAME, a folder or a parquet file")
    shared = Common(image_size, **common)
    columns: dict[str, Any] = dict(subset=subset, image_column=image_column, label_column=label_column)
    columns["form"] = shared.form
    train = HuggingFace(root, train_split, shared.training, **columns)
    val = HuggingFace(root, val_split or train_split, shared.evaluation, **columns)
    if val_split is None:
        count = len(train)
        train = train.select(split_indices(count, "train", val_fraction, 0))
        val = val.select(split_indices(count, "val", val_fraction, 0))
    return shared.data(train, val)


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
    loader = Loader(source, batch_size=100, num_workers=min(8, processors()))
    drawing = announced(
        loader,
        len(source),
        f"Drawing the {source.split} doodles, once",
        "fewer with data.train_images=N" if cache == "disk" else "once for all runs with data.cache=disk",
        100,
    )
    images, labels = zip(*drawing, strict=True)
    drawn = Stored(torch.cat(images), torch.cat(labels), CLASSES, whole)
    if cache == "ram":
        return drawn
    pack(drawn, path)
    return PackedImages(path, "all", image_size=source.image_size, transform=whole)
