"""The page of one image's activations."""

import pytest
import torch

from dgn.report.activations import ChannelShown, ImageActivations, write_activations


@pytest.mark.parametrize("preferred", [True, False])
@pytest.mark.parametrize("real", [True, False])
def test_the_page_says_what_it_shows(tmp_path, preferred, real):
    image = torch.rand(3, 8, 8)
    channel = ChannelShown("a:0", "a:0", 1.0, torch.rand(4, 4), image if preferred else None, [image] if real else [])
    (path,) = write_activations(tmp_path, [ImageActivations("x.jpg", image, {"a": [channel]})], "title", "command")
    page = (tmp_path / path).read_text(encoding="utf-8")
    assert ("its preferred image" in page) == preferred == ('alt="preferred image of a:0"' in page)
    assert ("the parts of real images" in page) == real == ('alt="part of a real image' in page)
