"""Converts the arguments of a user to the syntax of Hydra."""

import re
from collections.abc import Sequence
from pathlib import Path

from hydra._internal.utils import get_args_parser

from dgn.cli.config_folders import choices, is_group, use_own_configs
from dgn.cli.names import as_typed
from dgn.errors import UserError
from dgn.runs.programs import quoted


def hydra_arguments(typed: Sequence[str], positional: str | None = None) -> list[str]:
    """Returns the arguments in Hydra's syntax. Applies --config-dir and removes it.

    Args:
        typed: The arguments of the command line.
        positional: The key that takes the list of arguments that are neither KEY=VALUE nor flags, and of existing
            paths; None: there are no such arguments.

    Raises:
        UserError: If the folder of configs does not exist, for method=[], or for no file of a group, as in data=null.
    """
    folder, arguments = _without_config_dir(typed)
    use_own_configs(folder)
    if positional is not None:
        arguments = _positional_as(positional, arguments)
    # Hydra's parser accepts no overrides after its flags.
    several = [argument for argument in arguments if argument in ("-m", "--multirun")]
    arguments = [argument for argument in arguments if argument not in several] + several
    return [converted for argument in arguments for converted in _as_hydra_reads(argument)]


def _without_config_dir(typed: Sequence[str]) -> tuple[str | None, list[str]]:
    """Returns the folder given with --config-dir (None if it was not given), and the remaining arguments."""
    folder, remaining = None, []
    arguments = iter(typed)
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        if flag not in ("--config-dir", "-cd"):
            remaining.append(argument)
            continue
        folder = value if equals else next(arguments, "")
    return folder, remaining


def _positional_as(key: str, arguments: list[str]) -> list[str]:
    """Converts `RUN RUN KEY=VALUE` to `key=['RUN','RUN'] KEY=VALUE`.

    The list is placed first because Hydra accepts no overrides after its flags.
    """
    # Hydra's parser distinguishes positional arguments from values of its flags (`--cfg job`).
    overrides = get_args_parser().parse_known_intermixed_args(arguments)[0].overrides
    values = [
        argument
        for argument in overrides
        if Path(argument).exists() or ("=" not in argument and not argument.startswith("~"))
    ]
    if not values:
        return arguments
    remaining = [argument for argument in arguments if argument not in values]
    return [f"{key}=[{','.join(map(quoted, values))}]", *remaining]


def _as_hydra_reads(argument: str) -> list[str]:
    """Converts `method=[a,b]`, which Hydra does not accept, to `method=a methods=[b]`; quotes other arguments."""
    key, _, value = argument.partition("=")
    if value == "null" and is_group(key):  # Hydra's own message does not name the key
        available = ", ".join(choices(key))
        raise UserError(f"{argument}: {key} is one of {available}; leave it out for the default")
    if not (match := re.fullmatch(r"method=\[(.*)\]", argument)):
        return [_quoted(argument)]
    names = [name.strip() for name in match[1].split(",") if name.strip()]
    if not names:
        raise UserError("method=[] names no method; give for example method=[dgn_am,pixels]")
    return [f"method={names[0]}", f"methods=[{','.join(names[1:])}]"]


def _quoted(argument: str) -> str:
    """Quotes an argument that Hydra would not parse as one value.

    `units=conv5:12@4,4` is one value here, but a sweep over two values for Hydra, which does not accept
    softmax(fc8:house) in a list either. Quoted values are not changed, also inside lists.
    """
    key, equals, value = argument.partition("=")
    if key != "units" or not equals or value[:1] in ("", "'", '"'):
        return as_typed(argument)
    if value[0] == "[" and value[-1] == "]":
        if "'" in value or '"' in value:
            return argument
        value = value[1:-1]
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", value)
    return f"units='{escaped}'"
