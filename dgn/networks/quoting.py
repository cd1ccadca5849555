"""Quotation of file and layer names in the unit language."""

import re

STRING = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"")
"""A quoted text; a backslash precedes a quotation mark or a backslash in it."""


def quoted(text: str) -> str:
    """Returns a text unchanged, or quoted if it contains characters with a meaning in the unit language."""
    if text.startswith("{") or re.fullmatch(r"[^\s,(){}'\"\\](?:[^,(){}'\"\\]*[^\s,(){}'\"\\])?", text):
        return text
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def unquoted(match: re.Match[str]) -> str:
    """Returns the text of a match of `STRING`."""
    return re.sub(r"\\(.)", r"\1", match[1] if match[1] is not None else match[2])
