"""What the page's script (static/toolbox.js) sends to the application."""

import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any

from nicegui import ui

from dgn.errors import one_line

log = logging.getLogger(__name__)
_LONGEST = 80  # characters of an event that are logged


def listen(event: str, handler: Callable[..., Any], **fields: type) -> None:
    """Calls a handler with what the page sends.

    A page can be made to send anything, by whoever opens it: events with other fields are a line in the log.

    Args:
        event: The event's name.
        handler: Is called with the fields of each event, by their names.
        **fields: The fields of the event, and their types.
    """

    async def handle(sent: Any) -> None:
        taken = understood(sent.args, fields)
        if taken is None:
            wanted = ", ".join(f"{name} ({kind.__name__})" for name, kind in fields.items())
            log.warning("An event %s of the page has no %s: %s", event, wanted, one_line(str(sent.args))[:_LONGEST])
            return
        result = handler(**taken)
        if inspect.isawaitable(result):
            await result

    ui.on(event, handle)


def understood(sent: Any, fields: Mapping[str, type]) -> dict[str, Any] | None:
    """Returns the fields of an event; None if one is missing, or of another type."""
    if not isinstance(sent, Mapping) or not all(type(sent.get(name)) is kind for name, kind in fields.items()):
        return None
    return {name: sent[name] for name in fields}
