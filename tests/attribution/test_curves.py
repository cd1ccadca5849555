"""Deletion and insertion, pixel by pixel, against a loop."""

import pytest
import torch

from dgn.am.objectives.language import parse_units
from dgn.attribution import centre_map, deletion_and_insertion, random_map
from dgn.attribution.curves import _blurred
from dgn.errors import UserError


def test_pixels_are_taken_in_the_order_of_the_map(net, image):
    (objective,) = parse_units("6:0", net)
    order = random_map(12, 12, 1)
    (curves,) = deletion_and_insertion(net, objective, image[0], [order], steps=6)
    grey, soft = image[0].mean((1, 2), keepdim=True), _blurred(image[0])
    places = order.flatten().argsort(descending=True)
    for step in range(7):
        deleted, inserted = image[0].clone(), soft.clone()
        for place in places[: 24 * step].tolist():
            row, column = divmod(place, 12)
            deleted[:, row, column] = grey[:, 0, 0]
            inserted[:, row, column] = image[0, :, row, column]
        both = net(torch.stack([deleted, inserted]), ["6"])["6"].softmax(1)[:, 0]
        torch.testing.assert_close(torch.stack([curves.deletion[step], curves.insertion[step]]), both)
    inner = curves.deletion[1:-1].sum() + (curves.deletion[0] + curves.deletion[-1]) / 2
    assert curves.deletion_area == pytest.approx(float(inner / 6), rel=1e-6)


def test_a_map_of_what_matters_beats_the_floors(net):
    """Of a unit that sees the upper left corner alone, a map of that corner."""
    picture = torch.full((3, 12, 12), 0.5)
    picture[:, :3, :3] = torch.rand(3, 3, 3, generator=torch.Generator().manual_seed(1))
    values = net(picture[None], ["0"])["0"][0, :, 1, 1]
    (objective,) = parse_units(f"0:{int(values.argmax())}@1,1", net)
    right = torch.zeros(12, 12)
    right[:3, :3] = 1
    good, centre, noise = deletion_and_insertion(
        net, objective, picture, [right, centre_map(12, 12), random_map(12, 12)], steps=12
    )
    values = torch.cat([way for curves in (good, centre, noise) for way in (curves.deletion, curves.insertion)])
    assert values.abs().max() == pytest.approx(1.0)  # values that are not probabilities are relative
    assert good.insertion_area > max(centre.insertion_area, noise.insertion_area)


def test_units_that_hardly_respond_do_not_outweigh_others(net, image):
    """With a value near 0, or below, on the whole image, areas stay within -1 and 1, and curves keep their shape."""
    (objective,) = parse_units("0:0@1,1", net)
    maps = [random_map(12, 12, seed) for seed in range(3)]
    curves = deletion_and_insertion(net, -1 * objective, image[0], maps, steps=4)
    opposite = deletion_and_insertion(net, objective, image[0], maps, steps=4)
    whole = float(net(image[:1], ["0"])["0"][0, 0, 1, 1])
    for curve, other in zip(curves, opposite, strict=True):
        assert max(abs(curve.deletion_area), abs(curve.insertion_area)) <= 1
        torch.testing.assert_close(curve.deletion, -other.deletion)
        assert curve.insertion[-1] == curve.deletion[0]
        assert float(other.deletion[0]) * whole > 0


def test_the_number_of_steps_is_checked(net, image):
    with pytest.raises(UserError, match="curve_steps=0"):
        deletion_and_insertion(net, parse_units("6:0", net)[0], image[0], [random_map(12, 12)], steps=0)
