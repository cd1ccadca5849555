"""Public datasets through torchvision, which downloads them, checks md5 sums and unpacks.

Images in files are then read by `dgn.data.images`.
"""

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dgn.data.channels import RGB, ReadForm, with_channels
from dgn.data.dataset import ImageFiles
from dgn.data.image_folder import ImageFolder
from dgn.data.packed import Stored
from dgn.data.transforms import Transform
from dgn.errors import UserError
from dgn.files import cache_dir


@dataclass(frozen=True)
class PublicSet:
    """A public dataset.

    Attributes:
        kind: Name of the class in torchvision.datasets.
        splits: Available splits; the first is for training, the second for validation.
        files: The files to put into the root by hand.
        options: Further arguments of the class.
    """

    kind: str
    splits: tuple[str, ...]
    files: str
    options: tuple[str, ...] = ()


PUBLIC: dict[str, PublicSet] = {
    "cifar10": PublicSet(
        "CIFAR10",
        ("train", "test"),
        "cifar-10-python.tar.gz, or the folder cifar-10-batches-py from it (https://www.cs.toronto.edu/~kriz/cifar.html)",
    ),
    "cifar100": PublicSet(
        "CIFAR100",
        ("train", "test"),
        "cifar-100-python.tar.gz, or the folder cifar-100-python from it (https://www.cs.toronto.edu/~kriz/cifar.html)",
    ),
    "mnist": PublicSet(
        "MNIST",
        ("train", "test"),
        "the folder MNIST/raw with its four files (train-images-idx3-ubyte.gz, ...; http://yann.lecun.com/exdb/mnist)",
    ),
    "fashion_mnist": PublicSet(
        "FashionMNIST",
        ("train", "test"),
        "the folder FashionMNIST/raw with its four files (train-images-idx3-ubyte.gz, ...; "
        "https://github.com/zalandoresearch/fashion-mnist)",
    ),
    "stl10": PublicSet(
        "STL10",
        ("train", "test", "unlabeled", "train+unlabeled"),
        "stl10_binary.tar.gz, or the folder stl10_binary from it (https://cs.stanford.edu/~acoates/stl10/)",
    ),
    "flowers102": PublicSet(
        "Flowers102",
        ("train", "val", "test"),
        "flowers-102/jpg (from 102flowers.tgz), flowers-102/imagelabels.mat and flowers-102/setid.mat "
        "(https://www.robots.ox.ac.uk/~vgg/data/flowers/102/)",
    ),
    "imagenette": PublicSet(
        "Imagenette",
        ("train", "val"),
        "imagenette2.tgz (options.size 320px: imagenette2-320.tgz, 160px: imagenette2-160.tgz), or the folder from it "
        "(https://github.com/fastai/imagenette)",
        ("size",),
    ),
    "places365": PublicSet(
        "Places365",
        ("train-standard", "val", "train-challenge"),
        "filelist_places365-standard.tar and the pictures, train_256_places365standard.tar and val_256.tar "
        "(options.small=false: train_large_places365standard.tar and val_large.tar; http://places2.csail.mit.edu)",
        ("small",),
    ),
    "imagenet": PublicSet(
        "ImageNet",
        ("train", "val"),
        "either the folders train and val, each with a folder a class (n01440764, ...), or the files "
        "ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar and ILSVRC2012_devkit_t12.tar.gz "
        "(from https://image-net.org, which asks for an account)",
    ),
}
"""Datasets by name. Splits, files and md5 sums are those of torchvision."""


