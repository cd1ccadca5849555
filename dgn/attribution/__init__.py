"""Attributions: which parts of one image a unit responds to, and curves that tell how good such a map is.

Each method is a class of its own, and a file under conf/attributions names it. Captum computes all of them; this room
adds what it lacks: any unit of any layer of a FeatureNet, the choice of a layer for Grad-CAM, and the check that guided
backpropagation and deconvnet see every ReLU.
"""

from dgn.attribution.base import Attribution, reduced
from dgn.attribution.curves import Curves, deletion_and_insertion
from dgn.attribution.floors import centre_map, random_map
from dgn.attribution.gradcam import GradCAM
from dgn.attribution.gradients import IntegratedGradients, Saliency
from dgn.attribution.occlusion import Occlusion
from dgn.attribution.rectifiers import Deconvnet, GuidedBackprop
from dgn.attribution.response import Response, at_peak, most_probable, read_as_probability

__all__ = [
    "Attribution",
    "Curves",
    "Deconvnet",
    "GradCAM",
    "GuidedBackprop",
    "IntegratedGradients",
    "Occlusion",
    "Response",
    "Saliency",
    "at_peak",
    "centre_map",
    "deletion_and_insertion",
    "most_probable",
    "random_map",
    "read_as_probability",
    "reduced",
]
