"""The kinds of generators, and the generator of a `spec` (prior files, checkpoints)."""

from collections.abc import Mapping
from typing import Any

from dgn.errors import UserError
from dgn.networks.generator import UpconvGenerator
from dgn.networks.generator_base import Generator
from dgn.networks.modulated import ModulatedGenerator

KINDS: dict[str, type[Generator]] = {kind.kind: kind for kind in (UpconvGenerator, ModulatedGenerator)}
"""{name of the kind in a spec: its class}."""


def build_generator(spec: Mapping[str, Any]) -> Generator:
    """Builds the generator that `Generator.spec` describes. A spec without a kind is of an older file: upconv.

    Raises:
        UserError: If this version does not know the kind, or the values do not match each other.
        TypeError: If the kind does not take these values.
    """
    arguments = dict(spec)
    kind = arguments.pop("kind", UpconvGenerator.kind)
    if kind not in KINDS:
        raise UserError(f"its generator is of kind {kind!r}; this version of dgn knows {', '.join(KINDS)}")
    return KINDS[kind](**arguments)
