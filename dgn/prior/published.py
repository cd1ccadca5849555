"""Published generators as priors: the DeePSiM networks that invert CaffeNet, from Caffe's files or PyTorch's.

    python -m dgn.prior.published fc6 generator.caffemodel --range fc6.txt --caffenet FILE --out fc6.safetensors

The result is an ordinary prior: `python visualize.py prior=fc6.safetensors`. The command imports other decoders too
(`dgn.prior.import_command`); where dgn is installed, it is `dgn-import`.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dgn.errors import UserError
from dgn.files import sha256
from dgn.networks.generator import UpconvGenerator, published_generator
from dgn.networks.generator_plans import PUBLISHED
from dgn.networks.weights.caffemodel import read_caffemodel
from dgn.networks.weights.deepsim import Weights, expected_layers, generator_state
from dgn.networks.weights.paths import weights_file
from dgn.networks.weights.state_dict import read_state_dict
from dgn.networks.zoo import caffenet
from dgn.prior.generator_prior import Prior
from dgn.prior.image_statistics import measure_folder
from dgn.prior.import_command import COMMANDS, import_decoder
from dgn.prior.published_hub import fetch_generator, read_repository
from dgn.prior.statistics import UnitStatistics

ALIASES = {"conv5": "pool5", "fc6_eucl": "fc6", "fc6-places365": "fc6"}
"""Further generators of the same architectures: DGN-AM calls the prior that inverts pool5 "conv5"; fc6_eucl was trained
with the Euclidean loss alone, and fc6-places365 inverts a CaffeNet that was trained on places."""

_LARGEST_RANGE = 64
"""Maximum bytes per number in a range file; larger files are not read."""


def import_generator(
    layer: str,
    weights: str | Path,
    range_file: str | Path | None = None,
    images: str | Path | None = None,
    caffenet_weights: str | Path | None = None,
    labels: Sequence[str] = (),
    count: int = 2000,
) -> Prior:
    """Imports a published generator as a prior.

    Args:
        layer: The layer of CaffeNet that the generator inverts (a key of PUBLISHED or of ALIASES).
        weights: A .caffemodel, or a PyTorch state dict converted from one (`dgn.networks.weights.deepsim` documents
            the names of its layers).
        range_file: The code's bounds, as published with DGN-AM (`read_range`).
        images: Instead of range_file: a folder of images over which the bounds are computed; needs
            caffenet_weights.
        caffenet_weights: CaffeNet's own weights, which the prior then uses to encode images and as default target.
        labels: Names of fc8's units.
        count: Number of images over which the bounds are computed.

    Raises:
        UserError: If a file is missing, damaged or of another kind. If the weights are another layer's generator,
            the message names that layer.
    """
    layer = ALIASES.get(layer, layer)
    if layer not in PUBLISHED:
        raise UserError(f"no published generator for layer {layer!r}; there are: {', '.join((*PUBLISHED, *ALIASES))}")
    _check_bounds(range_file, images, caffenet_weights)
    generator = _load_generator(layer, Path(weights))
    encoder, known = None, {"name": "caffenet", "spec": {"builder": "caffenet", "weights": None}, "fingerprint": None}
    if caffenet_weights is not None:
        encoder = caffenet(weights=str(Path(caffenet_weights).expanduser().resolve()), labels=list(labels))
        known = {"name": encoder.name, "spec": encoder.spec, "fingerprint": encoder.fingerprint()}
    about: dict[str, Any] = {"layer": layer, "encoder": known, "data": {}, "config": {}}
    about["training"] = {"published": "DeePSiM", "file": Path(weights).name, "sha256": sha256(weights)}
    if range_file is not None:
        statistics = statistics_of_range(read_range(range_file, layer))
        about["statistics"] = {"range_file": Path(range_file).name}
    else:
        assert encoder is not None
        assert images is not None  # both are checked above
        statistics, about["data"] = measure_folder(encoder, layer, images, count, 227, 256)
    return Prior(generator, statistics, about, source=str(weights), _encoder=encoder)


def _check_bounds(
    range_file: str | Path | None, images: str | Path | None, caffenet_weights: str | Path | None
) -> None:
    if (range_file is None) == (images is None):
        raise UserError("give the code's bounds by one of --range FILE (as published) and --images FOLDER (computed)")
    if images is not None and caffenet_weights is None:
        raise UserError("--images needs --caffenet FILE, CaffeNet's own weights, to compute the codes with")


def read_range(path: str | Path, layer: str) -> Tensor:
    """The upper bound of every unit of the layer's code, (*code_shape).

    The file is a text of numbers, as published with DGN-AM (one line, unit by unit, mean + 3 sigma rounded up).

    Raises UserError for a file that is not such a text, and for one of another layer, naming that layer.
    """
    path, shape = Path(path).expanduser(), PUBLISHED[layer][0]
    units = {name: math.prod(code_shape) for name, (code_shape, _) in PUBLISHED.items()}
    try:
        if path.stat().st_size > _LARGEST_RANGE * max(units.values()):
            raise UserError(f"{path} is too large for a range file, one number for each of {units[layer]} units")
        words = path.read_text(encoding="ascii").replace(",", " ").split()
    except OSError as error:
        raise UserError(f"cannot read the range file {path}: {error.strerror}; check the path") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not a range file (text with one line of numbers); give one") from None
    if len(words) != units[layer]:
        others = [name for name, count in units.items() if count == len(words)]
        fits = f"; it fits {', '.join(others)}" if others else ""
        raise UserError(f"{path} holds {len(words)} numbers, the code of {layer} has {units[layer]} units{fits}")
    try:
        bounds = torch.tensor([float(word) for word in words]).view(shape)
    except ValueError as error:
        raise UserError(f"{path} is not a range file: {error}; it must contain only numbers") from None
    if not bounds.isfinite().all() or bounds.min() < 0:
        raise UserError(f"{path} holds bounds that are negative or not finite; fetch it again")
    return bounds


def statistics_of_range(bounds: Tensor) -> UnitStatistics:
    """Returns statistics whose bounds at 3 sigma are exactly [0, bounds].

    A range file does not contain mean and sigma separately: sigma is set to twice the mean, which is typical of
    CaffeNet's rectified units. count is 0, as nothing was measured.
    """
    std = bounds * (2 / 7)
    mean = bounds - 3.0 * std  # exact in floating point (Sterbenz), and so is the inverse
    return UnitStatistics(mean, std, torch.zeros_like(bounds), bounds.clone(), 0)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command: a DeePSiM generator, or one of the sub-commands for other decoders (`dgn.prior.import_command`)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in COMMANDS:
        import_decoder(given)
        return
    parser = argparse.ArgumentParser(
        prog="python -m dgn.prior.published",
        description="Import a published DeePSiM generator as a prior file. Other decoders: "
        f"{', '.join(COMMANDS)} (`python -m dgn.prior.published {COMMANDS[0]} --help`).",
        epilog="docs/published-priors.md says where the files come from, docs/decoders.md is about the other decoders.",
    )
    layers = ", ".join((*PUBLISHED, "conv5 (DGN-AM's name of pool5's)", "fc6_eucl", "fc6-places365"))
    parser.add_argument("layer", nargs="?", help=f"the layer of CaffeNet that it inverts: {layers}")
    parser.add_argument("weights", nargs="?", help="the generator: .caffemodel, or a PyTorch state dict made from one")
    parser.add_argument("--from", dest="repository", metavar="hf:OWNER/NAME", help="instead of a file: a repository on "
                        "the Hugging Face hub; without a layer, its generators are listed")  # fmt: skip
    parser.add_argument("--yes", action="store_true", help="download without asking")
    parser.add_argument("--range", metavar="FILE", help="bounds of the code: one line of numbers, as published")
    parser.add_argument("--images", metavar="FOLDER", help="or: compute them over the pictures in a folder")
    parser.add_argument("--count", type=int, default=2000, help="pictures to compute them over (default: 2000)")
    parser.add_argument("--caffenet", metavar="FILE", help="CaffeNet's weights: needed for --images; without them the "
                        "prior cannot encode, and wants target=caffenet target.weights=FILE")  # fmt: skip
    parser.add_argument("--labels", metavar="FILE", help="names of CaffeNet's classes, a line each (synset_words.txt)")
    parser.add_argument("--out", metavar="FILE", help="the prior file to write (default: LAYER.safetensors)")
    options = parser.parse_args(given)
    out = Path(options.out or f"{options.layer}.safetensors")
    try:
        if options.repository is not None:
            repository = read_repository(options.repository)
            if options.layer is None:
                print(repository)
                return
            repository.find(options.layer)
            _check_bounds(options.range, options.images, options.caffenet)  # before anything is downloaded
            if options.range is not None:
                read_range(options.range, ALIASES.get(options.layer, options.layer))
            options.weights = fetch_generator(repository, options.layer, options.yes)
        if options.layer is None or options.weights is None:
            parser.error("give a layer and the generator's file, or --from hf:OWNER/NAME")
        if out.exists() and out.samefile(options.weights):
            raise UserError(f"--out {out} is the file of weights itself; choose another")
        labels = read_labels(options.labels) if options.labels else ()
        prior = import_generator(
            options.layer, options.weights, options.range, options.images, options.caffenet, labels, options.count
        )
        prior.save(out)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    _say(prior)
    print(out)


def read_labels(path: str | Path) -> list[str]:
    """The names of classes, a line each.

    What a line of synset_words.txt has before the name ("n01440764 tench, Tinca tinca") and after its first comma is
    left out.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the labels {path}: {error}; give a text of one name a line") from None
    names = [line.strip().partition(",")[0] for line in lines if line.strip()]
    return [name.partition(" ")[2] if _is_wnid(name.partition(" ")[0]) else name for name in names]


