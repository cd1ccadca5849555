import logging

import pytest

from dgn.runs import progress
from dgn.runs.progress import Phase, announced


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def lines(caplog, clock, seconds, count=10):
    caplog.set_level(logging.INFO)
    for _ in announced(range(count), 64 * count - 60, "reading images, for distances", "fewer with N=1", size=64):
        clock[0] += seconds
    return [record.getMessage() for record in caplog.records]


def test_a_short_phase_says_nothing(caplog, clock):
    assert lines(caplog, clock, 0.49) == []


def test_a_long_phase_says_what_it_is_for_how_long_it_takes_and_how_to_make_it_shorter_once(caplog, clock):
    said = lines(caplog, clock, 10)
    assert said[0] == "reading images, for distances: 64 of 580, about 81 s left (fewer with N=1)"
    assert said[1] == "reading images, for distances: 256 of 580, about 51 s left"
    assert len(said) == 3


def test_all_parts_are_given():
    assert list(announced("abc", 3, "spelling", "no")) == ["a", "b", "c"]


def test_another_line_postpones_the_next(caplog, clock):
    caplog.set_level(logging.INFO)
    phase = Phase(100, "training", "fewer steps")
    for step in range(1, 7):
        clock[0] += 10
        phase.reached(step)
        if step == 3:
            phase.postpone()
    assert [record.getMessage().split(",")[0] for record in caplog.records] == [
        "training: 1 of 100",
        "training: 6 of 100",
    ]
