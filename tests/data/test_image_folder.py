import logging
import os

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from dgn.data.dataset import map_in_threads
from dgn.data.image_folder import ImageFolder, split_indices
from dgn.errors import UserError


def write(path, value=0):
    """A small gray picture whose level says which it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (10, 8), (value, value, value)).save(path)


def levels(dataset):
    return [int(dataset[i][0][0, 0, 0]) for i in range(len(dataset))]


@pytest.fixture
def classes(tmp_path):
    for i, name in enumerate(["cat/1.png", "cat/deep/2.PNG", "ant/x.bmp", "dog/a.tif", "dog/b.png"]):
        write(tmp_path / "pictures" / name, 20 * i)
    return tmp_path / "pictures"


@pytest.fixture
def many(tmp_path):
    """200 pictures without classes, the level of each its number."""
    for i in range(200):
        write(tmp_path / "many" / f"{i:03}.bmp", i)
    return tmp_path / "many"


def test_subfolders_are_classes_in_sorted_order(classes):
    dataset = ImageFolder(classes, "all", image_size=6)
    assert dataset.classes == ("ant", "cat", "dog")
    assert dataset.labels.tolist() == [0, 1, 1, 2, 2]
    image, label = dataset[0]
    assert (image.shape, image.dtype, label) == ((3, 6, 6), torch.uint8, 0)
    assert levels(dataset) == [40, 0, 20, 60, 80]
    assert dataset.path(2) == classes / "cat" / "deep" / "2.PNG"


def test_a_flat_folder_has_the_label_minus_one(many):
    dataset = ImageFolder(many, "all", image_size=6)
    assert dataset.classes == ()
    assert set(dataset.labels.tolist()) == {-1}
    assert levels(dataset) == list(range(200))


def test_hidden_files_and_other_files_than_pictures_are_skipped(classes):
    write(classes / ".hidden" / "a.png")
    write(classes / "cat" / ".thumbnail.png")
    (classes / "cat" / "._1.png").write_bytes(b"\0\5\x16\7")
    (classes / "cat" / "notes.txt").touch()
    (classes / "empty").mkdir()
    dataset = ImageFolder(classes, "all", image_size=6)
    assert len(dataset) == 5
    assert dataset.classes == ("ant", "cat", "dog")


def test_links_are_followed_and_a_link_to_a_folder_above_ends(classes, tmp_path):
    write(tmp_path / "elsewhere" / "far.png", 200)
    os.symlink(tmp_path / "elsewhere", classes / "eel")
    os.symlink(tmp_path / "elsewhere" / "far.png", classes / "ant" / "near.png")
    os.symlink(classes, classes / "cat" / "round")
    dataset = ImageFolder(classes, "all", image_size=6)
    assert dataset.classes == ("ant", "cat", "dog", "eel")
    assert levels(dataset) == [200, 40, 0, 20, 60, 80, 200]


def test_pictures_beside_class_folders_need_an_explicit_layout(classes):
    write(classes / "stray.png", 99)
    with pytest.raises(UserError, match=r"holds pictures \(stray.png.*layout=classes .* layout=flat"):
        ImageFolder(classes, image_size=6)
    assert len(ImageFolder(classes, "all", image_size=6, layout="classes")) == 5
    flat = ImageFolder(classes, "all", image_size=6, layout="flat")
    assert (len(flat), flat.classes) == (6, ())


def test_a_seeded_split_parts_the_folder_the_same_way_every_time(many):
    train, val = (levels(ImageFolder(many, split, image_size=6, seed=1)) for split in ("train", "val"))
    assert len(val) == 10  # 5% by default
    assert sorted(train + val) == list(range(200))
    assert levels(ImageFolder(many, "val", image_size=6, seed=1)) == val
    assert levels(ImageFolder(many, "val", image_size=6, seed=2)) != val


def test_a_split_keeps_all_classes_even_where_it_has_no_picture_of_one(classes):
    assert ImageFolder(classes, "val", image_size=6).classes == ("ant", "cat", "dog")
    assert len(ImageFolder(classes, "val", image_size=6)) == 1


def test_split_indices_refuse_a_fraction_that_leaves_nothing():
    with pytest.raises(UserError, match=r"split val of 5 pictures with val_fraction 0 is empty"):
        split_indices(5, "val", 0, seed=0)
    with pytest.raises(UserError, match="split train of 1 pictures"):
        split_indices(1, "train", 0.5, seed=0)
    with pytest.raises(UserError, match=r"val_fraction 1\.5 is not a share"):
        split_indices(5, "train", 1.5, seed=0)


def test_an_own_validation_folder_is_labelled_by_the_training_classes(classes, tmp_path):
    write(tmp_path / "val" / "dog" / "v.png", 7)
    val = ImageFolder(classes, "val", image_size=6, val_root=tmp_path / "val")
    assert (val.classes, val.labels.tolist(), levels(val)) == (("ant", "cat", "dog"), [2], [7])
    assert len(ImageFolder(classes, "train", image_size=6, val_root=tmp_path / "val")) == 5
    write(tmp_path / "val" / "emu" / "v.png")
    with pytest.raises(UserError, match="classes that the training folder lacks: emu"):
        ImageFolder(classes, "val", image_size=6, val_root=tmp_path / "val")


def test_a_flat_training_folder_takes_any_validation_folder(many, classes):
    assert ImageFolder(many, "val", image_size=6, val_root=classes).labels.tolist() == [-1] * 5


def test_training_augments_and_validation_does_not(tmp_path):
    noise = np.random.default_rng(0).integers(256, size=(40, 60, 3), dtype=np.uint8)
    for name in ("a", "b"):
        Image.fromarray(noise).save(tmp_path / f"{name}.png")
    train, val = (ImageFolder(tmp_path, split, image_size=28, val_fraction=0.5) for split in ("train", "val"))
    views = [train.sample(0, np.random.default_rng(seed))[0] for seed in (0, 0, 1)]
    assert torch.equal(views[0], views[1])
    assert not torch.equal(views[0], views[2])
    state = torch.get_rng_state()
    assert torch.equal(val[0][0], val[0][0])
    assert torch.equal(torch.get_rng_state(), state)


def test_a_large_photograph_is_as_good_as_read_whole(tmp_path):
    across = np.linspace(0, 255, 1200)[None, :, None] * np.array([1, 0.5, 0.2])
    Image.fromarray(np.broadcast_to(across, (900, 1200, 3)).astype(np.uint8)).save(tmp_path / "a.jpg", quality=95)
    image, _ = ImageFolder(tmp_path, "all", image_size=64, resize=64)[0]
    wanted = Image.open(tmp_path / "a.jpg").resize((85, 64), Image.Resampling.BILINEAR).crop((10, 0, 74, 64))
    assert np.abs(image.permute(1, 2, 0).numpy().astype(int) - np.asarray(wanted)).max() <= 2


def test_a_bad_file_is_reported_once_and_replaced_by_the_next_good_one(many, caplog):
    (many / "007.bmp").write_bytes(b"BM no picture")
    (many / "008.bmp").unlink()
    os.symlink(many / "nowhere.bmp", many / "008.bmp")
    dataset = ImageFolder(many, "all", image_size=6)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert levels(dataset)[6:10] == [6, 9, 9, 9]
    assert [record.getMessage().count("007.bmp") for record in caplog.records] == [1, 0]
    assert "no image file" in caplog.records[1].getMessage()
    assert dataset.bad_files == [many / "007.bmp", many / "008.bmp"]


def test_the_last_file_is_replaced_by_the_first(many):
    (many / "199.bmp").write_bytes(b"")
    assert levels(ImageFolder(many, "all", image_size=6))[198:] == [198, 0]


@pytest.mark.parametrize("workers", [0, 2])
def test_more_than_one_percent_of_bad_files_is_an_error_however_many_workers_share_them(many, workers):
    for i in (3, 70, 130):  # in 2 workers neither alone sees more than 1%
        (many / f"{i:03}.bmp").write_bytes(b"BM")
    loader = DataLoader(ImageFolder(many, "all", image_size=6), batch_size=10, num_workers=workers)
    with pytest.raises(UserError, match=r"3 of the 200 pictures .* cannot be read, more than 1%"):
        list(loader)


@pytest.mark.slow
def test_bad_files_found_by_workers_are_known_to_the_parent(many):
    (many / "003.bmp").write_bytes(b"BM")
    dataset = ImageFolder(many, "all", image_size=6)
    list(DataLoader(dataset, batch_size=50, num_workers=1))
    assert dataset.bad_files == [many / "003.bmp"]


def test_one_bad_file_of_twenty_is_an_error(tmp_path):
    for i in range(20):
        write(tmp_path / f"{i:02}.png")
    (tmp_path / "04.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"1 of the 20 pictures .* such as .*04.png; fix or remove"):
        levels(ImageFolder(tmp_path, "all", image_size=6))


def test_verify_lists_every_bad_file_or_refuses_the_folder(many):
    (many / "150.bmp").write_bytes(b"BM")
    (many / "003.bmp").write_bytes(b"BM")
    seen = []
    bad = ImageFolder(many, "all", image_size=6).verify(progress=lambda done, total: seen.append((done, total)))
    assert bad == [str(many / "003.bmp"), str(many / "150.bmp")]
    assert seen == [(i + 1, 200) for i in range(200)]
    (many / "004.bmp").write_bytes(b"BM")
    with pytest.raises(UserError, match="3 of the 200 pictures"):
        ImageFolder(many, "all", image_size=6).verify()


def test_a_missing_or_empty_folder_is_reported_with_the_expected_files(tmp_path):
    with pytest.raises(UserError, match=r"no folder .*nowhere; check the path"):
        ImageFolder(tmp_path / "nowhere", image_size=6)
    with pytest.raises(UserError, match=r"no pictures in .*looked for \.jpg \.jpeg \.png"):
        ImageFolder(tmp_path, image_size=6)


def test_invalid_choices_are_refused_with_the_valid_ones(classes):
    with pytest.raises(UserError, match="no split 'test'; choose train, val or all"):
        ImageFolder(classes, "test", image_size=6)
    with pytest.raises(UserError, match="no layout 'deep'; choose auto, classes or flat"):
        ImageFolder(classes, image_size=6, layout="deep")


def test_threads_keep_the_order_and_do_not_run_far_ahead():
    started = []
    results = map_in_threads(lambda i: started.append(i) or i * i, 1000, workers=2)
    assert [next(results) for _ in range(3)] == [0, 1, 4]
    assert len(started) < 20
    assert list(results) == [i * i for i in range(3, 1000)]
