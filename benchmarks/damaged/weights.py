"""Damaged files of weights: priors, code priors, checkpoints, state dicts, Caffe's files, dictionaries."""

import functools
import io
import os
import pickle
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from damaged.case import Case, kind
from damaged.mutations import BYTES, Mutation, of_safetensors, of_zip, poisoned
from dgn.networks.dictionaries.files import read_dictionary
from dgn.networks.generator import UpconvGenerator
from dgn.networks.weights import load_state_dict, read_weights
from dgn.networks.zoo import mini_resnet
from dgn.prior import Prior
from dgn.prior.code_model import CodeModel
from dgn.prior.code_prior import CodeAutoencoder, CodePrior
from dgn.prior.statistics import UnitStatistics
from dgn.training.resuming import check_checkpoint

CANARY = "ran"
"""The file that code in a pickle would make."""


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
def _code_prior_file() -> bytes:
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


def _network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 5))


@functools.cache
def _state() -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {name: tensor.clone() for name, tensor in _network().state_dict().items()}


@functools.cache
def _safetensors() -> bytes:
    return save(_state())


@functools.cache
def _pickled(zipped: bool) -> bytes:
    content = {"model": _state(), "epoch": 3, "args": {"lr": 0.1}}
    return _written(lambda path: torch.save(content, path, _use_new_zipfile_serialization=zipped))


