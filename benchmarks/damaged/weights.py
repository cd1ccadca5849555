"""Damaged files of weights: priors, code priors, checkpoints, state dicts, Caffe's files, dictionaries."""

import functools
import io
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from damaged.case import Case, kind
from damaged.hostile import bomb, strange, with_code
from damaged.mutations import BYTES, Mutation, of_safetensors, of_zip, poisoned
from damaged.samples import (
    caffemodel_file,
    checkpoint_file,
    code_prior_file,
    pickled_file,
    prior_file,
    safetensors_file,
    saved,
    small_network,
)
from dgn.networks.dictionaries.files import read_dictionary
from dgn.networks.weights import load_state_dict, read_weights
from dgn.prior import Prior
from dgn.prior.code_prior import CodePrior
from dgn.training.resuming import check_checkpoint


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

    content = _damaged(code_prior_file(), random, functools.partial(of_safetensors, header="dgn_code_prior"), poisoned)
    return _file_case(folder, "code_prior.safetensors", content, use)


@kind("checkpoints")
def _checkpoints(folder: Path, random: Random) -> Case:
    (folder / "checkpoints").mkdir()
    content = _damaged(checkpoint_file(), random, of_zip, of_zip, bomb)
    if random.random() < 0.3:
        content = with_code(random) if random.random() < 0.5 else _odd_checkpoint(random)
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
    return saved(content)


@kind("safetensors state dicts")
def _safetensors_files(folder: Path, random: Random) -> Case:
    content = _damaged(safetensors_file(), random, of_safetensors, of_safetensors, poisoned)
    return _file_case(folder, "net.safetensors", content, _use_weights)


@kind("pickled state dicts")
def _pickles(folder: Path, random: Random) -> Case:
    chosen = random.random()
    if chosen < 0.25:
        content = with_code(random)
    elif chosen < 0.45:
        content = strange(random)
    elif chosen < 0.6:
        content = _damaged(pickled_file(False), random)
    else:
        content = _damaged(pickled_file(True), random, of_zip, of_zip, bomb)
    return _file_case(folder, "net.pt", content, _use_weights)


def _use_weights(path: Path) -> None:
    network = small_network()
    load_state_dict(network, read_weights(path), source=str(path))


@kind("caffemodels")
def _caffemodels(folder: Path, random: Random) -> Case:
    return _file_case(folder, "net.caffemodel", _damaged(caffemodel_file(), random), _use_weights)


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
        content = save(tensors, {"cfg": '{"d_sae": 6}'}) if form == "safetensors" else saved(tensors)
        content = _damaged(content, random, of_safetensors if form == "safetensors" else of_zip)
    if random.random() < 0.15:
        (folder / "cfg.json").write_bytes(random.choice((b"[", b"[" * 200_000, b"[]", b"\xff", b'{"labels": 3}')))
    return _file_case(folder, f"dictionary.{form}", content, lambda path: read_dictionary(str(path)).labels(6))
