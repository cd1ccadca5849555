"""Reading of weights from untrusted files in common formats."""

from dgn.networks.weights.caffemodel import CaffeLayer, read_caffemodel
from dgn.networks.weights.deepsim import (
    ExpectedLayer,
    GeneratorLayer,
    caffenet_state,
    expected_layers,
    generator_state,
    ordered_layers,
)
from dgn.networks.weights.load import load_state_dict
from dgn.networks.weights.read import read_weights
from dgn.networks.weights.state_dict import read_state_dict

__all__ = [
    "CaffeLayer",
    "ExpectedLayer",
    "GeneratorLayer",
    "caffenet_state",
    "expected_layers",
    "generator_state",
    "load_state_dict",
    "ordered_layers",
    "read_caffemodel",
    "read_state_dict",
    "read_weights",
]
