"""Searches: an objective in the unit language, with two methods or two priors side by side."""

from html import escape

from nicegui import run, ui

from dgn.errors import UserError
from dgn.toolbox.live_view import LiveView
from dgn.toolbox.session import Session
from dgn.toolbox.workbench import Asked, Workbench


class SearchPanel:
    """The panel, in the page that is being built."""

    def __init__(self, bench: Workbench, session: Session) -> None:
        self.bench = bench
        methods, priors = list(bench.methods), list(bench.priors)
        with ui.element("form").classes("asked").on("submit.prevent", self.search):
            self.objective = ui.input("objective", value=_first(bench)).props("dense outlined autocomplete=off")
            self.objective.classes("wide-input")
            self.seed = ui.number("seed", value=0, min=0, max=2**31 - 1, precision=0).props("dense outlined")
            self.steps = ui.number("steps", value=None, min=1, max=2000, precision=0, placeholder="default")
            self.steps.props("dense outlined stack-label")
            with ui.element("label").classes("slider"):
                self.strength_text = ui.label("strength 1×")
                self.strength = ui.slider(min=-2, max=2, step=0.25, value=0, on_change=self._strength)
                self.strength.props('aria-label="strength of the steps"')
            with ui.element("div").classes("actions"):
                ui.button("Search").props("type=submit no-caps unelevated")
                ui.button("Stop", on_click=self.stop).props("flat no-caps")
        self.choices: list[tuple[ui.select, ui.select]] = []
        self.views: list[LiveView] = []
        with ui.element("div").classes("contest"):
            for side in range(2):
                with ui.element("section"):
                    options = methods if side == 0 else ["nothing", *methods]
                    method = ui.select(options, value=options[0], label="method" if side == 0 else "compare with")
                    method.props("dense outlined options-dense")
                    prior = ui.select(priors, value=priors[0] if priors else None, label="prior")
                    prior.props("dense outlined options-dense")
                    prior.set_visibility(len(priors) > 1)
                    self.choices.append((method, prior))
                    self.views.append(LiveView(bench, session.keep))
        ui.html(_hint(bench), sanitize=False).classes("note")

    async def search(self) -> None:
        """Starts the searches that are asked for."""
        try:
            await run.io_bound(self.bench.objective, self.objective.value or "")
        except UserError as error:
            ui.notify(str(error), type="warning", multi_line=True)
            return
        steps = int(self.steps.value) if self.steps.value else None
        for (method, prior), view in zip(self.choices, self.views, strict=True):
            if method.value == "nothing":
                view.clear()
                continue
            strength = 2.0 ** float(self.strength.value)
            seed = int(self.seed.value or 0)
            view.begin(Asked(self.objective.value, method.value, prior.value or "", seed, steps, strength))

    def stop(self) -> None:
        """Stops the searches; their last pictures stay."""
        for view in self.views:
            view.stop()

    def _strength(self) -> None:
        self.strength_text.set_text(f"strength {2.0 ** float(self.strength.value):.2g}×")


def _hint(bench: Workbench) -> str:
    """Returns examples of objectives, of the layers of this network."""
    first, layer = _first(bench), bench.classes or bench.layers[-1]
    last = bench.target.layer(layer).units - 1
    examples = [first, f"{first}+0.5*{layer}:{last}", f"softmax({first})"]
    deepest = next((name for name in reversed(bench.layers) if bench.target.layer(name).is_map), None)
    if deepest is not None:
        middle = bench.target.layer(deepest).units // 2
        examples += [f"{deepest}:{middle}", f"{deepest}:{middle}@mean", f"dream({deepest})"]
    shown = ", ".join(f"<code>{escape(example)}</code>" for example in examples)
    return f"Objectives: {shown}. All searches begin in noise."


def _first(bench: Workbench) -> str:
    layer = bench.classes or bench.layers[-1]
    labels = bench.target.layer_labels(layer)
    return f"{layer}:{labels[0] if labels else 0}"
