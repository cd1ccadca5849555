import pickle
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from torch.utils.data import DataLoader

from dgn.data.image_folder import ImageFolder
from dgn.data.packed import InMemory, PackedImages, main, pack
from dgn.data.transforms import EvalTransform
from dgn.errors import UserError

SIZE = 16


@pytest.fixture
def root(tmp_path):
    """40 noisy pictures of two classes."""
    noise = np.random.default_rng(0)
    for i in range(40):
        path = tmp_path / "pictures" / ("newt", "auk")[i % 2] / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.integers(256, size=(24, 20 + i, 3), dtype=np.uint8)).save(path)
    return tmp_path / "pictures"


@pytest.fixture
def folder(root):
    """Every picture as it is to be stored: its middle square, 16 x 16."""
    return ImageFolder(root, "all", image_size=SIZE, transform=EvalTransform(SIZE, SIZE))


@pytest.fixture
def packed(folder, tmp_path):
    pack(folder, tmp_path / "pictures.packed", workers=2)
    return tmp_path / "pictures.packed"


def same(a, b):
    return len(a) == len(b) and all(
        torch.equal(x, y) and i == j for (x, i), (y, j) in zip(list(a), list(b), strict=True)
    )


def test_a_packed_file_gives_the_folders_pictures_labels_and_classes(folder, packed):
    images = PackedImages(packed, "all", image_size=SIZE)
    assert images.classes == ("auk", "newt")
    assert torch.equal(images.labels, folder.labels)
    assert same([images[i] for i in range(40)], [folder[i] for i in range(40)])
    assert same(images.__getitems__([7, 3, 3]), [folder[i] for i in (7, 3, 3)])


def test_other_programs_read_the_file_as_safetensors(folder, packed):
    with safe_open(packed, framework="pt") as file:
        assert file.get_tensor("labels").tolist() == folder.labels.tolist()
        assert torch.equal(file.get_tensor("images"), torch.stack([folder[i][0] for i in range(40)]))


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_file_is_split_as_its_folder_is(root, packed, split):
    own = {"image_size": SIZE, "val_fraction": 0.2, "seed": 3}
    images = PackedImages(packed, split, **own, transform=EvalTransform(SIZE, SIZE))
    folder = ImageFolder(root, split, **own, transform=EvalTransform(SIZE, SIZE))
    assert same([images[i] for i in range(len(images))], [folder[i] for i in range(len(folder))])


def test_training_cuts_random_squares_from_what_is_stored_and_validation_the_middle(folder, packed):
    train = PackedImages(packed, "train", image_size=12, resize=SIZE, val_fraction=0)
    stored = folder[5][0]
    a, b, c = (train.sample(5, np.random.default_rng(seed))[0] for seed in (0, 0, 1))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    pieces = stored.unfold(1, 12, 1).unfold(2, 12, 1).permute(1, 2, 0, 3, 4).flatten(0, 1)
    assert any(torch.equal(piece, a) or torch.equal(piece.flip(-1), a) for piece in pieces)
    val = PackedImages(packed, "all", image_size=12, resize=SIZE)
    assert torch.equal(val[5][0], stored[:, 2:14, 2:14])


def test_a_smaller_image_size_sees_the_picture_and_not_a_corner_of_it(folder, packed):
    image = PackedImages(packed, "all", image_size=8)[5][0]
    assert torch.equal(image, EvalTransform(8)(folder[5][0]))


def test_workers_read_it(packed):
    images = PackedImages(packed, "all", image_size=SIZE)
    loader = DataLoader(images, batch_size=16, num_workers=2)
    batches = [batch for batch, _ in loader]
    assert torch.equal(torch.cat(batches), torch.stack([images[i][0] for i in range(40)]))


def test_spawned_workers_receive_no_pictures(packed):
    images = PackedImages(packed, "all", image_size=SIZE)
    data = pickle.dumps(images)
    assert len(data) < 5000
    assert torch.equal(pickle.loads(data)[3][0], images[3][0])


def test_writing_to_what_was_read_does_not_reach_the_file(packed):
    before = packed.read_bytes()
    image = PackedImages(packed, "all", image_size=SIZE)[0][0]
    image.zero_()
    assert packed.read_bytes() == before


