"""Scanner for the unit language: the current position, the next token, and errors that name the position."""

import re
from typing import NoReturn

from dgn.errors import UserError
from dgn.networks.quoting import STRING, unquoted


class Text:
    """A position in a text. Methods that consume a token advance past it; spaces are skipped."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def _string(self) -> str:
        match = STRING.match(self.text, self.at)
        if not match:
            self._fail("this quotation mark is not closed", self.at)
        self.at = match.end()
        return unquoted(match)

    def _taken(self, pattern: str, at: int) -> str:
        """Returns what a pattern matches from position `at`; "" if it does not match."""
        match = re.compile(pattern).match(self.text, at)
        return match[0] if match else ""

    def _here(self) -> int:
        self._ended()
        return self.at

    def _ended(self) -> bool:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
        return self.at == len(self.text)

    def _peek(self) -> str:
        return "" if self._ended() else self.text[self.at]

    def _take(self, mark: str) -> str:
        if self._peek() != mark:
            return ""
        self.at += 1
        return mark

    def _expect(self, mark: str, start: int) -> None:
        if not self._take(mark):
            self._fail(f"a {mark!r} is missing", self.at)

    def _fail(self, message: str, at: int) -> NoReturn:
        left, right = self.text[:at].lstrip(), self.text[at:].strip()
        left = left if len(left) <= 24 else "..." + left[-21:]
        right = right if len(right) <= 32 else right[:29] + "..."
        raise UserError(f"units: {message} (at character {at + 1}: {left} >>> {right})".replace("\n", " "))
