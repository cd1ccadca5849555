"""What a page sends, and what a page can be made to send."""

import asyncio
import logging
from types import SimpleNamespace

import pytest

pytest.importorskip("nicegui", reason="the extra `toolbox` is not installed")

from dgn.toolbox import events

CHANNEL = {"layer": str, "index": int}


def test_fields_of_an_event_are_taken_and_others_left():
    sent = {"layer": "conv1", "index": 3, "more": None}
    assert events.understood(sent, CHANNEL) == {"layer": "conv1", "index": 3}


@pytest.mark.parametrize(
    "sent", [None, 7, "conv1", ["conv1", 3], {}, {"layer": "conv1"}, {"layer": None, "index": 3},
             {"layer": "conv1", "index": None}, {"layer": "conv1", "index": 1.5}, {"layer": "conv1", "index": True}]
)  # fmt: skip
def test_an_event_that_was_made_up_is_one_line_in_the_log(sent, monkeypatch, caplog):
    listening, called = {}, []
    monkeypatch.setattr(events.ui, "on", listening.__setitem__)
    events.listen("dgn_channel", lambda **fields: called.append(fields), **CHANNEL)
    with caplog.at_level(logging.WARNING):
        asyncio.run(listening["dgn_channel"](SimpleNamespace(args=sent)))
        asyncio.run(listening["dgn_channel"](SimpleNamespace(args={"layer": "conv1", "index": 3})))
    (line,) = caplog.messages
    assert line.startswith("An event dgn_channel of the page has no layer (str), index (int): ")
    assert "\n" not in line
    assert called == [{"layer": "conv1", "index": 3}]