def _load_generator(layer: str, path: Path) -> UpconvGenerator:
    """The published generator of the layer with the file's weights, frozen."""
    weights = _read(path)
    try:
        generator, state = _fitted(layer, weights, str(path))
    except UserError as error:
        if {name.rpartition(".")[0] or name for name in weights} >= CAFFENETS_OWN:
            raise UserError(
                f"{path} holds CaffeNet itself, not a generator: give it with --caffenet, and the generator's file here"
            ) from None
        fits = [name for name in PUBLISHED if name != layer and _fits(name, weights, str(path))]
        if fits:
            message = f"{path} is not the generator of {layer}: its weights fit {' and '.join(fits)}"
            raise UserError(f"{message}; name that layer") from None
        raise UserError(f"{error} (it fits no other published generator either)") from None
    bad = [name for name, value in state.items() if not value.isfinite().all()]
    if bad:
        raise UserError(f"{path} is damaged: {bad[0]} and {len(bad) - 1} more hold values that are not finite")
    state |= {"code_mean": torch.zeros(generator.code_shape), "code_scale": torch.ones(())}
    generator.load_state_dict(state, assign=True)
    return generator.requires_grad_(False).eval().to(memory_format=torch.channels_last)


def _read(path: Path) -> Weights:
    """The layers or tensors in a file of any format, recognized by its first bytes.

    torch's archives and pickles and safetensors are recognized by theirs; any other file can only be Caffe's.
    """
    with weights_file(path).open("rb") as file:
        start = file.read(9)
    if path.suffix != ".caffemodel" and (start.startswith((b"PK", b"\x80")) or start[8:] == b"{"):
        return read_state_dict(path)
    return read_caffemodel(path)


