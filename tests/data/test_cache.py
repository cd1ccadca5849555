import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from dgn.data import cache as cache_module
from dgn.data.cache import cached
from dgn.data.dataset import ImageFiles
from dgn.data.image_folder import ImageFolder
from dgn.data.packed import InMemory, PackedImages, Stored
from dgn.data.sources import KNOWN, doodles, image_folder, known
from dgn.data.transforms import EvalTransform
from dgn.errors import UserError


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DGN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path):
    noise = np.random.default_rng(0)
    for i in range(20):
        path = tmp_path / "pictures" / ("newt", "auk")[i % 2] / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.integers(256, size=(24, 24 + i, 3), dtype=np.uint8)).save(path)
    return tmp_path / "pictures"


def test_every_kind_of_cache_gives_the_same_pictures_and_labels(root):
    plain = ImageFolder(root, "train", image_size=12, resize=16, val_fraction=0.1)
    ram, disk = cached(plain, "ram"), cached(plain, "disk")
    assert cached(plain, "none") is plain
    assert (type(ram), type(disk)) == (InMemory, PackedImages)
    assert ram.classes == disk.classes == ("auk", "newt")
    assert torch.equal(ram.labels, plain.labels)
    for i in range(len(plain)):
        (a, x), (b, y) = (source.sample(i, np.random.default_rng(i)) for source in (ram, disk))
        assert torch.equal(a, b)
        assert x == y == int(plain.labels[i])
    # Validation's middle square is the middle of the kept middle square: the very same pixels.
    val = ImageFolder(root, "val", image_size=12, resize=16, val_fraction=0.2)
    kept = cached(val, "disk")
    assert all(torch.equal(kept[i][0], val[i][0]) for i in range(len(val)))


def test_the_disk_is_written_once_and_again_only_when_a_picture_changes(root, monkeypatch):
    packs = []
    pack = cache_module.pack
    monkeypatch.setattr(cache_module, "pack", lambda *args: packs.append(1) or pack(*args))

    def make():
        return cached(ImageFolder(root, "all", image_size=12, resize=16), "disk")

    before = [make()[0][0], make()[0][0]]
    assert len(packs) == 1
    assert torch.equal(*before)
    Image.new("RGB", (30, 30), "red").save(root / "auk" / "01.png")
    assert make()[0][0][:, 0, 0].tolist() == [255, 0, 0]
    assert len(packs) == 2
    cached(ImageFolder(root, "all", image_size=12, resize=15), "disk")
    assert len(packs) == 3


def test_decoded_images_are_not_changed():
    held = Stored(torch.zeros(3, 3, 8, 8, dtype=torch.uint8), torch.zeros(3), (), EvalTransform(8, 8))
    assert cached(held, "ram") is cached(held, "disk") is held


def test_a_wrong_value_is_reported_with_the_valid_ones(root):
    with pytest.raises(UserError, match=r"data\.cache='memory': give none, ram, disk or codes"):
        image_folder(root, 12, cache="memory")
    with pytest.raises(UserError, match="give none, ram, disk or codes"):
        doodles(32, cache="memory")


@pytest.mark.parametrize("word", ["ram", "none", False])
def test_doodles_are_the_same_with_every_cache(word):
    kept, drawn = (doodles(32, train_images=20, val_images=10, cache=c) for c in ("disk", word))
    assert all(torch.equal(torch.as_tensor(kept.train_source[i][0]), drawn.train_source[i][0]) for i in (0, 7, 19))


def test_a_packed_file_may_have_another_for_validation(root, tmp_path):
    from dgn.data.packed import main

    for name in ("train", "val"):
        main(["--root", str(root), "--size", "16", "--out", str(tmp_path / name)])
    data = image_folder(tmp_path / "train", 12, val_root=tmp_path / "val")
    assert (len(data.train_source), len(data.val_source)) == (20, 20)
    data = image_folder(tmp_path / "train", 12, val_fraction=0.2)
    assert (len(data.train_source), len(data.val_source)) == (16, 4)


def test_the_count_of_bad_pictures_is_right_with_workers_and_reported_at_the_end(tmp_path, caplog):
    for i in range(400):
        path = tmp_path / "many" / f"{i:03}.bmp"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (10, 8), (i % 256,) * 3).save(path)
    for i in (11, 200):
        (tmp_path / "many" / f"{i:03}.bmp").write_bytes(b"BM")
    (tmp_path / "many" / "250.bmp").unlink()
    (tmp_path / "many" / "250.bmp").symlink_to(tmp_path / "nowhere")
    data = image_folder(tmp_path / "many", 6, val_fraction=0.01, num_workers=2, cache="none")
    source = data.train_source
    assert isinstance(source, ImageFiles)
    for _ in range(2):
        list(DataLoader(source, batch_size=16, num_workers=2))
    assert {path.name for path in source.bad_files} == {"011.bmp", "200.bmp", "250.bmp"} - {
        data.val_source.path(i).name for i in range(len(data.val_source))
    }
    data.report_unreadable()
    data.report_unreadable()
    said = [record.getMessage() for record in caplog.records if "passed over" in record.getMessage()]
    assert said == [f"{len(source.bad)} of the {len(source)} training images cannot be read and were passed over"]


def test_a_prior_files_data_is_looked_up_and_never_called(root):
    about = {"_target_": "dgn.data.sources.image_folder", "root": str(root), "image_size": 12, "cache": "ram"}
    data = known({**about, "classes": ["auk", "newt"], "seed": 3})
    assert isinstance(data.train_source, ImageFolder)  # not decoded ahead
    assert data.classes == ("auk", "newt")
    assert known({"_target_": "os.system", "command": "false"}) is None
    assert known({}) is None
    assert sorted(name.rpartition(".")[2] for name in KNOWN) == ["doodles", "huggingface", "image_folder", "public"]
    with pytest.raises(UserError, match="colour"):
        known({**about, "colour": "red"})
    with pytest.raises(UserError, match="nowhere"):
        known({**about, "root": "/nowhere"})
    old = {"_target_": "dgn.data.sources.doodles", "image_size": 32, "train_images": 5, "val_images": 5, "cache": True}
    assert len(known(old).train_source) == 5
