"""Sparse autoencoders from the tensors of their files, in the forms in which they are published.

W_enc (d, n), b_enc (n), W_dec (n, d), b_dec (d), threshold (n)      saev, SAELens, Prisma
encoder.weight (n, d), encoder.bias, decoder.weight, b_dec           linear layers (sparsify, dictionary_learning)
encoder.final_block.0.weight (n, d), ...0.bias, dictionary...        Overcomplete: TopKSAE, JumpSAE, RA-SAE; a norm of
                                                                     its latents is final_block.1; a tied encoder is
                                                                     the dictionary, encoder.tied_to
r_mag (n), b_gate and b_mag, or gate_bias and mag_bias               gated, with the other tensors of the first two
"""

import logging
from collections.abc import Mapping

import torch
from torch import Tensor

from dgn.errors import UserError
from dgn.networks.dictionaries.encoders import SparseEncoder, Sparsity
from dgn.networks.dictionaries.files import DictionaryFile
from dgn.networks.dictionaries.name import DictionaryName
from dgn.networks.dictionaries.settings import Settings
from dgn.networks.weights.load import without_wrappers
from dgn.networks.weights.text import listed

log = logging.getLogger(__name__)

_LINEAR = ("encoder.final_block.0", "encoder.0", "encoder")
"""Where the linear layer of an encoder is, in order of preference."""
_CENTERS = ("b_dec", "bias", "pre_bias", "decoder_bias")
"""Names of what is subtracted from the input and added to the reconstruction."""
_THRESHOLDS = {"threshold": False, "activation.threshold": False, "log_threshold": True, "thresholds": True}
"""Names of the thresholds of JumpReLU, and whether they are logarithms (Overcomplete's JumpSAE)."""
_TIED = "encoder.tied_to."
_ESTIMATED = "activation.threshold"
"""The threshold that saev's BatchTopK estimates in training; at 0 or below, it evaluates as ReLU."""


def make_autoencoder(file: DictionaryFile, settings: Settings, name: DictionaryName) -> SparseEncoder:
    """Returns the encoder of a sparse autoencoder.

    Args:
        file: The content of its file.
        settings: How it computes.
        name: Its name, for messages.

    Raises:
        UserError: If the tensors are not those of a form that is known, or do not fit each other.
    """
    tensors = _untied(_without_prefix(file.tensors), name)
    weight, bias, latent_norm = _linear(tensors, name)
    if "r_mag" in tensors:
        weight, bias, tensors = _ungated(weight, tensors, settings, name)
    width, latents = weight.shape
    center = next((tensors[key] for key in _CENTERS if key in tensors), None)
    if settings.center is False:
        center = None
    elif settings.center and center is None:
        raise UserError(f"{name.file} has no {' or '.join(_CENTERS)} that center=true could subtract: leave it out")
    sparsity, threshold = _sparsity(tensors, settings, name, latents)
    if settings.by_decoder_norm:
        norms = _tensor(tensors, "W_dec", (latents, width), name).norm(dim=1)
        weight, bias = weight * norms, bias * norms
    _check_shape("b_dec", center, (width,), name)
    _check_shape("bias of the encoder", bias, (latents,), name)
    return SparseEncoder(
        weight,
        bias,
        sparsity,
        center,
        threshold,
        settings.norm,
        1.0 if settings.scale is None else settings.scale,
        latent_norm,
        file.labels(latents),
    )


def _untied(tensors: dict[str, Tensor], name: DictionaryName) -> dict[str, Tensor]:
    """Includes encoder.weight for an encoder that Overcomplete ties to the dictionary: D, or W C + Relax (RA-SAE)."""
    parts = {key.removeprefix(_TIED): tensor for key, tensor in tensors.items() if key.startswith(_TIED)}
    atoms = parts.get("_weights")
    if {"W", "C", "Relax"} <= parts.keys():
        for key in ("W", "C"):
            _check_matrix(_TIED + key, parts[key], name)
        _check_shape(_TIED + "W", parts["W"], (len(parts["W"]), len(parts["C"])), name)
        _check_shape(_TIED + "Relax", parts["Relax"], (len(parts["W"]), parts["C"].shape[1]), name)
        atoms = parts["W"] @ parts["C"] + parts["Relax"]
    if atoms is None:
        return tensors
    multiplier = parts.get("multiplier", atoms.new_zeros(()))
    _check_shape(_TIED + "multiplier", multiplier, (), name)
    return tensors | {"encoder.weight": atoms * multiplier.exp()}


