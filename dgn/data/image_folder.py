"""A folder of pictures as a dataset: one subfolder per class, or no classes at all."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from dgn.data.bands import ARRAYS
from dgn.data.channels import ReadForm
from dgn.data.dataset import ImageFiles
from dgn.data.images import EXTENSIONS
from dgn.data.size import ImageSize
from dgn.data.transforms import EvalTransform, TrainTransform, Transform
from dgn.errors import UserError

Split = Literal["train", "val", "all"]
Layout = Literal["auto", "classes", "flat"]


class ImageFolder(ImageFiles):
    """Images in `root/CLASS/**` with the class as label, or in `root/**` with the label -1.

    Classes are the subfolders that contain an image, sorted; `classes` is () in a flat folder. Images are files whose
    names end in one of `images.EXTENSIONS`, in any case, including links; names that start with a dot (hidden files,
    macOS's `._*`) are ignored.

    Args:
        root: The folder.
        split: "train", "val" or "all".
        image_size, resize, mirror, square: See `TrainTransform`.
        val_root: Folder of the validation images, labelled by the classes of `root`; None: `val_fraction` of the
            files of `root`, chosen by `split_indices`.
        val_fraction: Share of the files of `root` held out for validation.
        seed: Seed of that choice.
        layout: "classes", "flat", or "auto": flat if images lie directly in `root`, else classes.
        transform: Converts an image to (C, H, W). None: TrainTransform(image_size, resize, mirror, square) for "train",
            EvalTransform(image_size, resize, square) for the others.
        channels, values: See `ReadForm`.

    Raises:
        UserError: If a folder is missing, contains no image or mixes both layouts, or if validation has classes that
            `root` lacks.
    """

    def __init__(
        self,
        root: str | Path,
        split: Split = "train",
        *,
        image_size: ImageSize,
        resize: int | None = None,
        mirror: bool = True,
        square: bool = False,
        val_root: str | Path | None = None,
        val_fraction: float = 0.05,
        seed: int = 0,
        layout: Layout = "auto",
        transform: Transform | None = None,
        channels: int | None = None,
        values: Sequence[float] | None = None,
    ) -> None:
        form = ReadForm(channels, values)
        if split not in ("train", "val", "all"):
            raise UserError(f"no split {split!r}; choose train, val or all")
        folder = Path(root)
        classes, names, labels = _scan(folder, layout, form)
        if val_root is None:
            kept = split_indices(len(names), split, val_fraction, seed)
            names, labels = [names[i] for i in kept], labels[kept]
        elif split == "val":
            folder = Path(val_root)
            names, labels = _scan_validation(folder, classes, form)
        elif split == "all":
            raise UserError("split all means one folder; leave out val_root, or choose train or val")
        if transform is None and split == "train":
            transform = TrainTransform(image_size, resize, mirror, square)
        super().__init__(folder, names, labels, classes, transform or EvalTransform(image_size, resize, square), form)


def split_indices(count: int, split: Split, val_fraction: float, seed: int) -> np.ndarray:
    """Returns the indices of the files of a split among `count` sorted files: int64, ascending.

    Validation has round(val_fraction * count) files, at least one unless the fraction is 0. The choice depends only
    on `count`, `val_fraction` and `seed`.

    Raises:
        UserError: If the split is empty.
    """
    if not 0 <= val_fraction < 1:
        raise UserError(f"val_fraction {val_fraction} is not a share; give one from 0 up to 1, such as 0.05")
    if split == "all":
        return np.arange(count)
    held_out = max(round(val_fraction * count), 1 if val_fraction else 0)
    order = np.random.default_rng(seed).permutation(count)
    chosen = np.sort(order[:held_out] if split == "val" else order[held_out:])
    if not chosen.size:
        raise UserError(
            f"split {split} of {count} pictures with val_fraction {val_fraction} is empty; "
            "change val_fraction or give a validation folder"
        )
    return chosen


def _scan(root: Path, layout: Layout, form: ReadForm) -> tuple[tuple[str, ...], list[str], np.ndarray]:
    """Classes, names relative to `root` in sorted order, and labels int64."""
    if layout not in ("auto", "classes", "flat"):
        raise UserError(f"no layout {layout!r}; choose auto, classes or flat")
    names = _pictures(root, EXTENSIONS if form.channels is None else (*EXTENSIONS, *ARRAYS))
    loose = [name for name in names if os.sep not in name]
    if layout == "auto" and loose and len(loose) < len(names):
        raise UserError(
            f"{root} holds pictures ({loose[0]}, ...) beside folders of pictures; move them into a class, "
            "or say layout=classes to ignore them or layout=flat to ignore the folders' names"
        )
    if layout == "flat" or (layout == "auto" and loose):
        return (), names, np.full(len(names), -1, dtype=np.int64)
    names = [name for name in names if os.sep in name]
    if not names:
        raise UserError(f"{root} holds no class folders with pictures; say layout=flat to do without classes")
    class_names = [name.split(os.sep, 1)[0] for name in names]
    classes, labels = np.unique(class_names, return_inverse=True)
    return tuple(classes.tolist()), names, labels.astype(np.int64)


def _scan_validation(root: Path, classes: tuple[str, ...], form: ReadForm) -> tuple[list[str], np.ndarray]:
    val_classes, names, labels = _scan(root, "classes" if classes else "flat", form)
    unknown = sorted(set(val_classes) - set(classes))
    if unknown:
        raise UserError(
            f"validation folder {root} has classes that the training folder lacks: {', '.join(unknown[:5])}; "
            "remove them or give the folder that belongs to it"
        )
    place = np.array([classes.index(name) for name in val_classes], dtype=np.int64)
    return names, place[labels] if classes else labels


def _pictures(root: Path, extensions: tuple[str, ...]) -> list[str]:
    if not root.is_dir():
        raise UserError(f"no folder {root}; check the path")
    try:
        names = sorted(_walk(root, "", (os.path.realpath(root),), extensions))
    except OSError as error:
        raise UserError(f"cannot list {error.filename}: {error.strerror}; check its permissions") from None
    if not names:
        hint = "" if ARRAYS[0] in extensions else "; arrays (.npy, .npz) are images with data.channels=C"
        raise UserError(f"no pictures in {root} (looked for {' '.join(extensions)}); check the path{hint}")
    return names


def _walk(folder: str | Path, prefix: str, above: tuple[str, ...], extensions: tuple[str, ...]) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                real = os.path.realpath(entry.path)
                if real not in above:  # a link to a parent folder would recurse forever
                    yield from _walk(entry.path, f"{prefix}{entry.name}{os.sep}", (*above, real), extensions)
            elif entry.name.lower().endswith(extensions):
                yield prefix + entry.name
