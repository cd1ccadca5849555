"""The page of a network's layers."""

import pytest
import torch

from dgn.report.layers import LayerShown, write_layers


@pytest.mark.parametrize("images", [0, 60])
def test_the_page_says_what_the_layers_were_measured_on(tmp_path, images):
    rows = [LayerShown("conv1", (4, 8, 8), 4, 1, [2], 0.5, 0.1, 0.2, 0.3)] if images else []
    path = write_layers(tmp_path, ("conv1", torch.rand(4, 3, 5, 5)), rows, images, "title", "command", {})
    page = path.read_text(encoding="utf-8")
    assert ("measured on 60 real images" in page) == bool(images) == ("1 of 4" in page)
    assert ("name some with <code>data=</code>" in page) == (not images)
