"""The notebook of a session: what was kept, and its export as a gallery."""

from html import escape

from nicegui import run, ui

from dgn.errors import UserError
from dgn.toolbox.findings import export
from dgn.toolbox.pictures import data_url
from dgn.toolbox.session import Session
from dgn.toolbox.workbench import Workbench

GALLERIES = "/galleries"
"""Where exported galleries are served."""


class NotebookPanel:
    """The panel, in the page that is being built."""

    def __init__(self, bench: Workbench, session: Session) -> None:
        self.bench, self.session = bench, session
        session.changed = self._kept
        with ui.element("div").classes("actions"):
            ui.button("Export a gallery", on_click=self._export).props("no-caps unelevated")
        self.exported = ui.html("", sanitize=False).classes("note exported")
        self.list = ui.html(_list(session), sanitize=False).classes("found")

    def _kept(self) -> None:
        self.list.set_content(_list(self.session))
        ui.notify(f"kept: {self.session.found[-1].title}", color="dark")

    async def _export(self) -> None:
        title = f"What was found in {self.bench.target.name}"
        try:
            page = await run.io_bound(export, self.bench.folder, list(self.session.found), title)
        except UserError as error:
            ui.notify(str(error), type="warning")
            return
        if page is None:
            return  # the application ends
        link = f"{GALLERIES}/{page.parent.name}/index.html"
        self.exported.set_content(f'<a href="{link}" target="_blank">the gallery</a> in {escape(str(page.parent))}')


def _list(session: Session) -> str:
    if not session.found:
        return "<p class='note'>Nothing was kept yet: “Keep” under a picture puts it here.</p>"
    return "".join(
        f'<figure><img src="{data_url(f.image)}" alt="{escape(f.title)}"><figcaption>{escape(f.title)}'
        f"<code>{escape(f.command)}</code></figcaption></figure>"
        for f in session.found
    )
