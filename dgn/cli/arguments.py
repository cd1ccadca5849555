"""Converts the arguments of a user to the syntax of Hydra."""

import re
from collections.abc import Sequence
from pathlib import Path

from hydra._internal.utils import get_args_parser

from dgn.cli.config_folders import use_own_configs
from dgn.cli.names import as_typed
from dgn.errors import UserError
from dgn.runs.programs import quoted


def hydra_arguments(typed: Sequence[str], positional: str | None = None) -> list[str]:
    """The arguments in Hydra's terms. --config-dir is applied here and left out.

    positional: the key whose list is made of the words that are neither KEY=VALUE nor flags, and of existing paths;
    None: there are none.
    Raises UserError for a folder of configs that does not exist and for method=[].
    """
    folder, arguments = _without_config_dir(typed)
    use_own_configs(folder)
    if positional is not None:
        arguments = _positional_as(positional, arguments)
    return [word for argument in arguments for word in _as_hydra_reads(argument)]


def _without_config_dir(typed: Sequence[str]) -> tuple[str | None, list[str]]:
    """The folder that --config-dir names (None: not given), and the other arguments."""
    folder, others = None, []
    arguments = iter(typed)
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        if flag not in ("--config-dir", "-cd"):
            others.append(argument)
            continue
        folder = value if equals else next(arguments, "")
    return folder, others


def _positional_as(key: str, arguments: list[str]) -> list[str]:
    """`RUN RUN KEY=VALUE` as `key=['RUN','RUN'] KEY=VALUE`: first, as Hydra takes no overrides behind its flags."""
    # Hydra's own parser tells them from the values of its flags, as of `--cfg job`.
    words = get_args_parser().parse_known_intermixed_args(arguments)[0].overrides
    values = [word for word in words if Path(word).exists() or ("=" not in word and not word.startswith("~"))]
    if not values:
        return arguments
    others = [argument for argument in arguments if argument not in values]
    return [f"{key}=[{','.join(map(quoted, values))}]", *others]


def _as_hydra_reads(argument: str) -> list[str]:
    """Converts `method=[a,b]`, which Hydra does not accept: the first is chosen from the group, the rest are listed."""
    if not (match := re.fullmatch(r"method=\[(.*)\]", argument)):
        return [_quoted(argument)]
    names = [name.strip() for name in match[1].split(",") if name.strip()]
    if not names:
        raise UserError("method=[] names no method; give for example method=[dgn_am,pixels]")
    return [f"method={names[0]}", f"methods=[{','.join(names[1:])}]"]


def _quoted(argument: str) -> str:
    """The argument quoted where Hydra would not read it as one value.

    `units=conv5:12@4,4` is one value here; Hydra would read a sweep over two, and does not accept softmax(fc8:house) in
    a list. What is quoted already is left as it is, in a list too.
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
