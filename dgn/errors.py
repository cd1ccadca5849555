"""The errors that a user can put right, and how a run ends that was stopped."""


class UserError(Exception):
    """Something that a user can put right: the message is one line that names the wrong value, the right
    ones and the next step. The entry points print it without a traceback and exit with status 2."""


class OtherRun(UserError):
    """A folder holds another run than the one that is asked for; it is left as it is."""


def first_line(error: BaseException) -> str:
    """What a library's error says, in a line; its name where it says nothing."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


class Interrupted(BaseException):
    """A run was stopped by a signal, after it had saved itself. As KeyboardInterrupt, it is no Exception: what comes
    at any moment must not look like an error of the library that is at work."""

    def __init__(self, signal: int, message: str) -> None:
        self.signal = signal
        super().__init__(message)


NOTHING_SAVED = "stopped before there was anything to save"
