import numpy as np
import pytest
import torch

from dgn.data.datamodule import ImageData
from dgn.data.doodles import Doodles, draw
from dgn.data.doodles.parts import CONCEPTS, PARTS, part_masks
from dgn.data.modified import alter, brg, modified, of_classes, shuffled, turned, twice
from dgn.errors import UserError


@pytest.fixture
def data() -> ImageData:
    return ImageData(Doodles("train", 32, 48), Doodles("val", 32, 16), 32, batch_size=8, val_images=16)


def test_shuffled_quarters_are_the_same_quarters_at_other_places():
    image = torch.arange(3 * 8 * 8, dtype=torch.uint8).view(3, 8, 8)
    changed = shuffled(image, np.random.default_rng(0))
    quarters = lambda x: [x[:, i : i + 4, j : j + 4].flatten().tolist() for i in (0, 4) for j in (0, 4)]  # noqa: E731
    assert sorted(quarters(changed)) == sorted(quarters(image))
    assert all(a != b for a, b in zip(quarters(changed), quarters(image), strict=True))


def test_colours_and_poses():
    image = torch.arange(3 * 4 * 4, dtype=torch.uint8).view(3, 4, 4)
    assert torch.equal(brg(image, np.random.default_rng(0)), torch.stack([image[2], image[0], image[1]]))
    turns = {tuple(turned(image, np.random.default_rng(seed)).flatten().tolist()) for seed in range(20)}
    assert len(turns) == 4


def test_twice_the_classes_are_regular_and_modified_images(data):
    both = twice(data, "brg")
    assert both.classes[0] == "house"
    assert both.classes[16] == "brg house"
    (regular, label), (changed, other) = both.train_source[5], both.train_source[48 + 5]
    assert other == label + 16
    assert torch.equal(changed, regular[[2, 0, 1]])
    assert both.train_source.labels[[5, 53]].tolist() == [label, other]


def test_a_modified_image_is_the_same_each_time(data):
    source = modified(data, "shuffled").val_source
    assert torch.equal(source[3][0], source[3][0])
    images = torch.stack([data.val_source[i][0] for i in range(2)]).float() / 255
    assert torch.equal(alter(images, "shuffled"), alter(images, "shuffled"))


def test_a_part_of_the_classes_has_its_own_labels(data):
    part = of_classes(data, 1, 2)
    assert len(part.train_source) == 24
    assert part.classes[0] == "tree"
    assert sorted(set(part.train_source.labels.tolist())) == list(range(8))
    for n in (0, 7, 23):
        image, label = part.train_source[n]
        place = part.train_source.places[n]
        assert part.classes[label] == data.classes[data.train_source[place][1]]
        assert torch.equal(image, data.train_source[place][0])


def test_an_unknown_modification_is_named(data):
    with pytest.raises(UserError, match=r"modification=sepia: choose one of shuffled, brg"):
        twice(data, "sepia")


def test_the_parts_of_a_doodle_are_where_it_is():
    doodles = Doodles("val", 64, 32)
    for index in range(6):
        label, masks = part_masks(doodles, index, 64)
        factors = draw(0, "val", index, 64).factors
        whole, upper, lower = masks
        assert label == index % 16
        assert torch.equal(whole, upper | lower)
        assert not (upper & lower).any()
        rows = whole.any(1).nonzero().flatten()
        middle = (rows.min() + rows.max() + 1).item() / 2 / 64
        if factors["truncation"] == 0:  # the outline is that of the shapes: two pixels and the supersampling of slack
            assert middle == pytest.approx(factors["y"], abs=0.05)
    assert len(CONCEPTS) == 16 * len(PARTS)
