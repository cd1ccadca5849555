"""A damaged input, and the kinds of them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any


@dataclass(frozen=True)
class Case:
    """A damaged input.

    Attributes:
        read: Reads it as the programs do.
        named: An error must contain one of these: the name of the file, the setting, the expression.
    """

    read: Callable[[], Any]
    named: tuple[str, ...]


KINDS: dict[str, Callable[[Path, Random], Case]] = {}
"""{what it is: writes a damaged input into an empty folder}."""


def kind(name: str) -> Callable[[Callable[[Path, Random], Case]], Callable[[Path, Random], Case]]:
    """Registers a kind of inputs."""

    def register(make: Callable[[Path, Random], Case]) -> Callable[[Path, Random], Case]:
        KINDS[name] = make
        return make

    return register