def test_a_file_larger_than_memory_opens_and_reads_at_once(packed, tmp_path):
    header = packed.read_bytes()
    header = header[: 8 + int.from_bytes(header[:8], "little")]
    count = 4_000_000_000 // (3 * SIZE**2)
    text = header[8:].decode().replace("[40", f"[{count}").replace("[0, 320]", f"[0, {8 * count}]")
    text = text.replace(f"[320, {320 + 40 * 3 * SIZE**2}]", f"[{8 * count}, {count * (8 + 3 * SIZE**2)}]").strip()
    text += " " * (-len(text) % 8)
    with open(tmp_path / "sparse.packed", "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text.encode())
        file.truncate(8 + len(text) + count * (8 + 3 * SIZE**2))  # takes no room: a hole
    start = time.process_time()  # as another program may have the processor
    images = PackedImages(tmp_path / "sparse.packed", "all", image_size=SIZE)
    assert len(images) == count
    assert images[count - 1][0].max() == 0
    assert time.process_time() - start < 2


def test_a_pack_that_fails_leaves_nothing(root, folder, tmp_path):
    for i in range(0, 40, 2):
        (root / "newt" / f"{i:02}.png").write_bytes(b"")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError, match="cannot be read, more than 1%"):
        pack(folder, tmp_path / "broken.packed")
    assert sorted(tmp_path.iterdir()) == before


def test_a_full_disk_is_reported_before_the_work(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=10))
    with pytest.raises(UserError, match=r"0\.0 GiB are free there; choose another disk or a smaller size"):
        pack(folder, tmp_path / "a.packed")


def test_packing_reports_its_progress(folder, tmp_path):
    seen = []
    pack(folder, tmp_path / "a.packed", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i + 1, 40) for i in range(40)]


def test_a_damaged_missing_or_foreign_file_is_named(packed, tmp_path):
    whole = packed.read_bytes()
    files = {
        "short": (whole[:-1], "is damaged"),
        "header": (whole[:100], "is not a file of packed pictures"),
        "longer": (whole + b"\0", "is damaged"),
        "empty": (b"", "is not a file of packed pictures"),
        "other": (b"\x02\0\0\0\0\0\0\0{}", "is not a file of packed pictures"),
        "list": (b"\x02\0\0\0\0\0\0\0[]", "is not a file of packed pictures"),
        "text": (b"hello, this is no such file at all", "is not a file of packed pictures"),
    }
    for name, (data, reason) in files.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match=f"{name} {reason}"):
            PackedImages(tmp_path / name, image_size=SIZE)
    with pytest.raises(UserError, match=r"cannot read .*absent: No such file .* python -m dgn.data.packed"):
        PackedImages(tmp_path / "absent", image_size=SIZE)


def test_a_file_packed_too_small_says_how_to_pack_it(packed):
    with pytest.raises(UserError, match=r"pictures of 16 x 16, too small for image_size 227 .* --size 256"):
        PackedImages(packed, image_size=227)


def test_in_memory_gives_what_packing_gives(root, packed):
    kept = InMemory(ImageFolder(root, "train", image_size=12, resize=SIZE, seed=1), workers=2)
    images = PackedImages(packed, "train", image_size=12, resize=SIZE, seed=1)
    assert (len(kept), kept.classes) == (38, ("auk", "newt"))
    assert torch.equal(kept.labels, images.labels)
    for i in range(38):
        a, b = (dataset.sample(i, np.random.default_rng(i)) for dataset in (kept, images))
        assert same([a], [b])


def test_data_larger_than_memory_are_refused_before_reading(root):
    with pytest.raises(UserError, match=r"40 pictures of 1000000 x 1000000 need .* GiB, more than"):
        InMemory(ImageFolder(root, "all", image_size=10**6, resize=10**6))


def test_one_command_packs_a_folder(root, tmp_path, capsys):
    out = tmp_path / "made" / "a.packed"
    main(["--root", str(root), "--size", "16", "--out", str(out), "--workers", "2"])
    assert "40 pictures, 2 classes" in capsys.readouterr().out
    assert len(PackedImages(out, "all", image_size=SIZE)) == 40
    val = tmp_path / "val"
    (val / "newt").mkdir(parents=True)
    (root / "newt" / "00.png").rename(val / "newt" / "00.png")
    main(["--root", str(root), "--val-root", str(val), "--size", "16", "--out", str(out)])
    assert PackedImages(out, "all", image_size=SIZE).labels.tolist() == [1]


def test_errors_in_the_command_are_one_line_and_status_2(tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--root", str(tmp_path / "nowhere"), "--out", str(tmp_path / "a")])
    assert exit_.value.code == 2
    assert capsys.readouterr().err == f"no folder {tmp_path / 'nowhere'}; check the path\n"


def test_a_label_that_is_no_class_is_refused(folder, tmp_path):
    pack(folder, tmp_path / "p.safetensors")
    content = bytearray((tmp_path / "p.safetensors").read_bytes())
    at = 8 + int.from_bytes(content[:8], "little")
    content[at : at + 8] = (2**40).to_bytes(8, "little")
    (tmp_path / "p.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="a label is none of its 2 classes"):
        PackedImages(tmp_path / "p.safetensors", image_size=8)
