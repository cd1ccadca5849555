"""Errors that a user can fix, and the exception of a run that was interrupted."""


class UserError(Exception):
    """An error that a user can fix.

    The message is one line that names the wrong value, the valid ones and the next step. The entry points print it
    without a traceback and exit with status 2.
    """


class OtherRun(UserError):
    """A folder holds a different run from the one requested. The folder is not changed."""


class Unavailable(UserError):
    """What a file describes cannot be had here: its code was not named, or a library is not installed.

    The file itself is not damaged.
    """


def one_line(text: object) -> str:
    """Returns a text in one line, with signs that would move the cursor or turn the text around written as escapes.

    Names and values in messages come from files of others.
    """
    words = (word if len(word) <= _LONGEST else f"{word[:200]}...{word[-40:]}" for word in str(text).split())
    joined = " ".join(words)
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in joined)


def first_line(error: BaseException) -> str:
    """Returns the first non-empty line of an error's message, or its class name if the message is empty."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


class Interrupted(BaseException):
    """A run was stopped by a signal, after it saved its state.

    Like KeyboardInterrupt it is not an Exception: it can be raised at any moment, and code that handles the errors of
    a library must not catch it.
    """

    def __init__(self, signal: int, message: str) -> None:
        self.signal = signal
        super().__init__(message)


_LONGEST = 1000  # letters of a word in a message: no path that a system takes at once is longer
NOTHING_SAVED = "stopped before there was anything to save"
