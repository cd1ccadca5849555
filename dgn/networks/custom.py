"""Code that the user names: custom networks and generators. Code is never run because a file refers to it."""

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from dgn.errors import UserError
from dgn.networks.assemble import arguments, assemble
from dgn.networks.featurenet import FeatureNet
from dgn.networks.foreign_code import format_error
from dgn.networks.inputs import InputSpace
from dgn.networks.network_settings import NetworkSettings
from dgn.networks.own_modules import OwnModules


def custom(model: str | None = None, args: Mapping[str, Any] | None = None, **settings: Any) -> FeatureNet:
    """Builds a network from the user's own code.

    By default the network's input is image space: 0..1, mean 0, std 1, at the size of the data's images if data are
    given, else at any size; RGB, or as many channels as its first convolution takes.

    Args:
        model: `package.module:callable` or `path/to/file.py:callable`, relative to the working directory: a function
            or class that returns an nn.Module, or the module itself. The module takes (N, channels, H, W).
        args: Arguments of the callable.
        settings: Fields of `NetworkSettings`.

    Raises:
        UserError: If the code is not found, fails, or does not return an nn.Module.
    """
    given = NetworkSettings.from_keywords("custom", ("model", "args"), settings)
    if given.input_size is None and given.data_size is not None:
        size = given.data_size  # one number where it can be: it is what a user would write
        given = replace(given, input_size=size if isinstance(size, int) else list(size))
    if not model:
        raise UserError("which network? give model=package.module:callable or model=path/to/file.py:callable")
    args = arguments(args)
    where = absolute(model)
    return assemble(
        "custom", given, lambda _: make_module(model, args), InputSpace(), given.read(), {"model": where, "args": args},
        counts_classes=False,
    )  # fmt: skip


def make_module(model: str, args: Mapping[str, Any], offered: Mapping[str, Any] | None = None) -> nn.Module:
    """Makes a module by the code that the user names.

    Args:
        model: `package.module:callable` or `path/to/file.py:callable`, or a module itself.
        args: Arguments of the callable.
        offered: Further arguments, of which the callable gets those whose names are among its parameters.

    Raises:
        UserError: If the code is not found, fails, or does not return an nn.Module.
    """
    file, name = _parts(model)
    own = OwnModules(Path(file).parent if file.endswith(".py") else Path.cwd())
    with own.importable():
        value = _attribute(_imported(model, file), name, model, file)
        if isinstance(value, nn.Module):
            if args:
                raise UserError(f"model={model} is a module already and takes no args; name what makes it")
            return own.wrap(value)
        if not callable(value):
            raise UserError(f"model={model} is a {type(value).__name__}; name a function or class that gives a module")
        try:
            network = value(**(_taken(value, offered or {}) | dict(args)))
        except (Exception, SystemExit) as error:  # user code can raise anything
            raise UserError(f"model={model} cannot be made with args={dict(args)}: {format_error(error)}") from error
    if not isinstance(network, nn.Module):
        raise UserError(f"model={model} gave a {type(network).__name__}; it must give a torch.nn.Module")
    return own.wrap(network)


def named_function(name: str, key: str) -> Callable[..., Any]:
    """Returns the function that the user names: `package.module:name` or `path/to/file.py:name`.

    Args:
        name: The name.
        key: What the user has named it by, for messages.

    Raises:
        UserError: If it is not found, is no function, or if its module cannot be imported.
    """
    file, attribute = _parts(name, key)
    own = OwnModules(Path(file).parent if file.endswith(".py") else Path.cwd())
    with own.importable():
        function = _attribute(_imported(name, file, key), attribute, name, file, key)
    if not callable(function):
        raise UserError(f"{key}={name} is a {type(function).__name__}; name a function")

    def within(*args: Any) -> Any:
        with own.importable():
            return function(*args)

    return within


def absolute(model: str) -> str:
    """Returns the name of code that is valid from any working directory. Raises UserError if it is malformed."""
    file, name = _parts(model)
    return f"{Path(file).absolute()}:{name}" if file.endswith(".py") else model


def own_code(model: object) -> str:
    """Returns why a file that refers to the user's code is not opened with it."""
    return f"{model} is code of one's own, which no file runs by itself"


def find_named(model: str, code: Sequence[str]) -> str | None:
    """Returns the code that the user has named for the code that a file refers to, or None.

    It is the one of the same name; else, as files are moved, the only one of the same file name and callable, or the
    only one at all.

    Args:
        model: The name in the file.
        code: The names that the user has given.
    """
    names = list(dict.fromkeys(map(absolute, code)))
    alike = [name for name in names if Path(name).name == Path(model).name]
    for found in ([name for name in names if name == model], alike, names):
        if len(found) == 1:
            return found[0]
    return None


def _attribute(module: ModuleType, name: str, model: str, file: str, key: str = "model") -> Any:
    """The object of a dotted name in a module."""
    value: Any = module
    for part in name.split("."):
        if not hasattr(value, part):
            public = [known for known in vars(module) if not known.startswith("_") and callable(vars(module)[known])]
            raise UserError(f"{key}={model}: {file} has no {name!r}; it has {', '.join(public) or 'nothing to call'}")
        value = getattr(value, part)
    return value


def _taken(value: Any, offered: Mapping[str, Any]) -> dict[str, Any]:
    """The offered arguments that a callable takes by name."""
    try:
        names = inspect.signature(value).parameters
    except (TypeError, ValueError):  # some callables of C have no signature
        return {}
    return {key: argument for key, argument in offered.items() if key in names}


def _parts(model: str, key: str = "model") -> tuple[str, str]:
    file, colon, name = str(model).rpartition(":")
    if not colon or not file or not name or name.endswith((".py", "/")):
        raise UserError(f"{key}={model}: give package.module:callable or path/to/file.py:callable")
    return str(Path(file).expanduser()) if file.endswith(".py") else file, name


def _imported(model: str, file: str, key: str = "model") -> ModuleType:
    if not file.endswith(".py") and ("/" in file or Path(file).exists()):
        raise UserError(f"{key}={model}: {file} is not a Python file; give path/to/file.py:callable")
    if file.endswith(".py") and not Path(file).is_file():
        raise UserError(f"{key}={model}: no file {file} (working folder: {Path.cwd()})")
    try:
        if not file.endswith(".py"):
            return importlib.import_module(file)
        # A unique name per folder: classes look up their module by name.
        name = f"dgn_custom_{Path(file).stem}_{hashlib.sha256(str(Path(file).absolute()).encode()).hexdigest()[:8]}"
        spec = importlib.util.spec_from_file_location(name, file)
        if spec is None or spec.loader is None:
            raise ImportError(f"{file} cannot be loaded")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses and others look up their module
        spec.loader.exec_module(module)
        return module
    except ModuleNotFoundError as error:
        if error.name and file.startswith(error.name):
            raise UserError(f"{key}={model}: no module {error.name!r}; check its name, or give a file") from None
        raise UserError(f"{key}={model} cannot be imported: {format_error(error)}") from error
    except (Exception, SystemExit) as error:  # user code can raise anything
        raise UserError(f"{key}={model} cannot be imported: {format_error(error)}") from error
