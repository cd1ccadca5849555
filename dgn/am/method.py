"""A method as a value: where its searches start, and the stages that they run through."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dgn.am.maximize import Stage
from dgn.am.setting import Setting


@dataclass(frozen=True)
class Method:
    """A method of activation maximization, ready to be used with any target and prior.

    Attributes:
        name: its name in tables.
        searches_codes: whether it searches the codes of a prior; else it searches images.
        start: where its searches start by default: "noise", "sample", "real" or the path of an image.
        steps: the number of steps of all stages, where searches start as `start` says.
        stages: makes its stages for a setting.
        settings: what it consists of, as plain values, for reports.
        variants: the method as it is where searches start otherwise, by kind of start (`kind_of_start`).
        gradient: whether it follows a gradient of the target.
    """

    name: str
    searches_codes: bool
    start: str
    steps: int
    stages: Callable[[Setting], Sequence[Stage]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    variants: Mapping[str, Method] = field(default_factory=dict)
    gradient: bool = True

    def starting(self, start: str) -> Method:
        """Returns the method as it is where searches start at `start`."""
        return self.variants.get(kind_of_start(start), self)


def kind_of_start(start: str) -> str:
    """Returns "noise", "sample" or "image": real images, facets and files are images."""
    return start if start in ("noise", "sample") else "image"
