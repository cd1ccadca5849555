"""The toolbox as a web application on this machine."""

from collections.abc import Callable
from html import escape
from importlib import resources
from pathlib import Path

from nicegui import app, run, ui

from dgn.toolbox.codes_panel import CodesPanel
from dgn.toolbox.notebook_panel import GALLERIES, NotebookPanel
from dgn.toolbox.search_panel import SearchPanel
from dgn.toolbox.see_panel import SeePanel
from dgn.toolbox.session import Session
from dgn.toolbox.workbench import Workbench

HOST = "127.0.0.1"
"""Only this machine can open the page: it takes files and runs networks for whoever can."""


def serve(bench: Workbench, port: int, show: bool, ready: Callable[[str], None]) -> None:
    """Serves the page until the process ends.

    Args:
        bench: What the sessions share.
        port: The port.
        show: Whether a browser is opened.
        ready: Is called with the address when the page can be opened.
    """
    bench.folder.mkdir(parents=True, exist_ok=True)
    app.add_static_files(GALLERIES, bench.folder)
    app.on_startup(lambda: ready(f"http://{HOST}:{port}"))
    build(bench)
    ui.run(
        host=HOST,
        port=port,
        title=f"dgn toolbox: {bench.target.name}",
        favicon="👁",
        dark=None,
        show=show,
        reload=False,
        show_welcome_message=False,
        tailwind=False,
        timeout_graceful_shutdown=1,
    )


def build(bench: Workbench) -> None:
    """Registers the page. Every browser session that opens it gets its own state."""
    style, script = _file("toolbox", "static/toolbox.css"), _file("toolbox", "static/toolbox.js")
    gallery = _file("report", "templates/page.css")

    @ui.page("/")
    async def page() -> None:
        ui.add_css(f"@layer gallery {{ {gallery} }}\n{style}")
        ui.add_body_html(f"<script>{script}</script>")
        await ui.context.client.connected()
        tab = ui.context.client.tab_id
        session = app.storage.tab["session"] = app.storage.tab.get("session", Session(tab)).opened_in(tab)
        with ui.element("header"):
            ui.html(f"<h1>dgn toolbox <span>{escape(bench.target.name)}</span></h1>", sanitize=False)
            with ui.tabs().props("no-caps dense align=left inline-label") as tabs:
                names = [ui.tab(name) for name in ("See", "Search", "Codes", "Notebook")]
        with ui.element("main"), ui.tab_panels(tabs, value=names[0], animated=False, keep_alive=True):
            with ui.tab_panel(names[0]):
                see = SeePanel(bench, session)
            with ui.tab_panel(names[1]):
                SearchPanel(bench, session)
            with ui.tab_panel(names[2]):
                codes = CodesPanel(bench, session)
            with ui.tab_panel(names[3]):
                NotebookPanel(bench, session)
        tabs.on_value_change(codes.update)
        if session.image is None:
            session.image, session.name = await run.io_bound(bench.example, 0), f"{bench.examples} 0"
        await see.look(session.image, session.name)


def _file(room: str, path: str) -> str:
    return Path(str(resources.files(f"dgn.{room}").joinpath(*path.split("/")))).read_text(encoding="utf-8")
