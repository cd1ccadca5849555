"""Whole files of weights, which are damaged: of a prior, a code prior, a checkpoint, and a small network."""

import functools
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from dgn.networks.generator import UpconvGenerator
from dgn.networks.zoo import mini_resnet
from dgn.prior import Prior
from dgn.prior.code_model import CodeModel
from dgn.prior.code_prior import CodeAutoencoder, CodePrior
from dgn.prior.statistics import UnitStatistics


@functools.cache
def sample_prior() -> Prior:
    """A prior of 32 units and images of 16 pixels, with a code model."""
    torch.manual_seed(0)
    net = mini_resnet(classes=3, labels=["a", "b", "c"], width=8)
    generator = UpconvGenerator((32,), 16, width=0.03).requires_grad_(False).eval()
    axes = torch.linalg.qr(torch.rand(32, 8))[0].T.contiguous()
    mean, std = torch.rand(32), torch.rand(32)
    statistics = UnitStatistics(mean, std, torch.zeros(32), 5 * torch.ones(32), 99, axes, torch.linspace(1, 0.2, 8))
    generator.set_code_statistics(mean, std)
    about = {
        "layer": "avgpool",
        "encoder": {"name": net.name, "spec": net.spec, "fingerprint": net.fingerprint()},
        "data": {"_target_": "dgn.data.sources.doodles", "classes": ["house", "tree"]},
        "training": {"steps": 70, "images": 9},
        "metrics": {"val/psnr": 17.25},
        "config": {"seed": 3},
    }
    model = CodeModel(8, width=16, blocks=1).requires_grad_(False).eval()
    return Prior(generator, statistics, about, net.network.state_dict(), code_model=model)


def _written(write: Callable[[Path], Any]) -> bytes:
    path = Path(f"sample-{os.getpid()}")
    write(path)
    content = path.read_bytes()
    path.unlink()
    return content


@functools.cache
def prior_file() -> bytes:
    return _written(sample_prior().save)


@functools.cache
def code_prior_file() -> bytes:
    return _written(CodePrior(CodeAutoencoder((6,), 0.5), {"layer": "fc6", "encoder": "abc"}).save)


@functools.cache
def checkpoint_file() -> bytes:
    """What a training run keeps, as far as the programs look into it."""
    prior = sample_prior()
    statistics = vars(prior.statistics)
    content = {
        "state_dict": {f"generator.{name}": tensor for name, tensor in prior.generator.state_dict().items()},
        "global_step": 8,
        "epoch": 0,
        "prior": {"about": prior.about, "generator": prior.generator.spec(), "encoder_tensors": {}},
        "code_statistics": statistics,
    }
    return _written(lambda path: torch.save(content, path))


def small_network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 5))


@functools.cache
def small_state() -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {name: tensor.clone() for name, tensor in small_network().state_dict().items()}


@functools.cache
def safetensors_file() -> bytes:
    return save(small_state())


@functools.cache
def pickled_file(zipped: bool) -> bytes:
    content = {"model": small_state(), "epoch": 3, "args": {"lr": 0.1}}
    return _written(lambda path: torch.save(content, path, _use_new_zipfile_serialization=zipped))


def saved(content: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


@functools.cache
def caffemodel_file() -> bytes:
    def field(number: int, content: bytes) -> bytes:
        return _varint(number << 3 | 2) + _varint(len(content)) + content

    def blob(values: np.ndarray) -> bytes:
        shape = b"".join(_varint(1 << 3) + _varint(n) for n in values.shape)
        return field(7, field(7, shape) + field(5, values.astype("<f4").tobytes()))

    layers = (
        (b"0", b"Convolution", [np.ones((4, 3, 3, 3)), np.ones(4)]),
        (b"3", b"InnerProduct", [np.ones((5, 16)), np.ones(5)]),
    )
    return b"".join(
        field(100, field(1, name) + field(2, type_) + b"".join(map(blob, blobs))) for name, type_, blobs in layers
    )


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])
