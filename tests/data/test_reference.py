"""Real images by their place in the training stream."""

import numpy as np
import pytest
import torch
from PIL import Image

from dgn.data.datamodule import ImageData, layer_labels
from dgn.data.doodles import Doodles
from dgn.data.image_folder import ImageFolder
from dgn.data.reference import Reference, TrainingImages


class Counted:
    """Image i is i everywhere and of class i % 3; counts what is read."""

    classes = ("a", "b", "c")

    def __init__(self, count: int, known: str | None = "labels") -> None:
        self.count, self.read = count, []
        if known is not None:
            setattr(self, known, [i % 3 for i in range(count)])

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int):
        self.read.append(i)
        return torch.full((3, 2, 2), i, dtype=torch.uint8), i % 3


def reference(source, count=10) -> Reference:
    return Reference(ImageData(source, source, 2, seed=4), count)


@pytest.mark.parametrize("known", ["labels", "targets"])
def test_the_images_of_a_class_are_known_without_reading_any_and_then_only_these_are_read(known):
    source = Counted(100, known)
    real = reference(source)
    places = real.of_classes([2, 0, 7])
    assert list(places) == [2, 0, 7]
    assert [len(own) for own in places.values()] == [33, 34, 0]
    assert source.read == []
    images = real.images_at(places[2][:5])
    assert len(source.read) == 5
    values = [round(float(image[0, 0, 0]) * 255) for image in images.values()]
    assert list(images) == places[2][:5]
    assert values == source.read
    assert all(value % 3 == 2 for value in values)
    assert [real.label(place) for place in places[0]] == ["a"] * 34


def test_a_place_is_the_position_in_the_training_stream():
    real = reference(Counted(100))
    stream = torch.cat([images for images, _ in real._data.real_images(100)])
    parts = list(real.read([70, 3, 99]))
    assert [place for places, _, _ in parts for place in places] == [70, 3, 99]
    torch.testing.assert_close(torch.cat([images for _, images, _ in parts]), stream[[70, 3, 99]])
    first = torch.cat(list(real.images()))  # held from here on
    picked = real.images_at([9, 0])
    torch.testing.assert_close(torch.stack([picked[0], picked[9]]), first[[0, 9]])
    torch.testing.assert_close(first, stream[:10])


def test_a_source_that_does_not_know_its_labels_is_read_as_far_as_the_reference_goes():
    source = Counted(100, None)
    real = reference(source)
    places = real.of_classes([0, 1])
    assert len(source.read) == 10
    assert sorted(places[0] + places[1]) == [i for i in range(10) if real.labels()[i] < 2]
    assert real.of_classes([1])[1] == places[1]
    assert len(source.read) == 10


@pytest.mark.parametrize("of_class", [None, 5])
def test_the_training_images_of_classes_come_one_class_after_another_and_then_the_first_ones(of_class):
    source = Counted(100)
    training = TrainingImages(reference(source, count=10), of_class)
    batches = list(training.of_labels({2, 0, None}))
    places = [place for part, _, _ in batches for place in part]
    labels = torch.cat([labels for _, _, labels in batches]).tolist()
    of_each = 34 if of_class is None else 5
    last = min(33, of_each)
    assert labels[: of_each + last] == [0] * of_each + [2] * last
    assert set(places) >= set(range(10))
    assert set(places[of_each + last :]) < set(range(10))
    assert len(places) == len(set(places)) == len(source.read)
    assert training.count == 10
    of_one = [part for part, _, _ in training.of_labels({1})]
    assert sum(map(len, of_one)) == of_each - (of_class is None)


def test_labels_are_those_of_the_images(tmp_path):
    doodles = Doodles("val", 32, 40)
    assert layer_labels(doodles).tolist() == [doodles[i][1] for i in range(40)]
    assert layer_labels(Counted(5, None)) is None
    for i in range(30):
        path = tmp_path / f"class{i % 7}" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((4, 4, 3), i, np.uint8)).save(path)
    folder = ImageFolder(tmp_path, "train", image_size=4, val_fraction=0.2)
    assert layer_labels(folder).tolist() == [folder[i][1] for i in range(24)]
