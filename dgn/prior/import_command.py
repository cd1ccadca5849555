"""The sub-commands that import decoders other than DeePSiM's: rae, autoencoder and generator.

python -m dgn.prior.published rae FOLDER --images PICTURES
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from dgn.data.size import written
from dgn.errors import UserError
from dgn.networks.autoencoders import FAMILIES
from dgn.prior.decoders import RAE, import_autoencoder
from dgn.prior.generator_prior import Prior
from dgn.prior.noise import DISTRIBUTIONS
from dgn.prior.noise_generators import import_noise_generator, read_class_vectors
from dgn.runs.programs import command, override

COMMANDS = ("rae", "autoencoder", "generator")


def import_decoder(arguments: Sequence[str]) -> None:
    """Runs a sub-command, and prints the path of the prior file last."""
    options = _parser().parse_args(arguments)
    try:
        out = Path(options.out or f"{_stem(options)}.safetensors")
        prior = options.run(options)
        prior.save(out)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    print(_described(prior))
    if prior.generator.own_code is not None:
        named = override("generator.model", prior.generator.own_code)
        print(f"the file holds no code: {command('visualize', override('prior', out))} {named} target=...")
    print(out)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dgn.prior.published",
        description="Import a decoder that others trained as a prior file.",
        epilog="docs/decoders.md explains each.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    rae = commands.add_parser("rae", help="a representation autoencoder: the features of DINOv2, SigLIP2 or MAE")
    rae.set_defaults(run=_import_rae, size=None)
    _add_model(rae)
    other = commands.add_parser("autoencoder", help=f"latent codes: {', '.join(n for n in FAMILIES if n != RAE)}")
    other.set_defaults(run=_import_autoencoder)
    _add_model(other)
    other.add_argument("--size", type=int, metavar="PIXELS", help="side of the images (default: the model's own)")
    noise = commands.add_parser("generator", help="a generator of noise, as BigGAN and StyleGAN; no encoder")
    noise.set_defaults(run=_import_generator)
    _add_generator(noise)
    for one in (rae, other, noise):
        one.add_argument("--out", metavar="FILE", help="the prior file to write (default: NAME.safetensors)")
    return parser


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="a folder in Diffusers' format, or USER/NAME[@REVISION] on the Hugging Face hub")
    parser.add_argument("--download", action="store_true", help="download it from the hub if it is not in its cache")
    parser.add_argument("--subfolder", metavar="NAME", help="the model's folder in a release of several parts: vae")
    parser.add_argument("--images", metavar="FOLDER", help="measure the codes over the pictures in a folder (default: "
                        "the mean and standard deviation that the release states)")  # fmt: skip
    parser.add_argument("--count", type=int, default=2000, help="the number of these pictures (default: 2000)")
    parser.add_argument("--axes", type=int, help="the most principal axes of their codes (default: as many as take 16 "
                        "MB in the prior file, up to 256)")  # fmt: skip


def _add_generator(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="path/to/file.py:callable or package.module:callable, which returns the module")
    parser.add_argument("--code", choices=DISTRIBUTIONS, default="normal", help="what the noise is drawn from: normal "
                        "(mean 0, variance 1) or uniform (-1 .. 1) (default: normal)")  # fmt: skip
    parser.add_argument("--size", required=True, metavar="N", help="units of the noise, or its shape: 128, 100x1x1")
    parser.add_argument("--args", metavar="YAML", help="arguments of the callable: '{size: 128}'")
    parser.add_argument("--weights", metavar="FILE", help="its weights (default: those that the callable sets)")
    parser.add_argument("--values", nargs=2, type=float, default=(0.0, 1.0), metavar=("BLACK", "WHITE"),
                        help="the module's values of black and white (default: 0 1)")  # fmt: skip
    parser.add_argument("--classes", type=int, default=0, metavar="K", help="class-conditional: the module's second "
                        "argument is a one-hot vector of K classes; a search mixes classes")  # fmt: skip
    parser.add_argument("--class-vectors", metavar="FILE", help="instead: a .npy table (classes, units) of the vectors "
                        "that the module takes; a search finds one like them")  # fmt: skip
    parser.add_argument("--class", type=int, dest="only", metavar="INDEX", help="always give this class; only noise is "
                        "searched")  # fmt: skip


def _import_rae(options: argparse.Namespace) -> Prior:
    return _imported(options, (RAE,))


def _import_autoencoder(options: argparse.Namespace) -> Prior:
    return _imported(options, tuple(name for name in FAMILIES if name != RAE))


def _imported(options: argparse.Namespace, classes: Sequence[str]) -> Prior:
    return import_autoencoder(
        options.model, options.images, options.count, options.size, options.subfolder, options.download, classes,
        options.axes,
    )  # fmt: skip


def _import_generator(options: argparse.Namespace) -> Prior:
    vectors = None if options.class_vectors is None else read_class_vectors(options.class_vectors)
    return import_noise_generator(
        options.model, _shape(options.size), options.code, _args(options.args), options.weights, options.values,
        options.classes, vectors, options.only,
    )  # fmt: skip


def _shape(text: str) -> tuple[int, ...]:
    parts = text.split("x")
    if not all(part.isascii() and part.isdigit() and int(part) for part in parts):
        raise UserError(f"--size {text}: give the number of units of the noise, or its shape: --size 100x1x1")
    return tuple(map(int, parts))


def _args(text: str | None) -> Mapping[str, Any]:
    try:
        values = yaml.safe_load(text or "{}")
        json.dumps(values)  # as in the prior file
    except (yaml.YAMLError, TypeError) as error:
        raise UserError(f"--args {text}: {' '.join(str(error).split())}; give '{{depth: 3}}'") from None
    if not isinstance(values, Mapping):
        raise UserError(f"--args {text}: give names and values: '{{depth: 3}}'")
    return values


def _stem(options: argparse.Namespace) -> str:
    """The name of the prior file: that of the model's folder, repository or code file."""
    name = str(options.model).rpartition(":")[0] or str(options.model)
    return Path(name.partition("@")[0].rstrip("/") or "prior").name.removesuffix(".py")


def _described(prior: Prior) -> str:
    low, high = prior.bounds()
    count = prior.statistics.count
    codes = f"measured over {count} images" if count else "as the decoder was published"
    parameters = sum(p.numel() for p in prior.generator.parameters())
    return (
        f"{prior.about['training']['published']}: {parameters:,} parameters, code "
        f"{'x'.join(map(str, prior.code_shape))}, images of {written(prior.image_size)} px; bounds {codes}: "
        f"{float(low.min()):.3g} .. {float(high.max()):.3g}"
    )
