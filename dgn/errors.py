"""The one kind of error that is the user's to mend, and what others come to in it."""


class UserError(Exception):
    """Something that a user can put right: the message is one line that names the wrong value, the right
    ones and the next step. The entry points print it without a traceback and exit with status 2."""


class OtherRun(UserError):
    """A folder holds another run than the one that is asked for; it is left as it is."""


def first_line(error: BaseException) -> str:
    """What a library's error says, in a line; its name where it says nothing."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
