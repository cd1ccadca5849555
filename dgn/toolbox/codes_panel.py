"""Codes: sliders along the strongest axes of real codes, and the way from one image to another."""

import shlex

from nicegui import run, ui
from torch import Tensor

from dgn.errors import UserError
from dgn.toolbox.codes import AXES, between, code_of, decoded, moved_along
from dgn.toolbox.elements import pick_example, show_picture
from dgn.toolbox.events import listen
from dgn.toolbox.findings import CODE, Finding
from dgn.toolbox.latest import Latest
from dgn.toolbox.pictures import from_data_url
from dgn.toolbox.session import Session
from dgn.toolbox.workbench import Workbench

_SOURCE = """
<div class="source">
  <label class="button" for="file-other">Choose an image</label>
  <input id="file-other" data-slot="other" type="file" accept="image/*" class="unseen">
</div>
"""


class CodesPanel:
    """The panel, in the page that is being built; empty without a prior."""

    def __init__(self, bench: Workbench, session: Session) -> None:
        self.bench, self.session = bench, session
        if not bench.priors:
            ui.html("<p class='note'>Codes need a prior; start the toolbox with prior=FILE.</p>", sanitize=False)
            return
        self._image: Tensor | None = None
        self._code: Tensor | None = None
        self._other, self._other_name = bench.example(1), f"{bench.examples} 1"
        self._latest = Latest(self._renew)
        with ui.element("div").classes("codes"):
            with ui.element("figure").classes("live"):
                self.picture = ui.element("img").props('alt="the image of the code" src="data:,"')
                with ui.element("figcaption"):
                    self.text = ui.label("The image of “See”, through its code.")
                with ui.element("div").classes("actions"):
                    ui.button("Keep", on_click=self._keep).props("flat no-caps dense")
                    ui.button("Reset", on_click=self._reset).props("flat no-caps dense")
            with ui.element("div").classes("sliders"):
                names = list(bench.priors)
                self.prior = ui.select(names, value=names[0], label="prior", on_change=self.update)
                self.prior.props("dense outlined options-dense").set_visibility(len(names) > 1)
                ui.html("<h3>Strongest directions of real codes</h3>", sanitize=False)
                self.sliders = [self._slider(f"direction {i + 1}", -3, 3) for i in range(AXES)]
            with ui.element("div").classes("other"):
                ui.html("<h3>Towards another image</h3>", sanitize=False)
                with ui.element("div").classes("drop").props("data-slot=other"):
                    self.other = ui.element("img").props('id=other alt="the other image"')
                    show_picture(self.other, self._other)
                ui.html(_SOURCE, sanitize=False)
                with ui.element("div").classes("doodles"):
                    self.doodle = ui.number(bench.examples, value=1, min=0, precision=0, on_change=self._take_doodle)
                    self.doodle.props("dense outlined debounce=200")
                    ui.button("Image of “See”", on_click=self._take_seen).props("flat no-caps dense")
                self.share = self._slider("share of it", 0, 1)
        self.picture.set_visibility(False)
        listen("dgn_other", self._take, url=str, name=str)

    async def update(self) -> None:
        """Shows the image of the edited code; while it is made, further changes wait."""
        if self.bench.priors and self.session.image is not None:
            await self._latest()

    async def _renew(self) -> None:
        try:
            image = await run.io_bound(self._make)
        except UserError as error:
            ui.notify(str(error), type="warning", multi_line=True)
            return
        if image is not None:
            self._show(image)

    async def _take(self, url: str, name: str) -> None:
        try:
            image = from_data_url(url)
        except UserError as error:
            ui.notify(str(error), type="warning")
            return
        await self._towards(image, name)

    async def _take_doodle(self) -> None:
        if (picked := await pick_example(self.bench, self.doodle)) is not None:
            await self._towards(*picked)

    async def _take_seen(self) -> None:
        if self.session.image is not None:
            await self._towards(self.session.image, self.session.name)

    async def _towards(self, image: Tensor, name: str) -> None:
        self._other, self._other_name = image, name
        show_picture(self.other, image)
        await self.update()

    def _slider(self, name: str, low: float, high: float) -> ui.slider:
        with ui.element("label").classes("slider"):
            ui.label(name)
            slider = ui.slider(min=low, max=high, step=0.05, value=0, on_change=self.update)
            slider.props(f'aria-label="{name}" throttle=0.1 label')
        return slider

    def _make(self) -> Tensor:
        prior, image = self.bench.priors[self.prior.value], self.session.image
        assert image is not None  # `update` returns without one
        with self.bench.lock:
            code = code_of(prior, image)
            share = float(self.share.value)
            if share:
                code = between(code, code_of(prior, self._other), share)
            self._code = moved_along(prior, code, [float(slider.value) for slider in self.sliders])
            return decoded(prior, self._code)

    def _show(self, image: Tensor) -> None:
        self._image = image
        show_picture(self.picture, image)
        self.picture.set_visibility(True)

    def _reset(self) -> None:
        for slider in [*self.sliders, self.share]:
            slider.set_value(0)

    def _keep(self) -> None:
        if self._image is None:
            return
        amounts = ", ".join(f"{float(slider.value):g}" for slider in self.sliders)
        other = f", {float(self.share.value):g} towards {self._other_name}" if self.share.value else ""
        prior = self.bench.priors[self.prior.value]
        finding = Finding(
            image=self._image,
            title=f"code of {self.session.name}, moved by [{amounts}]{other}",
            objective=f"code({prior.layer})",
            layer=prior.layer,
            unit="code",
            label="",
            method="edited code",
            prior=self.prior.value,
            seed=len(self.session.found),
            steps=0,
            value=float("nan"),
            command=shlex.join(["python", "-c", _DECODE.format(prior=prior.source, code=CODE)]),
            code=self._code,
        )
        self.session.keep(finding)


_DECODE = (
    "import numpy, torch; from dgn import Prior; from dgn.data.images import save_png; "
    "save_png(Prior.load('{prior}').decode(torch.from_numpy(numpy.load('{code}'))[None])[0], 'decoded.png')"
)
"""The program that makes the image of an exported code again."""
