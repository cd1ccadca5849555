"""What the network sees: an image, the channels of every layer, and all about the one that is chosen."""

from html import escape

from nicegui import run, ui
from torch import Tensor

from dgn.errors import UserError
from dgn.inspection import Channel
from dgn.report.heat import coloured
from dgn.report.words import number
from dgn.toolbox.elements import pick_example, show_picture
from dgn.toolbox.events import listen
from dgn.toolbox.latest import Latest
from dgn.toolbox.live_search import Frame
from dgn.toolbox.live_view import LiveView
from dgn.toolbox.pictures import data_url, from_data_url, map_url
from dgn.toolbox.session import Session
from dgn.toolbox.workbench import Asked, Seen, Workbench

_SOURCE = """
<div class="source">
  <label class="button" for="file">Choose an image</label>
  <input id="file" data-slot="picture" type="file" accept="image/*" class="unseen">
  <button type="button" id="camera" aria-pressed="false">Camera</button>
</div>
<video id="video" muted playsinline hidden></video>
"""

_HINT = (
    "Click on one, or go through them with the arrow keys and press Enter. You see its map or an attribution of it, "
    "the image it prefers, and the real images that excite it."
)


class SeePanel:
    """The panel, in the page that is being built."""

    def __init__(self, bench: Workbench, session: Session) -> None:
        self.bench, self.session = bench, session
        self.method = next(iter(bench.methods), "")
        self._given = 0  # how many images were given
        self._explain = Latest(self._explain_once)
        with ui.element("div").classes("see"):
            with ui.element("aside").classes("given"):
                with ui.element("div").classes("drop").props("data-slot=picture"):
                    self.shown = ui.element("img").props(
                        'id=shown alt="the image, as the network sees it" src="data:,"'
                    )
                ui.html(_SOURCE, sanitize=False)
                with ui.element("div").classes("doodles"):
                    ui.button("◀", on_click=lambda: self._step(-1)).props('flat dense aria-label="previous one"')
                    self.doodle = ui.number(bench.examples, value=0, min=0, precision=0, on_change=self._doodle)
                    self.doodle.props("dense outlined debounce=200")
                    ui.button("▶", on_click=lambda: self._step(1)).props('flat dense aria-label="next one"')
                self.classes = ui.html("", sanitize=False).classes("guesses")
                self.speed = ui.html("", sanitize=False).classes("note")
            self.layers = ui.html("", sanitize=False).classes("layers")
            self.detail = ui.element("aside").classes("detail").props('aria-label="the chosen channel"')
            with self.detail:
                self.title = ui.html("<h2>Choose a channel</h2>", sanitize=False)
                self.hint = ui.label(_HINT).classes("note")
                self.over = ui.element("img").props('alt="the channel over the image" src="data:,"')
                self.about = ui.element("div").classes("about")
                with self.about:
                    names = {name: name.replace("_", " ") for name in ("map", *bench.attributions)}
                    self.ways = ui.toggle(names, value="map", on_change=self._explain)
                    self.ways.props("no-caps dense unelevated")
                    self.why = ui.label("").classes("note")
                    if self.method:
                        ui.html("<h3>Preferred image</h3>", sanitize=False)
                    self.live = LiveView(bench, session.keep, self._remember)
                    self.parts = ui.html("", sanitize=False).classes("real")
        self.about.set_visibility(False)
        self._show_over(None, "")
        listen("dgn_picture", self._picture, url=str, name=str)
        listen("dgn_bad_picture", self._bad_picture, name=str)
        listen("dgn_channel", self._choose, layer=str, index=int)

    async def look(self, image: Tensor, name: str) -> None:
        """Shows what the network sees in an image, unless another one has been given in the meantime.

        An image that the network does not take, as of other channels, is one line.
        """
        self._given += 1
        number = self._given
        try:
            seen = await run.io_bound(self.bench.look, image)
        except UserError as error:
            ui.notify(str(error), type="warning", multi_line=True)
            return
        if seen is None or number != self._given:
            return  # None: the application ends
        self.session.image, self.session.name, self.session.seen = image, name, seen
        self.layers.set_content(layers_as_html(seen, self.session.channel, self.bench))
        self.classes.set_content(_guesses(seen))
        self.speed.set_content(f"{1000 * seen.seconds:.0f} ms for all layers")
        show_picture(self.shown, seen.image)
        self._refresh()

    async def _picture(self, url: str, name: str) -> None:
        try:
            image = from_data_url(url)
        except UserError as error:
            self._refuse(str(error))
            return
        await self.look(image, name)
        ui.run_javascript("dgnReady()")

    def _bad_picture(self, name: str) -> None:
        if name == "camera":
            self._refuse("there is no camera, or this page may not use it; allow it in the browser")
        else:
            self._refuse(f"{name[:80] or 'that'} is not an image, or damaged, or too large; give a JPEG or PNG")

    def _refuse(self, message: str) -> None:
        ui.notify(message, type="warning")
        ui.run_javascript("dgnReady()")

    async def _doodle(self) -> None:
        if (picked := await pick_example(self.bench, self.doodle)) is not None:
            await self.look(*picked)

    def _step(self, by: int) -> None:
        self.doodle.set_value(max(0, int(self.doodle.value or 0) + by))

    async def _choose(self, layer: str, index: int) -> None:
        seen = self.session.seen
        if seen is None:
            return
        channel = self.bench.find_channel(seen, layer, index)
        if channel is None:
            return
        self.session.channel = channel
        ui.run_javascript(f"dgnChosen({channel.name!r})")
        name = f"{escape(channel.label)} <span>{channel.name}</span>" if channel.label else channel.name
        self.title.set_content(f"<h2>{name}</h2>")
        self.hint.set_visibility(False)
        self.about.set_visibility(True)
        self._refresh()
        self._prefer(channel)
        self._show_parts("<p class='note'>looking through them …</p>" if self.bench.reference else "")
        parts = await run.io_bound(self.bench.parts, channel)
        now = self.session.channel
        if parts is not None and now is not None and now.name == channel.name:
            self._show_parts("".join(f'<img src="{data_url(part)}" alt="part of a real image">' for part in parts))

    def _show_parts(self, inner: str) -> None:
        self.parts.set_content(f"<h3>Real images</h3><div>{inner}</div>" if inner else "")

    def _prefer(self, channel: Channel) -> None:
        """Shows the channel's preferred image, or searches it."""
        prior = next(iter(self.bench.priors), "")
        asked = Asked(str(self.bench.channel_objective(channel)), self.method, prior)
        found = self.bench.preferred.get(channel.name)
        if found is not None:
            self.live.show(asked, found)
        elif self.method:
            self.live.begin(asked)

    def _remember(self, asked: Asked, frame: Frame) -> None:
        self.bench.preferred[_channel_of(asked.objective)] = frame

    def _refresh(self) -> None:
        """Shows the chosen channel in the image that is seen now."""
        seen, channel = self.session.seen, self.session.channel
        if seen is None or channel is None:
            return
        self.session.channel = self.bench.find_channel(seen, channel.layer, channel.index)
        if self.ways.value == "map":
            self._show_map()
        else:
            ui.timer(0, self._explain, once=True)

    def _show_map(self) -> None:
        channel = self.session.channel
        if channel is not None and channel.map is not None:
            self._show_over(coloured(channel.map), "")
        elif channel is not None:
            self._show_over(None, f"{channel.layer} has no maps: the value is {number(channel.value)}")

    async def _explain_once(self) -> None:
        """Shows the attribution that is chosen, unless something else is chosen when it is there."""
        seen, channel, way = self.session.seen, self.session.channel, self.ways.value
        if seen is None or channel is None:
            return
        if way == "map":
            self._show_map()
            return
        self.over.classes(add="late")
        picture, why = None, ""
        try:
            picture = await run.io_bound(self.bench.attribute, seen.image, channel, way)
        except UserError as error:
            why = str(error)
        now = self.session.channel
        if now is not None and (now.name, self.ways.value) == (channel.name, way):
            self._show_over(picture, why)

    def _show_over(self, picture: Tensor | None, why: str) -> None:
        """Shows a picture of the channel in the image, or a line that says why there is none."""
        self.over.classes(remove="late")
        self.over.set_visibility(picture is not None)
        self.why.set_text(why)
        self.why.set_visibility(bool(why))
        if picture is not None:
            show_picture(self.over, picture)


