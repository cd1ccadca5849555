"""The folders of config files: the user's (--config-dir), which is searched first, and the package's own."""

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
    """Returns the folder of dgn's own config files.

    An installed package contains it; in a checkout, also one that is installed with `-e`, it is the top-level conf/.
    """
    package = Path(__file__).resolve().parents[1]
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


def use_own_configs(folder: str | None) -> None:
    """Makes config files of a folder take precedence over the package's, in this process and its children.

    Args:
        folder: The folder; None: $DGN_CONFIG_DIR, if it is set.

    Raises:
        UserError: If the folder does not exist.
    """
    name, value = ("--config-dir", folder) if folder is not None else (CONFIG_DIR, os.environ.get(CONFIG_DIR))
    if value is None:
        return
    path = Path(value).expanduser()
    if not value or not path.is_dir():
        raise UserError(f"{name}={value}: no such folder; give one with config files, as docs/own-configs.md explains")
    os.environ[CONFIG_DIR] = str(path.resolve())


@contextmanager
def without_own_configs() -> Iterator[None]:
    """Ignores the user's folder of configs within the block."""
    folder = os.environ.pop(CONFIG_DIR, None)
    try:
        yield
    finally:
        if folder is not None:
            os.environ[CONFIG_DIR] = folder


def is_group(key: str) -> bool:
    """Whether a key of the command line is a config group (a folder of config files)."""
    return any(os.path.isdir(folder / key) for folder in _folders())  # Path.is_dir() raises for names that are too long


def choices(group: str) -> list[str]:
    """Returns the names of the files of a config group, sorted."""
    return sorted({path.stem for folder in _folders() for path in (folder / group).glob("*.yaml")})


def config_exists(name: str) -> bool:
    """Whether the package has a config of that name, as in "local/default"."""
    return (package_configs() / f"{name}.yaml").is_file()


def config_file(name: str) -> Path:
    """The file that Hydra reads for a config's name, as in "method/dgn_am". Raises UserError if there is none."""
    for folder in _folders():
        path = folder / f"{name}.yaml"
        if path.is_file():
            return path
    raise UserError(f"{name}.yaml: no such config file in {', '.join(map(str, _folders()))}")


def prepare_hydra() -> None:
    """Makes Hydra search the user's folder first, and Python search it last, for modules that `_target_` names.

    Also removes configs that plugins register for launchers and sweepers under the names of config files, because
    Hydra would merge them with the files.
    """
    Plugins.instance().register(_OwnConfigsFirst)
    folder = own_configs()
    if folder is not None and str(folder) not in sys.path:
        sys.path.append(str(folder))
    for folder in _folders():
        for path in folder.glob("hydra/[ls]*/*.yaml"):
            ConfigStore.instance().repo.get("hydra", {}).get(path.parent.name, {}).pop(path.name, None)


class _OwnConfigsFirst(SearchPathPlugin):
    """Searches the user's folder first. Hydra itself would search it last, and ignore files with a name of ours."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        folder = own_configs()
        if folder is not None:
            search_path.prepend("own", f"file://{folder}")


def _folders() -> list[Path]:
    folder = own_configs()
    return [package_configs()] if folder is None else [folder, package_configs()]
