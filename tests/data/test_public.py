"""Each public data set in a tiny version of its own, in its own format on disk."""

import gzip
import hashlib
import io
import pickle
import socket
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.datasets as tv
from PIL import Image
from torchvision.datasets import imagenet as tv_imagenet

from dgn.data.public import PUBLIC, public_split
from dgn.data.sources import public
from dgn.data.transforms import EvalTransform
from dgn.errors import UserError

GRAY = EvalTransform(8, 8)


def jpeg(level: int, size: int = 20) -> bytes:
    file = io.BytesIO()
    Image.new("L", (size, size + 4), level).save(file, "JPEG")
    return file.getvalue()


def write(path: Path, content: bytes) -> str:
    """Writes a file; returns its md5 sum."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return hashlib.md5(content).hexdigest()


def levels(source) -> list[int]:
    return [int(source[i][0].float().mean().round()) for i in range(len(source))]


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def cifar(root: Path, name: str, monkeypatch) -> None:
    """Two pictures a file; the level of each is its number, its label the number modulo 3."""
    kind, labels = (tv.CIFAR10, "labels") if name == "cifar10" else (tv.CIFAR100, "fine_labels")
    count = 0
    for attribute in ("train_list", "test_list"):
        sums = []
        for file, _ in getattr(kind, attribute):
            numbers = np.arange(count, count + 2)
            count += 2
            rows = np.repeat(numbers[:, None], 3072, axis=1).astype(np.uint8)
            entry = {"data": rows, labels: [int(n) % 3 for n in numbers]}
            sums.append([file, write(root / kind.base_folder / file, pickle.dumps(entry))])
        monkeypatch.setattr(kind, attribute, sums)
    meta = pickle.dumps({kind.meta["key"]: ["plane", "car", "bird"]})
    file = root / kind.base_folder / kind.meta["filename"]
    monkeypatch.setattr(kind, "meta", kind.meta | {"md5": write(file, meta)})


def idx(values: np.ndarray) -> bytes:
    """The format of MNIST's files: two zeros, the type (8: bytes), the number of axes, their sizes, the values."""
    return bytes([0, 0, 8, values.ndim]) + np.array(values.shape, dtype=">i4").tobytes() + values.tobytes()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("name", "kind"), [("mnist", tv.MNIST), ("fashion_mnist", tv.FashionMNIST)])
def test_mnist_is_grey(tmp_path, monkeypatch, name, kind, packed):
    sums = []
    for file, _ in kind.resources:
        first, count = (0, 4) if file.startswith("train") else (4, 2)
        levels_of = np.arange(first, first + count, dtype=np.uint8)
        content = idx(np.repeat(levels_of, 784).reshape(-1, 28, 28) if "images" in file else levels_of)
        path = tmp_path / kind.__name__ / "raw" / file
        path, content = (path, gzip.compress(content)) if packed else (path.with_suffix(""), content)
        sums.append((file, write(path, content)))
    monkeypatch.setattr(kind, "resources", sums)
    data = public(name, 28, root=tmp_path, resize=28, num_workers=0)
    assert data.image_shape == (1, 28, 28)
    assert levels(data.train_source) == [0, 1, 2, 3]
    assert levels(data.val_source) == data.val_source.labels.tolist() == [4, 5]
    assert len(data.classes) == 10
    assert public(name, 28, root=tmp_path, resize=28, channels=3, num_workers=0).train_source[1][0].shape == (3, 28, 28)


@pytest.mark.parametrize(("name", "train"), [("cifar10", 10), ("cifar100", 2)])
def test_cifar(tmp_path, monkeypatch, name, train):
    cifar(tmp_path, name, monkeypatch)
    data = public(name, 32, root=tmp_path, resize=32, num_workers=0)
    assert data.classes == ("plane", "car", "bird")
    assert levels(data.train_source) == list(range(train))
    assert levels(data.val_source) == [train, train + 1]
    assert data.val_source.labels.tolist() == [train % 3, (train + 1) % 3]
    images, labels = next(data.real_images(8))
    assert images.shape == (min(8, train), 3, 32, 32)
    assert ((images[:, 0, 0, 0] * 255).round().int() % 3).tolist() == labels.tolist()


def test_cifars_pickles_are_not_opened_before_their_md5_sums_are_right(tmp_path, monkeypatch):
    cifar(tmp_path, "cifar10", monkeypatch)

    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    (tmp_path / "cifar-10-batches-py" / "data_batch_3").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(UserError, match="cifar10 is not available from"):
        public_split("cifar10", "train", GRAY, tmp_path)
    assert not (tmp_path / "ran").exists()