class _Runs:
    """An object whose pickle would run a command."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> tuple:
        return self.call[0], tuple(self.call[1:])


def _with_code(random: Random) -> bytes:
    """A pickle that would create the canary, or take all memory."""
    objects = (
        _Runs(os.system, f"touch {CANARY}"), _Runs(eval, f"open({CANARY!r}, 'w')"), _Runs(bytearray, 10**11),
        _Runs(exec, f"open({CANARY!r}, 'w')"), _Runs(Path.touch, Path(CANARY)), _Runs(os.mkdir, CANARY),
        _Runs(torch.zeros, 10**6, 10**6), _Runs(torch.hub.load_state_dict_from_url, "http://127.0.0.1:9/x"),
    )  # fmt: skip
    content = {"model": _state(), "x": random.choice(objects)}
    if random.random() < 0.4:
        return pickle.dumps(content, protocol=random.randint(2, 5))
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=random.random() < 0.5)
    return file.getvalue()


@functools.cache
def zeros_deflated(size: int) -> bytes:
    """A deflated stream of `size` zeros, made of one part many times over."""
    part, packer = 2**24, zlib.compressobj(9, zlib.DEFLATED, -15)
    chunk = packer.compress(bytes(part)) + packer.flush(zlib.Z_FULL_FLUSH)
    return chunk * (size // part) + packer.flush(zlib.Z_FINISH)


def bomb(content: bytes, random: Random) -> bytes:
    """A zip archive, the largest entry of which would become 4 GiB of zeros."""
    source = zipfile.ZipFile(io.BytesIO(content))
    largest = max(source.infolist(), key=lambda entry: entry.file_size).filename
    stream = zeros_deflated(4 * 2**30 - 2**24)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in source.namelist():
            if name != largest:
                archive.writestr(name, source.read(name))
        entry = zipfile.ZipInfo(largest)
        entry.file_size = entry.compress_size = len(stream)
        archive.writestr(entry, stream)
        # Written as stored; the directory then says that it is deflated, and to what.
        for info in archive.filelist:
            if info.filename == largest:
                info.compress_type, info.file_size = zipfile.ZIP_DEFLATED, 4 * 2**30 - 2**24
    patched = bytearray(made.getvalue())
    local = next(info for info in archive.filelist if info.filename == largest).header_offset
    patched[local + 8 : local + 10] = (8).to_bytes(2, "little")
    patched[local + 22 : local + 26] = (4 * 2**30 - 2**24).to_bytes(4, "little")
    return bytes(patched)


def _strange(random: Random) -> bytes:
    """A state dict of tensors that no network has: views of nothing, sparse, on the meta device, quantized."""
    odd = random.choice((
        torch.zeros(1).expand(10**6, 10**6), torch.zeros(1, dtype=torch.complex64), torch.empty(0),
        torch.zeros(2, 2).to_sparse(), torch.empty(10**9, device="meta"), torch.full((5,), float("nan")),
        torch.zeros(3, dtype=torch.bool), {"a": 1}, None, "text", torch.Size([1]), 10**400,
    ))  # fmt: skip
    state: dict[Any, Any] = dict(_state())
    state[random.choice(("0.weight", "3.bias", 7, "x" * 10_000, ""))] = odd
    content = random.choice((state, {"model": state}, [state], odd))
    return _saved(content)


def _saved(content: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def _file_case(folder: Path, name: str, content: bytes, read: Callable[[Path], Any]) -> Case:
    path = folder / name
    path.write_bytes(content)
    return Case(lambda: read(path), (path.name, "previous.ckpt"))


def _damaged(content: bytes, random: Random, *further: Mutation) -> bytes:
    return random.choice((*BYTES, *further * 2))(content, random)


def _use_prior(path: Path) -> None:
    prior = Prior.load(path)
    images = prior.decode(prior.sample(2))  # of huge weights they are not finite, which a search says
    assert images.shape == (2, 3, prior.image_size, prior.image_size)
    if prior.encoder_tensors:
        prior.encode(torch.rand(1, 3, 32, 32))


@kind("prior files, with code models")
def _priors(folder: Path, random: Random) -> Case:
    header = functools.partial(of_safetensors, header="dgn_prior")
    content = _damaged(prior_file(), random, header, header, header, poisoned)
    return _file_case(folder, "prior.safetensors", content, _use_prior)


@kind("priors over codes")
def _code_priors(folder: Path, random: Random) -> Case:
    def use(path: Path) -> None:
        assert CodePrior.load(path).denoise(torch.rand(2, 6)).shape == (2, 6)

    content = _damaged(_code_prior_file(), random, functools.partial(of_safetensors, header="dgn_code_prior"), poisoned)
    return _file_case(folder, "code_prior.safetensors", content, use)


@kind("checkpoints")
def _checkpoints(folder: Path, random: Random) -> Case:
    (folder / "checkpoints").mkdir()
    content = _damaged(checkpoint_file(), random, of_zip, of_zip, bomb)
    if random.random() < 0.3:
        content = _with_code(random) if random.random() < 0.5 else _odd_checkpoint(random)
    if random.random() < 0.3:
        (folder / "checkpoints/previous.ckpt").write_bytes(_damaged(checkpoint_file(), random))
    if random.random() < 0.5:
        return _file_case(folder, "checkpoints/last.ckpt", content, lambda _: check_checkpoint(folder))
    return _file_case(folder, "checkpoints/last.ckpt", content, _use_checkpoint)


def _use_checkpoint(path: Path) -> None:
    prior = Prior.from_checkpoint(path)
    assert prior.decode(prior.sample(2)).ndim == 4


def _odd_checkpoint(random: Random) -> bytes:
    """A whole checkpoint that says something else."""
    from damaged.mutations import VALUES

    content = torch.load(io.BytesIO(checkpoint_file()), weights_only=True)
    part = random.choice((content, content["prior"], content["prior"]["generator"], content["prior"]["about"],
                          content["code_statistics"], content["state_dict"]))  # fmt: skip
    key = random.choice(list(part))
    if random.random() < 0.3:
        del part[key]
    else:
        part[key] = random.choice((*VALUES, torch.zeros(3), torch.full((32,), float("nan")), [10**6], 10**5))
    return _saved(content)


@kind("safetensors state dicts")
def _safetensors_files(folder: Path, random: Random) -> Case:
    content = _damaged(_safetensors(), random, of_safetensors, of_safetensors, poisoned)
    return _file_case(folder, "net.safetensors", content, _use_weights)


@kind("pickled state dicts")
def _pickles(folder: Path, random: Random) -> Case:
    chosen = random.random()
    if chosen < 0.25:
        content = _with_code(random)
    elif chosen < 0.45:
        content = _strange(random)
    elif chosen < 0.6:
        content = _damaged(_pickled(False), random)
    else:
        content = _damaged(_pickled(True), random, of_zip, of_zip, bomb)
    return _file_case(folder, "net.pt", content, _use_weights)


def _use_weights(path: Path) -> None:
    network = _network()
    load_state_dict(network, read_weights(path), source=str(path))


@functools.cache
def _caffemodel() -> bytes:
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


@kind("caffemodels")
def _caffemodels(folder: Path, random: Random) -> Case:
    return _file_case(folder, "net.caffemodel", _damaged(_caffemodel(), random), _use_weights)


@kind("dictionaries (.npy, .npz, .pt, .safetensors)")
def _dictionaries(folder: Path, random: Random) -> Case:
    form, file = random.choice(("npy", "npz", "npz", "pt", "safetensors")), io.BytesIO()
    atoms = np.random.default_rng(0).random((6, 16), dtype=np.float32)
    if form == "npy":
        np.save(file, atoms)
        content = _damaged(file.getvalue(), random)
    elif form == "npz":
        np.savez(file, components=atoms, mean=atoms[0])
        content = _damaged(file.getvalue(), random, of_zip, of_zip, bomb)
    else:
        tensors = {"W_enc": torch.from_numpy(atoms.T.copy()), "W_dec": torch.from_numpy(atoms), "b": torch.zeros(6)}
        content = save(tensors, {"cfg": '{"d_sae": 6}'}) if form == "safetensors" else _saved(tensors)
        content = _damaged(content, random, of_safetensors if form == "safetensors" else of_zip)
    if random.random() < 0.15:
        (folder / "cfg.json").write_bytes(random.choice((b"[", b"[" * 200_000, b"[]", b"\xff", b'{"labels": 3}')))
    return _file_case(folder, f"dictionary.{form}", content, lambda path: read_dictionary(str(path)).labels(6))
