"""Priors from generators of noise that others trained: no network is inverted, and codes are what they were trained on.

    python -m dgn.prior.published generator mine.py:make --code normal --size 128 --out noise.safetensors

The generator is the user's own code, or that of an installed library: anything that returns a module.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dgn.errors import UserError, first_line
from dgn.networks.conditional_generator import ConditionalGenerator
from dgn.networks.custom import absolute, make_module
from dgn.networks.custom_generator import CustomGenerator, check_module, space_of_values
from dgn.networks.weights.load import load_state_dict
from dgn.networks.weights.read import read_weights
from dgn.prior.generator_prior import Prior
from dgn.prior.noise import NoiseCodes

_BEYOND = 0.25
"""How far from black and white the pixels of a trained generator may be, in multiples of their distance."""


def import_noise_generator(
    model: str,
    noise_shape: Sequence[int],
    distribution: str = "normal",
    args: Mapping[str, Any] | None = None,
    weights: str | Path | None = None,
    values: Sequence[float] = (0.0, 1.0),
    classes: int = 0,
    vectors: Tensor | None = None,
    only: int | None = None,
) -> Prior:
    """Imports a generator of noise as a prior. The prior holds its weights, and the name of its code.

    Args:
        model: `package.module:callable` or `path/to/file.py:callable`, which returns the module: noise
            (N, *noise_shape), and for class-conditional ones class vectors (N, D), to float32 images (N, 3, H, H).
        noise_shape: The shape of the noise.
        distribution: "normal" or "uniform" (`NoiseCodes`).
        args: Arguments of the callable.
        weights: A file of weights for the module; None: those that the callable sets.
        values: The module's values of black and of white.
        classes: The number of classes; the module takes one-hot vectors, and a search finds a mixture.
        vectors: (K, D), instead: the class vectors that the module takes, as BigGAN's embeddings; a search finds a
            vector like them.
        only: The number of a class that is always given, so that only noise is searched.

    Raises:
        UserError: If the code is not found or fails, or its images have another dtype, shape or range.
    """
    noise = NoiseCodes(distribution, tuple(noise_shape), classes, vectors)
    given = _given_class(noise, only)
    if given is not None:
        noise = NoiseCodes(distribution, tuple(noise_shape))
    space_of_values(values)  # what is wrong with them is said before the module is run
    settings: dict[str, Any] = {"model": absolute(model), "args": args, "values": values, "normalize_codes": False}
    conditional = given is not None or noise.class_units > 0
    if conditional:
        settings |= {"noise_shape": noise_shape, "softmax": classes > 0 and given is None}
        settings["class_vector"] = None if given is None else given.tolist()
    size = _image_size(settings, noise, given)
    kind = ConditionalGenerator if conditional else CustomGenerator
    generator = kind(noise.code_shape, size, **settings)
    if weights is not None:
        load_state_dict(generator.network, read_weights(str(weights)), source=str(weights))
    _check_pixels(generator, noise)
    generator.requires_grad_(False).eval()
    about: dict[str, Any] = {"layer": "noise", "data": {}, "config": {}}
    about["encoder"] = {"name": "none", "spec": {}, "fingerprint": None}
    about["training"] = {"published": Path(model).name}
    return Prior(generator, noise.statistics(), about, source=model, noise=noise)


def read_class_vectors(path: str | Path) -> Tensor:
    """Reads a table of class vectors (K, D) from a .npy file. Raises UserError for another file."""
    try:
        table = np.load(Path(path).expanduser(), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"--class-vectors {path} cannot be read: {first_line(error)}; give a .npy file") from None
    if not isinstance(table, np.ndarray) or table.ndim != 2 or len(table) < 2 or table.dtype.kind != "f":
        raise UserError(f"--class-vectors {path}: give a .npy file of a float array (classes, units)")
    if not np.isfinite(table).all():
        raise UserError(f"--class-vectors {path} holds values that are not finite")
    return torch.from_numpy(np.ascontiguousarray(table, dtype=np.float32))


def _given_class(noise: NoiseCodes, only: int | None) -> Tensor | None:
    """The vector of the class that is always given."""
    if only is None:
        return None
    known = noise.classes if noise.vectors is None else len(noise.vectors)
    if not 0 <= only < known:
        raise UserError(
            f"--class {only}: "
            + (f"classes are 0 .. {known - 1}" if known else "give --classes or --class-vectors too")
        )
    if noise.vectors is not None:
        return noise.vectors[only]
    return torch.nn.functional.one_hot(torch.tensor(only), noise.classes).float()


def _image_size(settings: Mapping[str, Any], noise: NoiseCodes, given: Tensor | None) -> int:
    """The side of the module's images in pixels, from one pass."""
    drawn = noise.sample(2, torch.Generator().manual_seed(0)).flatten(1)
    units = drawn.shape[1] - noise.class_units
    inputs = [drawn[:, :units].unflatten(1, noise.noise_shape)]
    if given is not None:
        inputs.append(given.expand(2, -1))
    elif noise.class_units:
        inputs.append(drawn[:, units:] if noise.vectors is not None else drawn[:, units:].softmax(1))
    network = make_module(settings["model"], settings["args"] or {}, {"code_shape": noise.noise_shape})
    try:
        return check_module(network, settings["model"], inputs, None, settings["values"])
    except UserError as error:
        if len(inputs) == 1 and "required positional argument" in str(error):
            raise UserError(f"{error}; class-conditional ones need --classes K or --class-vectors FILE") from error
        raise


@torch.no_grad()
def _check_pixels(generator: CustomGenerator, noise: NoiseCodes) -> None:
    """Checks the range of the images: that of trained weights is known."""
    images = generator.eval()(noise.sample(8, torch.Generator().manual_seed(0)))
    low, high = (float(value) for value in images.aminmax())
    if low < -_BEYOND or high > 1 + _BEYOND:
        black, white = generator.values
        found = [black + (white - black) * value for value in (low, high)]
        raise UserError(
            f"{generator.model} gives pixels of {found[0]:.3g} .. {found[1]:.3g}, and black and white are {black:g} "
            f"and {white:g} here; say what they are: --values -1 1, or --values 0 255"
        )
