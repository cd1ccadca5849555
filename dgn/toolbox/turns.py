"""A lock for what all sessions share, whose holders take turns."""

import threading
from collections import deque
from types import TracebackType


class Turns:
    """A lock that whoever asked first gets first, for a search would otherwise take it back at once, step after step.

    A thread that holds it may take it again.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()
        self._holder: int | None = None
        self._depth = 0

    def __enter__(self) -> None:
        asking = threading.get_ident()
        with self._changed:
            if self._holder != asking:
                ticket = object()
                self._waiting.append(ticket)
                self._changed.wait_for(lambda: self._holder is None and self._waiting[0] is ticket)
                self._waiting.popleft()
                self._holder = asking
            self._depth += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._depth -= 1
            if not self._depth:
                self._holder = None
                self._changed.notify_all()

    def pass_on(self) -> None:
        """Lets those who wait go first, in the middle of long work; does nothing for who has taken it twice."""
        if self._depth == 1:
            self.__exit__(None, None, None)
            self.__enter__()