def _ungated(
    weight: Tensor, tensors: dict[str, Tensor], settings: Settings, name: DictionaryName
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Returns weight, bias and tensors of the JumpReLU that a gated autoencoder is (Rajamanoharan et al. 2024).

    With s its centered input, the gate s W + b_gate > 0 is s W exp(r) + b_mag > b_mag - exp(r) b_gate.
    """
    if settings.activation not in (None, "relu", "gated"):
        raise UserError(f"{name.file} is a gated autoencoder (r_mag): its activation is no {settings.activation}")
    keys = ("b_gate", "b_mag") if "b_gate" in tensors else ("gate_bias", "mag_bias")
    gain, gate, bias = (_tensor(tensors, key, (weight.shape[1],), name) for key in ("r_mag", *keys))
    gain = gain.exp()
    return weight * gain, bias, tensors | {"threshold": bias - gain * gate}


def _without_prefix(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Removes what wrappers insert, and a prefix before the names of a form."""
    bare = {without_wrappers(name): tensor for name, tensor in tensors.items()}
    for mark in ("W_enc", *(f"{place}.weight" for place in _LINEAR), f"{_TIED}multiplier"):
        prefixes = [name.removesuffix(mark) for name in bare if name == mark or name.endswith(f".{mark}")]
        if len(prefixes) == 1:
            (prefix,) = prefixes
            return {name.removeprefix(prefix): tensor for name, tensor in bare.items() if name.startswith(prefix)}
    return bare


def _linear(tensors: Mapping[str, Tensor], name: DictionaryName) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor] | None]:
    """Returns weight (d, n) and bias (n,) of the encoder, and the layer norm of its latents if it has one."""
    if any(key.startswith("encoder.mlp_blocks.") for key in tensors):
        raise UserError(f"{name.file} has an encoder of several layers (encoder.mlp_blocks); linear ones are computed")
    if "Q" in tensors:
        raise UserError(f"{name.file} is a quantized autoencoder (Q, Overcomplete's QSAE), which is not computed")
    if "W_enc" in tensors:
        weight = tensors["W_enc"]
        _check_matrix("W_enc", weight, name)
        decoder = tensors.get("W_dec")
        if decoder is not None and decoder.shape != weight.T.shape:
            raise UserError(
                f"{name.file}: W_enc is {_shape(weight)} and W_dec {_shape(decoder)}; (d, n) and (n, d) are expected"
            )
        return weight, tensors.get("b_enc", weight.new_zeros(weight.shape[1])), None
    place = next((place for place in _LINEAR if f"{place}.weight" in tensors), None)
    if place is None:
        raise UserError(
            f"{name.file} is no sparse autoencoder of a known form: it has {listed(tensors, 6)}; known are W_enc, "
            "b_enc, W_dec, b_dec, threshold (saev, SAELens, Prisma); encoder.weight, encoder.bias, decoder.weight, "
            "b_dec; and encoder.final_block.0.weight with dictionary (Overcomplete). A plain dictionary is dict(FILE)"
        )
    weight = tensors[f"{place}.weight"]
    _check_matrix(f"{place}.weight", weight, name)
    bias = tensors.get(f"{place}.bias", weight.new_zeros(len(weight)))
    following = place.replace(".0", ".1")
    if place == "encoder" or f"{following}.weight" not in tensors:
        return weight.T, bias, None
    return _normalized(weight, bias, tensors, following, name)


def _normalized(
    weight: Tensor, bias: Tensor, tensors: Mapping[str, Tensor], place: str, name: DictionaryName
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor] | None]:
    """Includes a batch norm of the latents in weight (n, d) and bias; returns the layer norm, which depends on them."""
    latents = (len(weight),)
    gain, shift = (_tensor(tensors, f"{place}.{key}", latents, name) for key in ("weight", "bias"))
    if f"{place}.running_mean" not in tensors:
        return weight.T, bias, (gain, shift)
    mean, variance = (_tensor(tensors, f"{place}.running_{key}", latents, name) for key in ("mean", "var"))
    gain = gain / (variance + 1e-5).sqrt()  # the eps of nn.BatchNorm1d
    return weight.T * gain, (bias - mean) * gain + shift, None


