"""The page of attributions."""

import torch

from dgn.report.attributions import Explained, MapShown, write_attributions


def test_a_map_of_zeros_is_called_so(tmp_path):
    values = torch.rand(1, 8, 8)[0] + 0.1
    zeros = torch.zeros(8, 8)
    maps = [MapShown("saliency", values), MapShown("deconvnet", zeros), MapShown("occlusion", zeros, zero="no patch")]
    shown = Explained(torch.rand(3, 8, 8), "a.png", "fc8:1", "cat", 1.0, 0.5, None, maps)
    text = write_attributions(tmp_path, [shown], "What it sees", "python visualize.py", {}).read_text(encoding="utf-8")
    before, after = text.split(">deconvnet ")
    assert "0 everywhere" not in before
    second, third = after.split(">occlusion ")
    assert "0 everywhere</span>" in second
    assert "0 everywhere: no patch</span>" in third
