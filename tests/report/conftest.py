"""Rows and pictures to report on; lets the tests of this folder share browser.py and html_pages.py."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dgn.report import Row, image_name

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def make_row() -> Callable[..., Row]:
    """A row with everything measured; what differs is given by name."""

    def make(objective: str = "fc8:house", label: str = "house", seed: int = 0, **others: Any) -> Row:
        layer, _, unit = objective.partition(":")
        values = dict(
            layer=layer,
            unit=unit,
            label=label,
            seed=seed,
            method="dgn_am",
            activation=12.5 + seed / 3,
            percentile=99.25,
            judge_label="house",
            judge_probability=0.875,
            recognized=True,
            image=f"images/{image_name(objective, seed)}",
            objective=objective,
        )
        return Row(**{**values, **others})

    return make


@pytest.fixture(scope="session")
def flat_images():
    """n pictures (n, 3, size, size), each of one colour that no other has."""

    def make(count: int, size: int = 16) -> torch.Tensor:
        index = torch.arange(count)
        colours = torch.stack([index % 16 * 16, index // 16 % 16 * 16, torch.full_like(index, 40)], 1) / 255
        return colours[:, :, None, None].expand(-1, -1, size, size).clone()

    return make
