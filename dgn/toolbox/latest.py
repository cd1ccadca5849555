"""Work that is asked for more often than it can be done."""

from collections.abc import Awaitable, Callable


class Latest:
    """Does some work, one at a time. What is asked for in the meantime is one more time at its end."""

    def __init__(self, work: Callable[[], Awaitable[None]]) -> None:
        self._work = work
        self._busy = self._again = False

    async def __call__(self) -> None:
        self._again = True
        if self._busy:
            return
        self._busy = True
        try:
            while self._again:
                self._again = False
                await self._work()
        finally:
            self._busy = False
