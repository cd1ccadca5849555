"""The kinds of generators, and the generator of a `spec` (prior files, checkpoints)."""

from collections.abc import Mapping, Sequence
from typing import Any

from dgn.errors import Unavailable, UserError
from dgn.networks.conditional_generator import ConditionalGenerator
from dgn.networks.custom import find_named, own_code
from dgn.networks.custom_generator import CustomGenerator
from dgn.networks.generator import UpconvGenerator
from dgn.networks.generator_base import Generator
from dgn.networks.latent_decoder import LatentDecoder
from dgn.networks.modulated import ModulatedGenerator
from dgn.runs.programs import override

KINDS: dict[str, type[Generator]] = {
    kind.kind: kind
    for kind in (UpconvGenerator, ModulatedGenerator, CustomGenerator, ConditionalGenerator, LatentDecoder)
}
"""{name of the kind in a spec: its class}."""


def build_generator(spec: Mapping[str, Any], code: Sequence[str] = ()) -> Generator:
    """Builds the generator that `Generator.spec` describes. A spec without a kind is of an older file: upconv.

    Args:
        spec: The plain values.
        code: The user's own code that may be run, as `CustomGenerator.model`.

    Raises:
        Unavailable: If it is the user's own code, which is not among `code` or does not fit, or needs a library that is
            missing.
        UserError: If this version does not know the kind, or the values do not match each other.
        TypeError: If the kind does not take these values.
    """
    arguments = dict(spec)
    kind = arguments.pop("kind", UpconvGenerator.kind)
    if kind not in KINDS:
        raise UserError(f"its generator is of kind {kind!r}; this version of dgn knows {', '.join(KINDS)}")
    if not issubclass(KINDS[kind], CustomGenerator):
        return KINDS[kind](**arguments)
    made_by = str(arguments["model"])
    arguments["model"] = _named_code(made_by, code)
    try:
        return KINDS[kind](**arguments)
    except UserError as error:  # the file may be as it was, and the code another
        raise Unavailable(f"{error} (its generator was made by {made_by})") from None


def _named_code(model: str, code: Sequence[str]) -> str:
    named = find_named(model, code)
    if named is None:
        raise Unavailable(
            f"its generator {own_code(model)}; name it: {override('generator.model', model)} (of train.py: with "
            "generator=custom)"
        )
    return named
