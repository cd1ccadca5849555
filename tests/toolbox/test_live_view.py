"""Searches on the page that do not go as they should."""

import threading
from types import SimpleNamespace

import pytest

pytest.importorskip("nicegui", reason="the extra `toolbox` is not installed")

from dgn.toolbox.live_view import LiveView
from dgn.toolbox.workbench import Asked


def test_a_search_that_fails_in_any_way_is_one_line(caplog):
    def search(asked):
        yield SimpleNamespace(value=1.0)
        raise ValueError("Overflow when\nunpacking")

    view = LiveView.__new__(LiveView)
    stop = view._stop = threading.Event()
    view._bench, view._values, view._error = SimpleNamespace(search=search), [], ""
    view._climb(Asked("fc8:1", "guided"), stop)
    assert view._error == "Overflow when unpacking"
    assert stop.is_set()  # the page stops waiting for it
    assert "fc8:1 by guided" in caplog.text  # and the terminal has the traceback
    assert view._values == [1.0]