def _sparsity(
    tensors: Mapping[str, Tensor], settings: Settings, name: DictionaryName, latents: int
) -> tuple[Sparsity, Tensor | None]:
    """Returns the activation function and its thresholds: the settings', else what the tensors show."""
    threshold = _threshold(tensors, settings)
    top_k = settings.top_k
    if top_k is None and "k" in tensors and tensors["k"].numel() == 1:
        top_k = int(tensors["k"])
    kind = "jumprelu" if "r_mag" in tensors else settings.activation
    if kind in (None, "batchtopk"):
        # -1 says that there is no threshold (dictionary_learning).
        has_threshold = threshold is not None and (bool((threshold > 0).any()) or _ESTIMATED in tensors)
        kind = "jumprelu" if has_threshold else "topk" if kind == "batchtopk" or top_k else _unsaid(tensors, name)
    if kind == "gated":
        raise UserError(f"{name.file} is a gated autoencoder without r_mag; it has {listed(tensors, 8)}")
    if kind == "topk":
        if top_k is None:
            raise UserError(f"{name.file} keeps the k largest latents, but k is not in it: give it, as in "
                            + name.with_option("top_k", "32"))  # fmt: skip
        if not 1 <= top_k <= latents:
            raise UserError(f"{name.file}: top_k={top_k} of {latents} latents; give a number 1 .. {latents}")
        return Sparsity("topk", top_k, settings.rectified), None
    if kind == "jumprelu":
        if threshold is None:
            raise UserError(f"{name.file} is a JumpReLU autoencoder without {' or '.join(_THRESHOLDS)}: give "
                            f"one for all latents, as in {name.with_option('threshold', '0.1')}")  # fmt: skip
        if threshold.numel() not in (1, latents):
            raise UserError(f"{name.file}: threshold is {_shape(threshold)}; {latents} numbers or one are expected")
        return Sparsity("jumprelu"), threshold.flatten()
    return Sparsity(kind), None


def _unsaid(tensors: Mapping[str, Tensor], name: DictionaryName) -> str:
    """Returns ReLU for an autoencoder of which nothing says the activation function, where that is probable."""
    if any(key.startswith(("dictionary.", "encoder.final_block.")) for key in tensors):
        raise UserError(
            f"{name.file} is an autoencoder of Overcomplete, whose files do not say the activation function: give the "
            f"number of latents that TopKSAE and RA-SAE keep, as in {name.with_option('top_k', '32')}, the threshold "
            "of BatchTopKSAE (threshold=), or activation=relu"
        )
    log.info("%s: nothing says its activation function, so it is ReLU; give activation=, top_k= or threshold=",
             name.file)  # fmt: skip
    return "relu"


def _threshold(tensors: Mapping[str, Tensor], settings: Settings) -> Tensor | None:
    if settings.threshold is not None:
        return torch.tensor([settings.threshold])
    for key, is_logarithm in _THRESHOLDS.items():
        if key in tensors:
            return tensors[key].exp() if is_logarithm else tensors[key]
    return None


def _tensor(tensors: Mapping[str, Tensor], key: str, shape: tuple[int, ...], name: DictionaryName) -> Tensor:
    if key not in tensors:
        raise UserError(f"{name.file} has no {key}; it has {listed(tensors, 8)}")
    _check_shape(key, tensors[key], shape, name)
    return tensors[key]


def _check_matrix(key: str, tensor: Tensor, name: DictionaryName) -> None:
    if tensor.ndim != 2 or 0 in tensor.shape:
        raise UserError(f"{name.file}: {key} is {_shape(tensor)}; a matrix is expected")


def _check_shape(key: str, tensor: Tensor | None, shape: tuple[int, ...], name: DictionaryName) -> None:
    if tensor is not None and tuple(tensor.shape) != shape:
        raise UserError(f"{name.file}: {key} is {_shape(tensor)}; {'x'.join(map(str, shape))} is expected")


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "one number"
