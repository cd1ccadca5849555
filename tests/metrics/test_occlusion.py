import numpy as np
import pytest
import torch

from dgn.am.objectives.terms import Unit
from dgn.errors import UserError
from dgn.metrics.occlusion import discrepancy, extent, mask, patch_and_stride, receptive_field


def test_the_drops_are_those_of_one_patch_at_a_time(net):
    images = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    units, places = [Unit("conv2", 2), Unit("conv1", 3)], [(2, 1), (4, 9)]
    found = discrepancy(net, images, units, places, patch=4, stride=3, batch_size=5, seed=3)

    starts = [0, 3, 6, 8]  # 8: the last patch, at the edge
    noise = torch.rand((16, 3, 4, 4), generator=torch.Generator().manual_seed(3)).numpy()
    for n in range(2):
        total, count = np.zeros((12, 12)), np.zeros((12, 12))

        def activation(image, unit=units[n], place=places[n]):
            maps = net(torch.from_numpy(image)[None], [unit.layer])[unit.layer]
            return float(maps[0, unit.index, place[0], place[1]])

        whole = activation(images[n].numpy())
        for i, (y, x) in enumerate((y, x) for y in starts for x in starts):
            occluded = images[n].numpy().copy()
            occluded[:, y : y + 4, x : x + 4] = noise[i]
            total[y : y + 4, x : x + 4] += whole - activation(occluded)
            count[y : y + 4, x : x + 4] += 1
        np.testing.assert_allclose(found[n], total / count, atol=1e-5)
    assert found.abs().max() > 0.01


def test_a_vectors_units_are_watched_too(net):
    images = torch.rand(1, 3, 12, 12)
    found = discrepancy(net, images, [Unit("fc", 1)], [()], patch=6, stride=6)
    assert found.shape == (1, 12, 12)
    assert found.unique().numel() == 4


def test_patches_outside_the_receptive_field_need_not_be_tried(net):
    images = torch.rand(1, 3, 12, 12)
    unit, place = [Unit("conv1", 0)], [(5, 7)]
    everywhere = discrepancy(net, images, unit, place, patch=3, stride=1)
    within = discrepancy(net, images, unit, place, regions=[(4, 6, 7, 9)], patch=3, stride=1)
    torch.testing.assert_close(everywhere, within)
    assert within[0, :2].abs().max() == 0


def test_the_published_patch_in_proportion():
    assert patch_and_stride(227) == (11, 3)
    assert patch_and_stride(64) == (3, 1)


@pytest.mark.parametrize(("patch", "stride"), [(13, 1), (2, 3)])
def test_patches_must_fit_and_meet(net, patch, stride):
    with pytest.raises(UserError, match="patch"):
        discrepancy(net, torch.rand(1, 3, 12, 12), [Unit("fc", 1)], [()], patch=patch, stride=stride)


def test_a_mask_is_where_most_of_the_drop_is():
    drops = torch.tensor([[[0.0, 1.0], [0.1, 0.5]], [[-1.0, 0.0], [0.0, -2.0]]])
    assert mask(drops, 0.5).tolist() == [[[False, True], [False, True]], [[False, False], [False, False]]]


def test_maps_are_centred_and_averaged_into_the_receptive_field():
    """Two maps with a drop of 3x3 pixels about their centres: so has the average."""
    drops = torch.zeros(2, 12, 12)
    drops[0, 3:6, 7:10] = 1
    drops[1, 0:2, 1:4] = 1  # cut by the image's edge: row -1 was never seen
    field = receptive_field(drops, [(4.5, 8.5), (0.5, 2.5)])
    expected = torch.zeros(23, 23)
    expected[10:13, 10:13] = 1
    torch.testing.assert_close(field, expected)
    assert extent(field) == 3
