"""Names of dictionaries, as layers of units: `sae(FILE)`, `dict(FILE,layer=conv5)`."""

import re
from dataclasses import dataclass
from pathlib import Path

from dgn.errors import UserError
from dgn.networks.quoting import STRING, quoted, unquoted

OPTIONS = {
    "sae": ("layer", "activation", "top_k", "threshold", "center", "norm", "scale"),
    "dict": ("layer", "code", "key"),
}
"""The kinds of dictionaries with their options."""

BEFORE = ":pre"
"""Suffix of a dictionary's name: its latents before the activation function that makes them sparse."""


@dataclass(frozen=True)
class DictionaryName:
    """The name of a dictionary. `str` returns it in the unit language.

    Attributes:
        kind: "sae" or "dict".
        file: The path of its file or folder.
        options: Its options (key, value), as written.
    """

    kind: str
    file: str
    options: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        options = [f"{key}={quoted(value)}" for key, value in self.options]
        return f"{self.kind}({','.join([quoted(self.file), *options])})"

    def option(self, key: str) -> str | None:
        """Returns the value of an option; None if it is not given."""
        return dict(self.options).get(key)

    def with_option(self, key: str, value: str) -> str:
        """Returns the name with one more option, for messages that say what to write."""
        others = tuple(pair for pair in self.options if pair[0] != key)
        return str(DictionaryName(self.kind, self.file, (*others, (key, value))))


def dictionary_at(text: str, at: int = 0) -> tuple[DictionaryName, int] | None:
    """Parses the name of a dictionary at a position of a text.

    Returns:
        The name and the position after it; None if no dictionary is named there.

    Raises:
        UserError: If it cannot be read, or has an option that it does not take.
    """
    opening = _OPENING.match(text, at)
    if opening is None:
        return None
    kind = opening[1]
    match = _ARGUMENTS.match(text, opening.end())
    if match is None:
        raise UserError(
            f"{kind}(...) cannot be read here; write {kind}(FILE):UNIT or {kind}(FILE,layer=NAME):UNIT, and names "
            "that contain , ( ) or a quotation mark in quotation marks"
        )
    if re.match(rf"(?:{'|'.join(OPTIONS[kind])})\s*=", match["file"]):
        first = match["file"].strip()
        raise UserError(
            f"{kind}({first}...) names no file: write {kind}(FILE,{first}); a file of that name needs quotation marks"
        )
    options: list[tuple[str, str]] = []
    for option in _OPTION.finditer(match["options"]):
        key, value = option[1], _value(option[2])
        if key not in OPTIONS[kind]:
            raise UserError(f"{kind}(...) takes no {key}=; it takes {', '.join(f'{o}=' for o in OPTIONS[kind])}")
        if key in dict(options):
            raise UserError(f"{kind}(...) has {key}= twice")
        options.append((key, value))
    return DictionaryName(kind, _value(match["file"]), tuple(options)), match.end()


def dictionary_named(layer: str) -> DictionaryName | None:
    """Returns the dictionary in the name of a layer, which may end in `:pre`, `:class` or `:mean`; None for others."""
    found = dictionary_at(layer)
    return found[0] if found is not None else None


def canonical(layer: str) -> str:
    """Returns the name of a layer as it is printed: a dictionary's name without spaces; others unchanged."""
    found = dictionary_at(layer)
    return layer if found is None else str(found[0]) + layer[found[1] :].strip()


def abbreviated(text: str) -> str:
    """Returns a text in which dictionaries are named by their file alone: `sae(b.pt):3` for `sae(a/b.pt,top_k=8):3`."""
    pieces: list[str] = []
    at = 0
    for opening in _OPENING.finditer(text):
        try:
            found = dictionary_at(text, opening.start())
        except UserError:  # it only resembles one
            continue
        if found is not None and opening.start() >= at:
            name, end = found
            pieces += [text[at : opening.start()], str(DictionaryName(name.kind, Path(name.file).name or name.file))]
            at = end
    return "".join([*pieces, text[at:]])


_WORD = r"(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^,()'\"]+)"
_OPENING = re.compile(r"(sae|dict)\s*\(\s*")
_OPTION = re.compile(rf",\s*(\w+)\s*=\s*({_WORD})")
_ARGUMENTS = re.compile(rf"(?P<file>{_WORD})\s*(?P<options>(?:,\s*\w+\s*=\s*{_WORD}\s*)*)\)")


def _value(word: str) -> str:
    string = STRING.fullmatch(word.strip())
    return unquoted(string) if string else word.strip()