CAFFENETS_OWN = {"conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7"}
"""Layers that identify CaffeNet itself: no generator has all of them."""


def _fitted(layer: str, weights: Weights, source: str) -> tuple[UpconvGenerator, dict[str, Tensor]]:
    with torch.device("meta"):
        generator = published_generator(layer)
    return generator, generator_state(weights, expected_layers(generator), source=source)


def _fits(layer: str, weights: Weights, source: str) -> bool:
    try:
        _fitted(layer, weights, source)
    except UserError:
        return False
    return True


def _say(prior: Prior) -> None:
    generator = prior.generator
    low, high = prior.bounds()
    count = prior.statistics.count
    codes = f"measured over {count} images" if count else "from the range file"
    print(
        f"generator of {prior.layer}: {sum(p.numel() for p in generator.parameters()):,} parameters, "
        f"code {'x'.join(map(str, prior.code_shape))}, {generator.uncropped_size} px cropped to {prior.image_size}; "
        f"bounds {codes}: {float(low.min()):g} .. {float(high.max()):g}, on average {float(high.mean()):.3g}"
    )
    if prior.about["encoder"]["fingerprint"] is None:
        print("without CaffeNet's weights: visualize with target=caffenet target.weights=FILE (or any other target)")


def _is_wnid(word: str) -> bool:
    return len(word) == 9 and word[0] == "n" and word[1:].isdigit()


if __name__ == "__main__":
    main()