def _channel_of(objective: str) -> str:
    """Returns a channel's name from its objective: conv5:12 of conv5:12@4,4."""
    return objective.partition("@")[0]


def _guesses(seen: Seen) -> str:
    rows = "".join(
        f'<li><span>{escape(name)}</span><i style="width:{100 * share:.1f}%"></i><b>{100 * share:.0f}%</b></li>'
        for name, share in seen.classes
    )
    return f'<ol aria-label="the most probable classes">{rows}</ol>'


def layers_as_html(seen: Seen, chosen: Channel | None, bench: Workbench) -> str:
    """Returns the tiles of all layers."""
    parts = []
    for layer, channels in seen.layers.items():
        shape = " × ".join(map(str, bench.target.layer(layer).shape))
        top = max((channel.value for channel in channels), default=0.0) or 1.0
        tiles = "".join(_tile(channel, top, chosen) for channel in channels)
        parts.append(
            f'<section><h3>{escape(layer)} <span>{shape}</span></h3><div class="tiles">{tiles}</div></section>'
        )
    return "".join(parts)


def _tile(channel: Channel, top: float, chosen: Channel | None) -> str:
    if channel.map is not None:
        inner = f'<img src="{map_url(channel.map)}" alt="">'
    else:
        inner = f'<i class="bar"><i style="width:{max(0.0, min(100.0, 100 * channel.value / top)):.0f}%"></i></i>'
    title = escape(channel.label or str(channel.index))
    pressed = str(chosen is not None and chosen.name == channel.name).lower()
    return (
        f'<button type="button" data-layer="{escape(channel.layer)}" data-index="{channel.index}" '
        f'data-name="{escape(channel.name)}" aria-pressed="{pressed}" title="{escape(channel.name)}">'
        f"{inner}<span><b>{title}</b> <small>{number(channel.value)}</small></span></button>"
    )
