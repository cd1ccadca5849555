"""Images that are explained, as the page of attributions gets them."""

import copy
import math

import torch

from dgn.attribution import GradCAM, Occlusion, Saliency
from dgn.networks.zoo import mini_caffenet
from dgn.report.attributions import write_attributions
from dgn.visualization.attributions import AttributionSettings, explain_images
from dgn.visualization.subjects import Subject
from dgn.visualization.view_store import ViewStore


def test_a_unit_that_no_image_changes_has_maps_of_zeros_and_each_method_says_why(tmp_path):
    net = copy.deepcopy(mini_caffenet(classes=4))
    last = net.network.get_submodule(net.layer("fc8").module)
    torch.nn.init.zeros_(last.weight)  # all four classes have the same probability, whatever is covered
    subjects = [Subject("grey", torch.full((3, 64, 64), 0.5))]
    methods = {"saliency": Saliency(), "covered": Occlusion(patch=32), "gradcam": GradCAM()}
    explained, left_out = explain_images(
        net, subjects, methods, AttributionSettings(units="fc8:2", curve_steps=2), ViewStore(tmp_path / "parts")
    )
    (shown,) = explained
    assert left_out == []
    assert [entry.name for entry in shown.maps] == [*methods, "centre", "random"]
    assert all(not entry.values.any() for entry in shown.maps[:3])
    assert all(math.isclose(entry.deletion_area, 0.25, rel_tol=1e-5) for entry in shown.maps)
    page = write_attributions(tmp_path, explained, "title", "command", {}).read_text(encoding="utf-8")
    said = [part.partition("</span>")[0] for part in page.split("0 everywhere: ")[1:]]
    assert said == [
        "nothing of the unit reaches the pixels",
        "no patch changes the unit",
        "no part of the feature map speaks for the unit",
    ]
