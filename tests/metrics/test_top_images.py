import numpy as np
import pytest
import torch

from dgn.am.objectives.terms import Unit
from dgn.data.batches import pick
from dgn.errors import UserError
from dgn.metrics.top_images import at_input, crop, top_images, uncut_region

UNITS = [Unit("conv2", 1, (2, 2)), Unit("fc", 0), Unit("conv2", 3, "mean"), Unit("conv1", 4, (6, 6)), Unit("fc", 2)]


@pytest.fixture
def images():
    return torch.rand(23, 3, 12, 12, generator=torch.Generator().manual_seed(2))


def test_top_images_anywhere_in_the_map_are_those_of_a_full_sort(net, images):
    found = top_images(net, UNITS, images.split(7), k=4)
    assert [top.unit for top in found] == UNITS
    for top in found:
        maps = net(images, [top.unit.layer])[top.unit.layer][:, top.unit.index].reshape(23, -1).numpy()
        order = np.argsort(-maps.max(1), kind="stable")[:4]
        np.testing.assert_array_equal(top.indices, order)
        np.testing.assert_array_equal(top.values, maps.max(1)[order])
        side = {"conv2": 5, "conv1": 12}.get(top.unit.layer)
        places = [divmod(int(maps[i].argmax()), side) if side else () for i in order]
        assert top.places == places


def test_or_at_the_units_own_position_or_mean(net, images):
    found = top_images(net, UNITS, images.split(7), k=23, anywhere=False)
    at_place = net(images, ["conv2"])["conv2"][:, 1, 2, 2]
    torch.testing.assert_close(found[0].values, at_place.sort(descending=True).values)
    assert set(found[0].places) == {(2, 2)}
    mean = net(images, ["conv2"])["conv2"][:, 3].mean((1, 2))
    torch.testing.assert_close(found[2].values, mean.sort(descending=True).values)


def test_equal_images_come_in_their_order_and_few_are_all(net, images):
    same = images[:1].expand(6, -1, -1, -1)
    assert top_images(net, UNITS[:1], same.split(2), k=3)[0].indices.tolist() == [0, 1, 2]
    assert len(top_images(net, UNITS, images[:2], k=9)[1].values) == 2


def test_no_image_is_a_user_error(net):
    with pytest.raises(UserError, match="reference images"):
        top_images(net, UNITS, [])


def test_crops_have_the_regions_size_with_grey_beyond_the_image():
    image = torch.arange(3 * 16.0).reshape(3, 4, 4)
    assert torch.equal(crop(image, (1, 0, 3, 2)), image[:, 1:3, 0:2])
    edge = crop(image, (-1, 2, 2, 5))
    assert edge.shape == (3, 3, 3)
    assert (edge[:, 0] == 0.5).all()
    assert (edge[:, :, 2] == 0.5).all()
    assert torch.equal(edge[:, 1:, :2], image[:, 0:2, 2:4])
    assert (crop(image, (9, 9, 11, 11)) == 0.5).all()


def test_regions_are_the_pixels_that_the_unit_responds_to(net, images):
    """conv2 of conv1: 3x3 with padding 1, then 3x3 every 2 pixels: 5x5 every 2 pixels from -1."""
    geometry = dict(size=(5, 5), stride=(2, 2), offset=(-1, -1))
    for place in ((0, 0), (2, 1), (4, 4)):
        image = images[:1].clone().requires_grad_(True)
        net(image, ["conv2"])["conv2"][0, 1, place[0], place[1]].backward()
        rows, columns = torch.nonzero(image.grad[0].abs().sum(0)).T
        top, left, bottom, right = uncut_region(place, **geometry)
        assert (bottom - top, right - left) == (5, 5)
        seen = (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
        assert [int(edge) for edge in seen] == [max(top, 0), max(left, 0), min(bottom, 12), min(right, 12)]


def test_images_as_the_network_meets_them(net):
    images = torch.rand(2, 3, 24, 24)
    small = at_input(net, images)
    assert small.shape == (2, 3, 12, 12)
    torch.testing.assert_close(net(small, ["fc"])["fc"], net(images, ["fc"])["fc"])


def test_images_are_picked_out_of_a_stream(images):
    assert torch.equal(pick(iter(images.split(5)), [17, 3, 17]), images[[17, 3, 17]])
    with pytest.raises(IndexError, match="23 images"):
        pick(images, [23])
