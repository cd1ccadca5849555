import io
import time

import datasets  # not skipped: one that is installed but does not import is a defect
import numpy as np
import pytest
from PIL import Image

from dgn.data.huggingface import HuggingFace
from dgn.data.sources import huggingface, known
from dgn.data.transforms import EvalTransform
from dgn.errors import UserError

GRAY = EvalTransform(8, 8)


def png(level: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (20, 12), level).save(file, "PNG")
    return file.getvalue()


def levels(source) -> list[int]:
    return [int(source[i][0].float().mean().round()) for i in range(len(source))]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")


@pytest.fixture
def parquet(tmp_path):
    """Ten pictures, the level of each ten times its number, three named classes, in a parquet file."""
    rows = {"picture": [{"bytes": png(10 * i), "path": None} for i in range(10)], "kind": [i % 3 for i in range(10)]}
    features = datasets.Features(
        {"picture": datasets.Image(), "kind": datasets.ClassLabel(names=["auk", "bee", "cat"])}
    )
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "birds.parquet")
    return tmp_path / "birds.parquet"


def test_a_parquet_file_gives_pictures_labels_and_class_names(parquet):
    rows = HuggingFace(parquet, "train", GRAY)
    assert rows.classes == ("auk", "bee", "cat")
    assert rows.labels.tolist() == [i % 3 for i in range(10)]
    assert levels(rows) == [10 * i for i in range(10)]


def test_a_share_is_held_out_where_there_is_no_split_for_validation(parquet):
    data = huggingface(parquet, 8, val_fraction=0.2, num_workers=0)
    train, val = levels(data.train_source), levels(data.val_source)
    assert (len(train), len(val)) == (8, 2)
    assert sorted(train + val) == [10 * i for i in range(10)]
    assert data.val_source.labels.tolist() == [level // 10 % 3 for level in val]
    about = {"_target_": "dgn.data.sources.huggingface", "root": str(parquet), "image_size": 8, "classes": []}
    assert known(about).classes == ("auk", "bee", "cat")


def test_a_folder_of_images_is_a_data_set_with_splits(tmp_path):
    for split, count in (("train", 4), ("test", 2)):
        for i in range(count):
            path = tmp_path / "pictures" / split / ("newt", "auk")[i % 2] / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(10 * i))
    data = huggingface(tmp_path / "pictures", 8, val_split="test", num_workers=0)
    assert data.classes == ("auk", "newt")
    assert sorted(levels(data.train_source)) == [0, 10, 20, 30]
    assert len(data.val_source) == 2


def test_folders_of_save_to_disk_are_read_with_and_without_splits(parquet, tmp_path):
    rows = datasets.load_dataset("parquet", data_files=str(parquet), split="train")
    rows.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": rows, "test": rows.select([3, 4])}).save_to_disk(tmp_path / "two")
    assert levels(HuggingFace(tmp_path / "one", "train", GRAY)) == list(range(0, 100, 10))
    assert levels(HuggingFace(tmp_path / "one", "train[20%:50%]", GRAY)) == [20, 30, 40]
    assert levels(HuggingFace(tmp_path / "two", "test", GRAY)) == [30, 40]
    with pytest.raises(UserError, match="it has the splits train, test"):
        HuggingFace(tmp_path / "two", "val", GRAY)


def test_labels_may_be_names_numbers_or_not_there(tmp_path):
    images = [{"bytes": png(i), "path": None} for i in range(3)]
    features = {"image": datasets.Image(), "label": datasets.Value("string"), "id": datasets.Value("int64")}
    rows = {"image": images, "label": ["dog", "ant", "dog"], "id": [7, 5, 7]}
    path = tmp_path / "a.parquet"
    datasets.Dataset.from_dict(rows, features=datasets.Features(features)).to_parquet(path)
    named, numbered = HuggingFace(path, "train", GRAY), HuggingFace(path, "train", GRAY, label_column="id")
    assert (named.classes, named.labels.tolist()) == (("ant", "dog"), [1, 0, 1])
    assert (numbered.classes, numbered.labels.tolist()) == (("5", "7"), [1, 0, 1])
    bare = datasets.Dataset.from_dict({"image": images}, features=datasets.Features({"image": datasets.Image()}))
    bare.to_parquet(tmp_path / "b.parquet")
    without = HuggingFace(tmp_path / "b.parquet", "train", GRAY)
    assert (without.classes, without.labels.tolist()) == ((), [-1] * 3)


def test_rows_without_a_picture_are_reported_and_skipped(tmp_path, caplog):
    images = [{"bytes": png(i % 200), "path": None} for i in range(200)]
    images[5], path = {"bytes": b"no picture", "path": None}, tmp_path / "a.parquet"
    rows = datasets.Dataset.from_dict({"image": images}, features=datasets.Features({"image": datasets.Image()}))
    rows.to_parquet(path)
    source = HuggingFace(path, "train", GRAY)
    assert levels(source)[4:7] == [4, 6, 6]
    assert f"row 5 of {path} (train)" in caplog.text
    assert "1 of 200" in caplog.text


def test_without_a_network_an_unreachable_hub_is_reported_at_once(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.setattr("urllib.request.getproxies", dict)
    began = time.monotonic()
    with pytest.raises(UserError, match=r"data\.root=ada/birds, split train: no connection to 127\.0\.0\.1") as caught:
        HuggingFace("ada/birds", "train", GRAY)
    assert time.monotonic() - began < 10  # the libraries' own retries take over twenty seconds
    assert "\n" not in str(caught.value)


def test_errors_are_reported_in_one_line(parquet, tmp_path):
    cases = {
        "no such split": lambda: HuggingFace(parquet, "test[:x]", GRAY),
        "neither on the Hub nor here": lambda: HuggingFace(tmp_path / "nowhere", "train", GRAY),
        "birds.parquet has the columns picture, kind": lambda: HuggingFace(parquet, "train", GRAY, None, "image"),
        "label_column=sort": lambda: HuggingFace(parquet, "train", GRAY, label_column="sort"),
    }
    for name, make in cases.items():
        with pytest.raises(UserError) as caught:
            make()
        assert "\n" not in str(caught.value)
        assert "columns" in str(caught.value) or "data.root=" in str(caught.value), name
    with pytest.raises(UserError, match="does not make us download"):
        known({"_target_": "dgn.data.sources.huggingface", "root": "someone/something", "image_size": 8})
    numbers = datasets.Dataset.from_dict({"x": np.arange(3)})
    numbers.to_parquet(tmp_path / "n.parquet")
    with pytest.raises(UserError, match=r"no image column; name one of x: data\.image_column=NAME"):
        HuggingFace(tmp_path / "n.parquet", "train", GRAY)