def test_cifar_channels_are_in_the_right_order(tmp_path, monkeypatch):
    cifar(tmp_path, "cifar100", monkeypatch)
    picture = np.random.default_rng(0).integers(256, size=(3, 32, 32), dtype=np.uint8)
    entry = {"data": picture.reshape(1, 3072), "fine_labels": [1]}
    md5 = write(tmp_path / "cifar-100-python" / "train", pickle.dumps(entry))
    monkeypatch.setattr(tv.CIFAR100, "train_list", [["train", md5]])
    image, label = public_split("cifar100", "train", EvalTransform(32, 32), tmp_path)[0]
    assert torch.equal(image, torch.from_numpy(picture))
    assert label == 1


def test_stl10(tmp_path, monkeypatch):
    folder, sums = tmp_path / "stl10_binary", {}
    picture = np.random.default_rng(0).integers(256, size=(3, 96, 96), dtype=np.uint8)  # (channel, row, column)
    for split, numbers in {"train": [3, 7], "test": [9], "unlabeled": [1, 2, 4]}.items():
        pixels = np.stack([np.full((3, 96, 96), n, np.uint8) for n in numbers])
        pixels[0] = picture
        # "column-major": the file's columns are the picture's rows
        sums[f"{split}_X.bin"] = write(folder / f"{split}_X.bin", pixels.transpose(0, 1, 3, 2).tobytes())
        sums[f"{split}_y.bin"] = write(folder / f"{split}_y.bin", bytes(n % 3 + 1 for n in numbers))
    (folder / "class_names.txt").write_text("airplane\nbird\ncar\n")
    for attribute in ("train_list", "test_list"):
        monkeypatch.setattr(tv.STL10, attribute, [[f, sums[f]] for f, _ in getattr(tv.STL10, attribute)])
    train = public_split("stl10", "train", EvalTransform(96, 96), tmp_path)
    assert (len(train), train.classes, train.labels.tolist()) == (2, ("airplane", "bird", "car"), [0, 1])
    assert torch.equal(train[0][0], torch.from_numpy(picture))
    both = public(name="stl10", image_size=96, root=tmp_path, train_split="train+unlabeled").train_source
    assert both.labels.tolist() == [0, 1, -1, -1, -1]
    assert len(public_split("stl10", "test", GRAY, tmp_path)) == 1


def test_flowers102(tmp_path, monkeypatch):
    scipy_io = pytest.importorskip("scipy.io")
    folder = tmp_path / "flowers-102"
    for i in range(1, 7):
        write(folder / "jpg" / f"image_{i:05}.jpg", jpeg(10 * i))
    scipy_io.savemat(folder / "imagelabels.mat", {"labels": np.array([[1, 1, 2, 2, 102, 102]])})
    scipy_io.savemat(folder / "setid.mat", {"trnid": [[1, 3]], "valid": [[2, 5]], "tstid": [[4, 6]]})
    sums = {k: hashlib.md5((folder / f).read_bytes()).hexdigest() for k, f in MAT.items()}
    known = tv.Flowers102._file_dict
    monkeypatch.setattr(tv.Flowers102, "_file_dict", known | {k: (MAT[k], md5) for k, md5 in sums.items()})
    data = public("flowers102", 8, root=tmp_path, num_workers=0)
    assert (len(data.classes), data.classes[0], data.classes[101]) == (102, "pink primrose", "blackberry lily")
    assert levels(data.train_source) == [10, 30]
    assert data.val_source.labels.tolist() == [0, 101]
    assert data.val_source.path(1) == folder / "jpg" / "image_00005.jpg"
    assert levels(public_split("flowers102", "test", GRAY, tmp_path)) == [40, 60]


MAT = {"label": "imagelabels.mat", "setid": "setid.mat"}


def archive(files: dict[str, bytes], mode: str = "w") -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return content.getvalue()


def test_imagenette_is_unpacked_from_an_archive_that_was_put_there(tmp_path, monkeypatch):
    names = {("train", "n01440764", 0): 10, ("train", "n03888257", 1): 20, ("val", "n03888257", 2): 30}
    files = {f"imagenette2-320/{s}/{w}/{w}_{i}.JPEG": jpeg(level) for (s, w, i), level in names.items()}
    files["imagenette2-320/val/n01440764/x.JPEG"] = jpeg(40)
    md5 = write(tmp_path / "imagenette2-320.tgz", archive(files, "w:gz"))
    archives = tv.Imagenette._ARCHIVES | {"320px": (tv.Imagenette._ARCHIVES["320px"][0], md5)}
    monkeypatch.setattr(tv.Imagenette, "_ARCHIVES", archives)
    # find_classes sees two of the ten classes here; make_dataset wants .jpeg in any case
    data = public("imagenette", 8, root=tmp_path, options={"size": "320px"}, num_workers=0)
    assert data.classes == ("tench", "parachute")
    assert levels(data.train_source) == [10, 20]
    assert sorted(levels(data.val_source)) == [30, 40]


