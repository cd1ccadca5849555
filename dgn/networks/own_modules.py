"""Modules in the folder of a user's code file: importable while that code runs, and only by that code.

Two files in two folders may each import a `utils`. Python keeps one module of that name per process; here each file
gets the module of its own folder.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn


class OwnModules:
    """The modules of one folder, and of the paths that the code there adds to sys.path."""

    def __init__(self, folder: Path) -> None:
        self._paths = [str(folder.absolute())]
        self._modules: dict[str, ModuleType] = {}
        self._names: dict[str, set[str]] = {}

    @contextmanager
    def importable(self) -> Iterator[None]:
        """Context in which the folder comes first in sys.path and its modules hide others of the same names.

        On exit, sys.path and sys.modules are restored, except for modules that were imported from elsewhere.
        """
        path_before = list(sys.path)
        sys.path[:0] = self._paths
        known, tops = set(sys.modules), {top for top in self._offers() if self._hides(top)}
        hidden = (
            {name: module for name, module in sys.modules.items() if name.partition(".")[0] in tops} if tops else {}
        )
        for name in hidden:
            del sys.modules[name]
        sys.modules.update(self._modules)
        try:
            yield
        finally:
            self._keep([name for name in sys.modules if name not in known or name in hidden], path_before)
            sys.modules.update(hidden)
            sys.path[:] = path_before

    def wrap(self, network: nn.Module) -> nn.Module:
        """Returns the network with a forward that can import the folder's modules when it is called."""
        importable = self.importable
        if "forward" in vars(network) or isinstance(network, torch.jit.ScriptModule):
            return network  # the class has no forward method to replace
        kind = type(network)
        forward = kind.forward

        def within(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            with importable():
                return forward(module, *args, **kwargs)

        network.__class__ = type(kind.__name__, (kind,), {"forward": within, "__module__": kind.__module__})
        return network

    def _keep(self, new: Sequence[str], path_before: Sequence[str]) -> None:
        """Moves the folder's own modules among the newly imported ones out of sys.modules."""
        self._paths += [entry for entry in sys.path if entry not in path_before and entry not in self._paths]
        ours = {name for name in new if "." not in name and self._is_own(sys.modules[name])}
        for name in new:
            if name in self._modules or name.partition(".")[0] in ours:
                self._modules[name] = sys.modules.pop(name)
                if _path_entry(self._modules[name]) in path_before:  # importable by everyone from there
                    sys.modules[name] = self._modules[name]

    def _offers(self) -> set[str]:
        """The names that can be imported from the folder."""
        for path in self._paths:
            if path not in self._names:
                entries = list(Path(path).iterdir()) if Path(path).is_dir() else []
                self._names[path] = {e.stem for e in entries if e.suffix == ".py" or e.is_dir()}
        return set().union(*self._names.values())

    def _hides(self, top: str) -> bool:
        """Whether the folder's module of that name must replace one that was loaded from elsewhere."""
        if top not in sys.modules or top in sys.stdlib_module_names or top == "dgn" or self._is_own(sys.modules[top]):
            return False
        packages = [Path(path, top) for path in self._paths]
        regular = any(path.with_name(f"{top}.py").is_file() or (path / "__init__.py").is_file() for path in packages)
        # A folder without __init__.py gives way to a regular module of that name elsewhere, as in Python.
        return regular or getattr(sys.modules[top], "__file__", None) is None

    def _is_own(self, module: ModuleType) -> bool:
        return _path_entry(module) in self._paths


def _path_entry(module: ModuleType) -> str:
    """The entry of sys.path in which a module was found; "" if there is none."""
    inside, file = list(getattr(module, "__path__", [])), getattr(module, "__file__", None)
    where = inside[0] if inside else file
    parents = Path(where).absolute().parents if where else ()
    depth = getattr(module, "__name__", "").count(".")
    return str(parents[depth]) if depth < len(parents) else ""
