"""A fixed share of benchmarks/damage.py: damaged and hostile inputs end in one line, or are read."""

import logging
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

from damage import inputs_of
from damaged.case import KINDS
from damaged.running import quiet, run_one

SLOW = {"command lines and configs": 3, "run folders, half-written ones too": 10, "answers of the hub and of W&B": 10}
"""Fewer of these: each composes configs, or asks for a network's answer."""


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_inputs_end_in_one_line_or_are_read(kind, tmp_path):
    with quiet():
        outcomes = [run_one(kind, number, 0, tmp_path / "x") for _, number in inputs_of(SLOW.get(kind, 25), kind)]
    assert [outcome for outcome in outcomes if not outcome.good] == []
    assert any(o.verdict == "error" for o in outcomes) or kind == "records of multiruns"  # which are passed over


def test_the_logs_are_as_they_were_afterwards(tmp_path):
    before = logging.root.handlers[:], logging.root.level
    with quiet():
        logging.root.addHandler(logging.FileHandler(tmp_path / "of_a_job.log", delay=True))
        logging.root.setLevel(logging.ERROR)
    assert (logging.root.handlers, logging.root.level) == before
