"""Shortens names and lists of names for messages."""

from collections.abc import Iterable


def short(name: str) -> str:
    """Returns `name`, truncated to at most 80 characters."""
    return name if len(name) <= 80 else f"{name[:77]}..."


def listed(names: Iterable[str], count: int = 5) -> str:
    """Joins the first `count` names, with the total number if there are more: "a, b, ... (7)"."""
    names = list(names)
    listed = ", ".join(short(str(name)) for name in names[:count])
    return f"{listed}, ... ({len(names)})" if len(names) > count else listed
