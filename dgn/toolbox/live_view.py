"""An image on the page that changes while a search climbs, with a curve, and buttons to stop it and to keep it."""

import logging
import threading
from collections.abc import Callable, Iterator

from nicegui import run, ui

from dgn.errors import UserError, one_line
from dgn.toolbox.elements import show_picture
from dgn.toolbox.findings import Finding
from dgn.toolbox.live_search import Frame
from dgn.toolbox.workbench import Asked, Workbench

log = logging.getLogger(__name__)
_EVERY = 0.12  # seconds between the pictures of a search on the page


class LiveView:
    """One search at a time, in a thread; the page shows its latest frame.

    Args:
        bench: What all sessions share.
        keep: Is called with what a person keeps.
        finished: Is called with what was asked for and the last frame of a search that was not stopped.
    """

    def __init__(
        self, bench: Workbench, keep: Callable[[Finding], None], finished: Callable[[Asked, Frame], None] | None = None
    ) -> None:
        self._bench, self._keep, self._finished = bench, keep, finished
        self._stop = threading.Event()
        self._asked: Asked | None = None
        self._frame: Frame | None = None
        self._shown: Frame | None = None
        self._error = ""
        self._values: list[float] = []
        with ui.element("figure").classes("live"):
            self.image = ui.element("img").props('alt="the image that is searched" src="data:,"')
            self.caption = ui.element("figcaption")
            with self.caption:
                self.text = ui.html("", sanitize=False)
            with ui.element("div").classes("actions"):
                self.stop_button = ui.button("Stop", on_click=self.stop).props("flat no-caps dense")
                self.keep_button = ui.button("Keep", on_click=self._keep_it).props("flat no-caps dense")
        self.image.set_visibility(False)
        self.stop_button.set_visibility(False)
        self.keep_button.set_visibility(False)
        self._timer = ui.timer(_EVERY, self._show, active=False)
        ui.context.client.on_disconnect(self.stop)

    @property
    def running(self) -> bool:
        """Whether a search runs."""
        return self._timer.active

    def begin(self, asked: Asked) -> None:
        """Stops the search that runs, and starts another."""
        self.stop()
        self._stop, self._asked, self._frame, self._shown = threading.Event(), asked, None, None
        self._error, self._values = "", []
        self.text.set_content("searching …")
        self.image.classes(add="late")
        threading.Thread(target=self._climb, args=(asked, self._stop), daemon=True).start()
        self.stop_button.set_visibility(True)
        self.keep_button.set_visibility(False)
        self._timer.activate()

    def show(self, asked: Asked, frame: Frame) -> None:
        """Shows the end of an earlier search."""
        self.stop()
        self._asked, self._frame, self._shown, self._error, self._values = asked, frame, None, "", []
        self._show()

    def stop(self) -> None:
        """Stops the search; its last picture stays."""
        self._stop.set()

    def clear(self) -> None:
        """Stops the search, and shows nothing."""
        self.stop()
        self._asked = self._frame = self._shown = None
        for element in (self.image, self.stop_button, self.keep_button):
            element.set_visibility(False)
        self.text.set_content("")

    def _climb(self, asked: Asked, stop: threading.Event) -> None:
        """Runs in a thread of its own, and touches nothing of the page."""
        try:
            frames: Iterator[Frame] = self._bench.search(asked)
            for frame in frames:
                if self._stop is not stop:
                    return  # another search has begun
                self._frame = frame
                self._values.append(frame.value)
                if stop.is_set():
                    return
        except Exception as error:  # whatever it is, the page says it, and the application goes on
            if not isinstance(error, UserError):
                log.exception("A search of %s by %s failed", asked.objective, asked.method)
            if self._stop is stop:
                self._error = one_line(str(error)) or type(error).__name__
        finally:
            stop.set()

    def _show(self) -> None:
        ended, frame = self._stop.is_set(), self._frame
        if frame is not None and frame is not self._shown:
            self._shown = frame
            show_picture(self.image, frame.image)
            self.image.classes(remove="late")
            self.image.set_visibility(True)
            self.text.set_content(
                f"{_line(self._values)}<span>{frame.value:.3g}</span> step {frame.step} of {frame.steps}"
            )
        if not ended:
            return
        self._timer.deactivate()
        self.stop_button.set_visibility(False)
        self.keep_button.set_visibility(frame is not None)
        if self._error:
            self.text.set_content("")
            ui.notify(self._error, type="warning", multi_line=True)
        elif frame is not None and frame.finished and self._asked is not None and self._finished is not None:
            self._finished(self._asked, frame)

    async def _keep_it(self) -> None:
        if self._asked is None or self._shown is None:
            return
        asked, frame = self._asked, self._shown
        objective = await run.io_bound(self._bench.objective, asked.objective)
        if objective is None:
            return  # the application ends
        layer = "+".join(objective.layers)
        unit = "+".join(getattr(term, "short", str(term)) for _, term in objective.terms)
        after = f"stopped after {frame.step} of {frame.steps} steps, of which its command makes all"
        stopped = "" if frame.finished else f", {after}"
        found = Finding(
            image=frame.image,
            title=f"{objective.label or objective} by {asked.method}, seed {asked.seed}{stopped}",
            objective=str(objective),
            layer=layer,
            unit=unit,
            label=objective.label if objective.label != str(objective) else "",
            method=asked.method,
            prior=asked.prior,
            seed=asked.seed,
            steps=frame.step,
            value=frame.value,
            command=self._bench.command(asked),
        )
        self._keep(found)


def _line(values: list[float]) -> str:
    """Returns the curve of a search so far as a small SVG."""
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    points = " ".join(
        f"{100 * i / (len(values) - 1):.1f},{28 - 26 * (value - low) / span:.1f}" for i, value in enumerate(values)
    )
    return (
        f'<svg viewBox="0 0 100 30" preserveAspectRatio="none" aria-hidden="true"><polyline points="{points}"/></svg>'
    )
