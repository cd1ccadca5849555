"""Where config files are found: in the package's own folder and, before it, in the user's (--config-dir)."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

from dgn.errors import UserError
from dgn.runs.programs import CONFIG_DIR, own_configs


def package_configs() -> Path:
    """The folder of dgn's own config files.

    It is inside the package where that is installed; in a checkout, and in an editable installation of it, it is the
    top-level conf/.
    """
    package = Path(__file__).resolve().parents[1]
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


def use_own_configs(folder: str | None) -> None:
    """Puts a folder before the package's from here on; None: the one that $DGN_CONFIG_DIR names, if it is set.

    Raises UserError where there is no such folder.
    """
    name, given = ("--config-dir", folder) if folder is not None else (CONFIG_DIR, os.environ.get(CONFIG_DIR))
    if given is None:
        return
    path = Path(given).expanduser()
    if not given or not path.is_dir():
        raise UserError(f"{name}={given}: no such folder; give one with config files, as docs/own-configs.md explains")
    os.environ[CONFIG_DIR] = str(path.resolve())


@contextmanager
def without_own_configs() -> Iterator[None]:
    """Within the block configs are the package's alone."""
    held = os.environ.pop(CONFIG_DIR, None)
    try:
        yield
    finally:
        if held is not None:
            os.environ[CONFIG_DIR] = held


def is_group(key: str) -> bool:
    """Whether a key of the command line names a config group: a folder with files to choose from."""
    return any((folder / key).is_dir() for folder in _folders())


def choices(group: str) -> list[str]:
    """The names of the files of a config group, sorted."""
    return sorted({path.stem for folder in _folders() for path in (folder / group).glob("*.yaml")})


def config_file(name: str) -> Path:
    """The file that Hydra reads for a config's name, as in "method/dgn_am". Raises UserError if there is none."""
    for folder in _folders():
        path = folder / f"{name}.yaml"
        if path.is_file():
            return path
    raise UserError(f"{name}.yaml: no such config file in {', '.join(map(str, _folders()))}")


def prepare_hydra() -> None:
    """Makes Hydra search the user's folder first, and Python search it last.

    What a config file names by `_target_` may be a module beside it. Also makes room for our files, and the user's, for
    launchers and sweepers: plugins register configs of their own under the same names, which Hydra would merge with
    them.
    """
    Plugins.instance().register(_OwnConfigsFirst)
    own = own_configs()
    if own is not None and str(own) not in sys.path:
        sys.path.append(str(own))
    for folder in _folders():
        for path in folder.glob("hydra/[ls]*/*.yaml"):
            ConfigStore.instance().repo.get("hydra", {}).get(path.parent.name, {}).pop(path.name, None)


class _OwnConfigsFirst(SearchPathPlugin):
    """Hydra puts the folder of --config-dir behind the program's, where a file of the same name would never be read."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        folder = own_configs()
        if folder is not None:
            search_path.prepend("own", f"file://{folder}")


def _folders() -> list[Path]:
    own = own_configs()
    return [package_configs()] if own is None else [own, package_configs()]
