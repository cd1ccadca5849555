"""What the entry points and Hydra need of each other: run folders, errors in one line, composing a config."""

import difflib
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.utils import get_original_cwd
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dgn.errors import UserError
from dgn.runs import CONFIG, Interrupted, folder_to_resume, new_folder

CONF = Path(__file__).resolve().parent.parent / "conf"
"""The configuration beside the package: this is a checkout that users extend by adding files."""


def register_resolvers() -> None:
    """`${run_dir:${resume},train}`: the folder to go on in, or a new one under outputs/."""
    OmegaConf.register_new_resolver(
        "run_dir", lambda resume, task: str(folder_to_resume(resume) or new_folder(task)), use_cache=True, replace=True
    )


def entry_point(name: str) -> Callable[[Callable[[DictConfig], Any]], Callable[[], Any]]:
    """Makes a function of a config the command line of conf/NAME.yaml. What a user can mend is said in one line,
    with exit status 2; an interrupted run says how to go on, with status 128 + signal."""
    register_resolvers()

    def decorate(main: Callable[[DictConfig], Any]) -> Callable[[], Any]:
        def command_line() -> None:
            os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here whole; here they become one line
            sys.argv[1:] = [_quoted(argument) for argument in sys.argv[1:]]
            ended: list[BaseException] = []

            def job(config: DictConfig) -> Any:
                try:
                    return main(config)
                except (UserError, Interrupted, KeyboardInterrupt, HydraException, OmegaConfBaseException) as error:
                    ended.append(error)  # Hydra would print a line of its own

            try:
                hydra.main(version_base="1.3", config_path=str(CONF), config_name=name)(job)()
            except (UserError, HydraException, OmegaConfBaseException) as error:
                ended.append(error)
            if ended:
                _end(*_last_words(ended[0], name))

        return command_line

    return decorate


def compose(name: str, overrides: Iterable[str]) -> DictConfig:
    """The config that the command line `python NAME.py OVERRIDES` would have."""
    running = GlobalHydra.instance()
    held, running.hydra = running.hydra, None  # Hydra composes for one application at a time
    try:
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            return hydra.compose(name, overrides=list(overrides))
    finally:
        GlobalHydra.instance().hydra = held


def resumed(config: DictConfig, folder: Path) -> DictConfig:
    """The config to run with: that of the run in `folder` where it is gone on with, with what the command line
    changes now; else `config` itself. Raises UserError for a change that is another run."""
    saved = folder / CONFIG
    if config.resume is None or not saved.is_file():
        return config
    changes = [o for o in HydraConfig.get().overrides.task if not o.startswith("resume=")]
    groups = [change for change in changes if (CONF / change.split("=")[0].lstrip("+~")).is_dir()]
    if groups:
        raise UserError(f"{groups[0]} with resume= would be another run; start it without resume=")
    return OmegaConf.merge(OmegaConf.load(saved), OmegaConf.from_dotlist([c.lstrip("+") for c in changes]))


def from_here(path: str | Path) -> Path:
    """A path that a user gave, relative to where the command was started."""
    return Path(get_original_cwd() if HydraConfig.initialized() else ".") / path


def command_line(script: str) -> str:
    """The command that started this run."""
    return shlex.join(["python", script, *HydraConfig.get().overrides.task])


def plain(config: DictConfig) -> dict[str, Any]:
    """The resolved config as plain values."""
    return OmegaConf.to_container(config, resolve=True, throw_on_missing=False)


def _quoted(argument: str) -> str:
    """`units=conv5:12@4,4` is one value to us; Hydra would read a sweep over two, and know no softmax(fc8:house) in a
    list. What is quoted already stays, in a list too."""
    key, equals, value = argument.partition("=")
    if key != "units" or not equals or value[:1] in ("", "'", '"'):
        return argument
    if value[0] == "[" and value[-1] == "]":
        if "'" in value or '"' in value:
            return argument
        value = value[1:-1]
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", value)
    return f"units='{escaped}'"


def _last_words(error: BaseException, name: str) -> tuple[str, int]:
    """What to say of the end of a run, and the exit status."""
    if isinstance(error, Interrupted):
        return str(error), 128 + error.signal
    if isinstance(error, KeyboardInterrupt):
        return "stopped before there was anything to save", 130
    if not isinstance(error, UserError):
        if not isinstance(error.__cause__, UserError):
            return f"error: {_explain(error, name)}", 2
        error = error.__cause__
    # What a data worker raises comes with the worker's traceback; the last line is ours.
    return f"error: {str(error).strip().splitlines()[-1].removeprefix('dgn.errors.UserError: ')}", 2


def _end(message: str, status: int) -> None:
    print(message, file=sys.stderr)
    sys.exit(status)


def _explain(error: Exception, name: str) -> str:
    """Hydra's message in one line, with the nearest key for one that there is not."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(("full_key", "object_type", "reference_type"))]
    said = "; ".join(dict.fromkeys(lines)) or type(error).__name__
    if match := re.search(r"Could not override '([^']+)'", said):
        known = list(_keys(OmegaConf.to_container(compose(name, []), resolve=False)))
        last = match[1].rsplit(".", 1)[-1]
        near = difflib.get_close_matches(match[1], known, 3) or [k for k in known if k.rsplit(".", 1)[-1] == last][:3]
        hint = f"did you mean {' or '.join(near)}?" if near else f"keys: {', '.join(k for k in known if '.' not in k)}"
        return f"no key {match[1]!r}; {hint} See python {name}.py --help"
    if "Missing mandatory value" in said:
        key = getattr(error, "full_key", None) or said.split(":")[-1].strip()
        return f"{key} is not given; set it with {key}=VALUE (see python {name}.py --help)"
    return f"{said}; see python {name}.py --help"


def _keys(tree: dict[str, Any], prefix: str = "") -> Iterable[str]:
    for key, value in tree.items():
        yield prefix + str(key)
        if isinstance(value, dict):
            yield from _keys(value, f"{prefix}{key}.")