def public_split(
    name: str,
    split: str,
    transform: Transform,
    root: str | Path | None = None,
    download: bool = True,
    options: Mapping[str, Any] | None = None,
    form: ReadForm = RGB,
) -> Stored | ImageFiles:
    """Loads one split of a public dataset, with the names of its classes.

    CIFAR's files are pickles: torchvision unpickles them only if their md5 sums are those of the published files.

    Args:
        name: A key of `PUBLIC`.
        split: One of its splits.
        transform: The transform of the images.
        root: Folder of the dataset; None: `data` in the cache folder.
        download: Whether to download missing files.
        options: Further arguments of torchvision's class.
        form: What images are read as. Decoded data sets of no number of channels keep their own.

    Raises:
        UserError: If the dataset, split or option does not exist, or if the dataset is neither in the root nor can be
            downloaded (the message names the files to put there).
    """
    if name not in PUBLIC:
        raise UserError(f"data.name={name!r} is not one of the public data sets {', '.join(PUBLIC)}")
    known, options = PUBLIC[name], dict(options or {})
    if split not in known.splits:
        raise UserError(f"{name} has no split {split!r}; its splits: {', '.join(known.splits)}")
    wrong = [key for key in options if key not in known.options]
    if wrong:
        raise UserError(f"{name} has no data.options.{wrong[0]}; options: {', '.join(known.options) or 'none'}")
    root = cache_dir() / "data" if root is None else Path(root).expanduser()
    if name == "imagenet":
        return _imagenet_split(root, split, transform, form)
    as_flag = name.startswith("cifar") or name in _GREY
    chosen: dict[str, Any] = {"train": split == "train"} if as_flag else {"split": split}
    if name in ("flowers102", "imagenette", "places365"):
        chosen["loader"] = str  # load paths instead of images
    from torchvision import datasets  # in functions, as importing torchvision takes seconds

    make = getattr(datasets, known.kind)
    try:
        dataset = make(root, **chosen, **options)
    except Exception as error:  # torchvision does not document what it raises
        if not download:
            raise _not_there(name, root, error, "set data.download=true, or ") from None
        with _told(name, root), _patience():
            root.mkdir(parents=True, exist_ok=True)
            dataset = make(root, **chosen, **options, download=True)
    classes = [_readable(label) for label in getattr(dataset, "classes", ())]
    if hasattr(dataset, "loader"):
        names, labels = zip(*(dataset[i] for i in range(len(dataset))), strict=True)
        files = [os.path.relpath(path, root) for path in names]
        return ImageFiles(root, files, np.array(labels), classes, transform, form)
    labels = dataset.labels if name == "stl10" else dataset.targets
    images = dataset.data[:, None] if name in _GREY else dataset.data
    images = images if name in ("stl10", *_GREY) else images.transpose(0, 3, 1, 2)
    stored = torch.from_numpy(np.ascontiguousarray(images))
    if form.channels is not None:
        stored = with_channels(stored, form.channels, name)
    return Stored(stored, torch.from_numpy(np.asarray(labels, dtype=np.int64)), classes, transform)


_GREY = ("mnist", "fashion_mnist")


def _imagenet_split(root: Path, split: str, transform: Transform, form: ReadForm) -> ImageFiles:
    """Loads ImageNet's folders; torchvision checks and unpacks the archives first if the folders are missing."""
    if not (root / split).is_dir():
        archive = root / f"ILSVRC2012_img_{split}.tar"
        if not archive.is_file():
            raise _not_there("imagenet", root, f"neither {root / split} nor {archive} is there", "")
        from torchvision.datasets import ImageNet

        with _told("imagenet", root):
            ImageNet(root, split)
    sizes: dict[str, Any] = dict(image_size=transform.image_size, layout="classes", transform=transform)
    sizes |= dict(channels=form.channels, values=form.values)
    if split == "val" and (root / "train").is_dir():  # labelled as the training classes are
        folder = ImageFolder(root / "train", "val", val_root=root / "val", **sizes)
    else:
        folder = ImageFolder(root / split, "all", **sizes)
    names = _imagenet_names(root)
    folder.classes = tuple(names.get(wnid, wnid) for wnid in folder.classes)
    return folder


def _imagenet_names(root: Path) -> dict[str, str]:
    """WordNet id -> the class's first name.

    From the devkit (as torchvision keeps it) or one of the two lists that come with ImageNet; empty where there is
    neither.
    """
    from torchvision.datasets.imagenet import META_FILE, load_meta_file

    if (root / META_FILE).is_file():
        with _told("imagenet", root):
            return {wnid: _readable(names) for wnid, names in load_meta_file(root)[0].items()}
    for file in ("LOC_synset_mapping.txt", "synset_words.txt"):
        if (root / file).is_file():
            lines = (root / file).read_text(encoding="utf-8", errors="replace").splitlines()
            pairs = (line.partition(" ") for line in lines)
            return {wnid: names.partition(",")[0].strip() for wnid, _, names in pairs if names}
    return {}


def _readable(label: str | tuple[str, ...]) -> str:
    """A class name for display: the first of several names, without the index letter of Places365."""
    label = label[0] if isinstance(label, tuple | list) else label
    return label[3:] if label.startswith("/") and label[2:3] == "/" else label


def _not_there(name: str, root: Path, reason: object, alternative: str) -> UserError:
    cause = next(iter(str(reason).splitlines()), type(reason).__name__)
    return UserError(f"{name} is not available from {root}: {cause}; {alternative}put there: {PUBLIC[name].files}")


@contextmanager
def _told(name: str, root: Path) -> Iterator[None]:
    """Converts errors of torchvision to one line with the next step."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise UserError(f"{name} needs the package {error.name}: pip install 'dgn[data]'") from None
    except Exception as error:
        raise _not_there(name, root, error, "without a network ") from None


@contextmanager
def _patience(seconds: float = 30.0) -> Iterator[None]:
    """Sets a socket timeout in seconds: torchvision itself would wait forever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
