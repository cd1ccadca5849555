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
        steps: the number of steps of all stages.
        stages: makes its stages for a setting.
        settings: what it consists of, as plain values, for reports.
        from_image: the method as it is where searches start from an image; None: the same.
        gradient: whether it follows a gradient of the target.
    """

    name: str
    searches_codes: bool
    start: str
    steps: int
    stages: Callable[[Setting], Sequence[Stage]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    from_image: Method | None = None
    gradient: bool = True

    def starting(self, start: str) -> Method:
        """Returns the method as it is where searches start at `start`."""
        starts_from_image = start not in ("noise", "sample")
        return self.from_image if starts_from_image and self.from_image is not None else self