def test_places365(tmp_path, monkeypatch):
    classes = ["/a/airfield", "/b/bar", "/b/beer_garden/outdoor"]
    lists = {
        "train-standard": "".join(f"{c}/{i:08}.jpg {i}\n" for i, c in enumerate(classes)),
        "val": "Places365_val_00000001.jpg 2\n",
    }
    text = "".join(f"{c} {i}\n" for i, c in enumerate(classes)).encode()
    known = tv.Places365._FILE_LIST_META
    monkeypatch.setattr(
        tv.Places365,
        "_CATEGORIES_META",
        ("categories_places365.txt", write(tmp_path / "categories_places365.txt", text)),
    )
    sums = {s: (known[s][0], write(tmp_path / known[s][0], lists[s].encode())) for s in lists}
    monkeypatch.setattr(tv.Places365, "_FILE_LIST_META", known | sums)
    for i, name in enumerate(classes):
        write(tmp_path / "data_256_standard" / name[1:] / f"{i:08}.jpg", jpeg(10 * i))
    write(tmp_path / "val_256" / "Places365_val_00000001.jpg", jpeg(99))
    data = public("places365", 8, root=tmp_path, options={"small": True}, num_workers=0)
    assert data.classes == ("airfield", "bar", "beer_garden/outdoor")
    assert levels(data.train_source) == [0, 10, 20]
    assert (levels(data.val_source), data.val_source.labels.tolist()) == ([99], [2])


WNIDS = {"n01440764": ("tench", "Tinca tinca"), "n01443537": ("goldfish",), "n02102040": ("English springer",)}


@pytest.mark.parametrize("names", [None, "LOC_synset_mapping.txt", "meta.bin"])
def test_imagenet_from_ordinary_folders(tmp_path, names):
    for i, wnid in enumerate(WNIDS):
        write(tmp_path / "train" / wnid / f"{wnid}_1.JPEG", jpeg(10 * i))
        write(tmp_path / "val" / wnid / f"ILSVRC2012_val_0000000{i}.JPEG", jpeg(50 + i))
    if names == "meta.bin":
        torch.save((WNIDS, []), tmp_path / names)
    elif names:
        (tmp_path / names).write_text("".join(f"{wnid} {', '.join(c)}\n" for wnid, c in WNIDS.items()))
    data = public("imagenet", 8, root=tmp_path, num_workers=0)
    assert data.classes == tuple(c[0] for c in WNIDS.values())
    assert levels(data.train_source) == [0, 10, 20]
    assert (levels(data.val_source), data.val_source.labels.tolist()) == ([50, 51, 52], [0, 1, 2])


def test_imagenet_from_its_archives(tmp_path, monkeypatch):
    inner = {f"{wnid}.tar": archive({f"{wnid}_1.JPEG": jpeg(10 * i)}) for i, wnid in enumerate(WNIDS)}
    val = {f"ILSVRC2012_val_{i:08}.JPEG": jpeg(50 + i) for i in range(3)}
    torch.save((WNIDS, list(reversed(WNIDS))), tmp_path / "meta.bin")
    sums = {
        split: (f"ILSVRC2012_img_{split}.tar", write(tmp_path / f"ILSVRC2012_img_{split}.tar", archive(files)))
        for split, files in {"train": inner, "val": val}.items()
    }
    monkeypatch.setattr(tv_imagenet, "ARCHIVE_META", tv_imagenet.ARCHIVE_META | sums)
    data = public("imagenet", 8, root=tmp_path, num_workers=0)
    assert data.classes == ("tench", "goldfish", "English springer")
    assert levels(data.train_source) == [0, 10, 20]
    assert levels(data.val_source) == [52, 51, 50]


@pytest.mark.parametrize("name", PUBLIC)
def test_missing_data_that_cannot_be_downloaded_are_reported_with_the_expected_files(tmp_path, name):
    first = PUBLIC[name].splits[0]
    for download in (True, False):
        with pytest.raises(UserError) as caught:
            public_split(name, first, GRAY, tmp_path / "new", download)
        message = str(caught.value)
        assert "\n" not in message
        assert str(tmp_path / "new") in message
        assert PUBLIC[name].files in message


def test_wrong_names_are_reported_with_the_valid_ones(tmp_path):
    with pytest.raises(UserError, match="not one of the public data sets cifar10, cifar100"):
        public("cifar", 32)
    with pytest.raises(UserError, match="no split 'val'; its splits: train, test"):
        public("cifar10", 32, root=tmp_path, train_split="val")
    with pytest.raises(UserError, match=r"no data\.options\.big; options: small"):
        public("places365", 32, root=tmp_path, options={"big": True})
