import io

import numpy as np
import torch
from PIL import Image

from dgn.report.heat import as_picture, coloured, overlaid, scaled, transparent


def test_maps_are_light_where_they_are_zero_and_blue_where_negative():
    values = torch.tensor([[0.0, 2.0], [-2.0, 1.0]])
    picture = coloured(values)
    brightness = picture.mean(0)
    assert brightness[0, 0] > 0.95
    assert brightness[0, 1] < brightness[1, 1] < brightness[0, 0]
    assert picture[2, 1, 0] > picture[0, 1, 0]  # blue
    assert picture[0, 1, 1] > picture[2, 1, 1]  # red


def test_a_map_of_zeros_is_left_as_it_is():
    assert scaled(torch.zeros(3, 3)).abs().max() == 0
    assert as_picture(torch.zeros(3, 2, 2)).eq(0.5).all()
    image = torch.rand(3, 4, 4)
    assert overlaid(image, torch.zeros(4, 4)).std(0).max() < 1e-6  # the image in grey


def test_a_mask_is_opaque_where_the_map_is_large():
    values = torch.tensor([[0.0, 1.0], [-1.0, 0.5]])
    image = torch.full((3, 2, 2), 0.2)
    picture = np.asarray(Image.open(io.BytesIO(transparent(image, values))))
    assert picture[..., 3].tolist() == [[0, 255], [0, 128]]
    assert (picture[..., :3] == 51).all()
