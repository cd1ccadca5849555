"""Names from files in messages: cut to what a reader can take in."""

from collections.abc import Iterable


def short(name: str) -> str:
    """`name` cut to a length that leaves a message readable, whatever a file claims a name to be."""
    return name if len(name) <= 80 else f"{name[:77]}..."


def listed(names: Iterable[str], count: int = 5) -> str:
    """The first names, for a message: "a, b, ... (7)"."""
    names = list(names)
    listed = ", ".join(short(str(name)) for name in names[:count])
    return f"{listed}, ... ({len(names)})" if len(names) > count else listed
