"""toolbox.py: from a config to the live page."""

import copy
import signal
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hydra.utils import instantiate

from dgn.am.method import Method
from dgn.cli.config import compose, plain
from dgn.cli.inspection import read_layers
from dgn.cli.roles import load_priors, load_target, open_data
from dgn.cli.stages import method_settings, read_method
from dgn.data.reference import Reference
from dgn.devices import select_device
from dgn.errors import Interrupted, UserError
from dgn.prior import Prior
from dgn.runs.programs import command, override
from dgn.runs.threads import use_threads
from dgn.toolbox.workbench import Asked, MethodMaker, Workbench
from dgn.visualization.approaches import name_priors


def toolbox(config: Mapping[str, Any], overrides: Sequence[str], folder: Path) -> None:
    """Serves the page until the process is stopped. Raises UserError without the extra `toolbox`."""
    try:
        from dgn.toolbox.app import serve
    except ImportError as error:
        raise UserError(f"toolbox.py needs the extra `toolbox`: pip install 'dgn[toolbox]' ({error})") from None
    port = config["port"]
    if not isinstance(port, int) or not 0 < port < 65536:
        raise UserError(f"port={port}: give a number from 1 to 65535, e.g. 8765")
    use_threads(config["threads"])
    bench = make_workbench(config, overrides, folder)
    by = signal.SIGINT
    try:
        serve(bench, port, bool(config["show"]), _announce)  # which may also return when it is stopped
    except (KeyboardInterrupt, Interrupted) as stop:
        by = getattr(stop, "signal", by)
    kept = f"; its galleries are in {folder}" if any(folder.glob("*/index.html")) else ""
    raise Interrupted(by, f"the toolbox was stopped{kept}")


def make_workbench(config: Mapping[str, Any], overrides: Sequence[str], folder: Path) -> Workbench:
    """Loads what the page computes with."""
    device = select_device(config["device"])
    priors = load_priors(config, device)
    data = open_data(priors[0] if priors else None, config.get("data"))
    target = load_target(config["target"], priors, device, data)
    count = config["reference_images"]
    named = dict(zip(name_priors(priors), priors, strict=True))
    return Workbench(
        target=target,
        priors=named,
        methods=read_makers(config, overrides, priors),
        attributions={name: instantiate(method) for name, method in (config["attributions"] or {}).items()},
        data=data,
        reference=Reference(data, count) if data is not None and count else None,
        folder=folder,
        command=partial(search_command, named, overrides),
        channels=config["channels"],
        view_layers=read_layers(config["view_layers"]),
    )


def read_makers(config: Mapping[str, Any], overrides: Sequence[str], priors: Sequence[Prior]) -> dict[str, MethodMaker]:
    """Returns the methods of `method` and `methods`; without a prior, those that search no codes."""
    makers: dict[str, MethodMaker] = {}
    for method in method_settings("toolbox", config, overrides, priors):
        maker = partial(_make_method, method, config["steps"])
        if priors or not maker(None, 1.0).searches_codes:
            makers[method["name"]] = maker
    return makers


def _make_method(settings: Mapping[str, Any], default: int | None, steps: int | None, strength: float) -> Method:
    """Returns a method with a number of steps, whose size is multiplied by `strength`."""
    if strength != 1.0:
        settings = copy.deepcopy(dict(settings))
        for *path, key in _sizes(settings):
            part = _at(settings, path)
            part[key] = part[key] * strength
    return read_method(settings, steps or default)


_SIZES = (("update", "first"), ("update", "last"), ("update", "lr"), ("regularizers", "guidance", "strength"))
"""Keys of methods that are the size of their steps: of dgn.am.updates, and of guided sampling."""


def _sizes(method: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Returns those of `_SIZES` that a method has as numbers."""
    return [path for path in _SIZES if _is_number(_at(method, path))]


def _at(settings: Mapping[str, Any], path: Sequence[str]) -> Any:
    """Returns what nested settings have at a path of keys; None if there is nothing."""
    found: Any = settings
    for key in path:
        found = (found or {}).get(key)
    return found


def search_command(priors: Mapping[str, Prior], overrides: Sequence[str], asked: Asked) -> str:
    """Returns the command of visualize.py that runs the search of `asked`."""
    target = [o for o in overrides if o.split("=")[0].split(".")[0] in ("target", "data", "generator")]
    words = [*target, f"method={asked.method}"]
    if asked.prior:
        words.append(override("prior", priors[asked.prior].source))
    words += [f"units={asked.objective}", f"seeds=[{asked.seed}]", "start=noise"]
    if asked.steps is not None:
        words.append(f"steps={asked.steps}")
    if asked.strength != 1.0:
        settings = plain(compose("visualize", [f"method={asked.method}"]))["method"]
        for path in _sizes(settings):
            words.append(f"method.{'.'.join(path)}={_at(settings, path) * asked.strength:g}")
    return command("visualize", *words)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _announce(address: str) -> None:
    print(f"The toolbox is at {address} (Ctrl-C stops it)", flush=True)
