"""Config values that are names of layers, labels or files, which are kept exactly as typed."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf

from dgn.errors import UserError
from dgn.runs.programs import quoted

NAMES = ("layer", "layers", "facet_layer", "diversity_layer", "labels", "image_column", "label_column")
"""Last parts of keys whose values are names (of layers, labels, columns), or lists of them, and never numbers."""
TOP_NAMES = ("nearest",)
"""The same of keys that stand alone: further down, as in a method, they are numbers."""

PATHS = ("prior", "code_prior", "resume", "start", "hydra.run.dir", "hydra.sweep.dir", "data.root", "data.val_root")
PATHS_OF_NETWORKS = ("weights", "model")
"""Keys whose values are paths, at the top and of networks: they may look like a number on the command line."""

_NUMBER = r"[+-]?(?:[\d_]*\.?[\d_]+\.?|[\d_]+\.[\d_]*)(?:[eE][+-]?\d+)?|[+-]?(?:inf|nan)|true|false"
_KEY = re.compile(r"\+{0,2}[\w./@-]+")


def as_typed(argument: str) -> str:
    """An argument KEY=VALUE, quoted where Hydra would read another value than the text that was typed.

    `encoder.layer=1.10` is a layer's name and `prior=2024` a folder, and to Hydra they are numbers;
    `prior=runs/epoch=3.ckpt` and `data.root=Bilder/Häuser (alt)` are paths, and to Hydra no value at all. What is
    quoted already is left as it is.
    """
    key, equals, value = argument.partition("=")
    if not equals or not _KEY.fullmatch(key) or not value or value[0] in "'\"{$":
        return argument
    name = key.lstrip("+")
    if is_name(name) or (_is_path(name) and "(" not in value):
        value = _quoted_numbers(value)
        argument = f"{key}={value}"
    if value[0] == "[":
        return argument
    if ("," in value and Path(value).expanduser().exists()) or not _parses(argument):
        text = f"{key}={quoted(value)}"
        return text if _parses(text) else argument
    return argument


def is_name(key: str) -> bool:
    """Whether a dotted key's value is a name, or a list of them."""
    return key.rpartition(".")[2] in NAMES or key in TOP_NAMES


def _is_path(key: str) -> bool:
    role, _, last = key.rpartition(".")
    return key in PATHS or (last in PATHS_OF_NETWORKS and role in ("encoder", "comparator", "target", "judge"))


def with_names(config: DictConfig) -> DictConfig:
    """The config with names that a file holds as whole numbers as text, in place: `layer: 5` is layer "5".

    Raises UserError for other numbers: 1.10 is read as 1.1, and which of the two was written is lost.
    """
    for key, node, entry in _leaves(config, ""):
        value = node[entry]
        if isinstance(value, bool | float) and not (key in TOP_NAMES and isinstance(value, bool)):
            raise UserError(f"{key}={value} is a number, and a name is meant; put it in quotation marks: '{value}'")
        if isinstance(value, int) and not isinstance(value, bool):
            node[entry] = str(value)
    return config


def _leaves(node: Any, key: str) -> Iterator[tuple[str, Any, Any]]:
    """(dotted key, container, entry) of every name in a config that is there and is no interpolation."""
    entries = list(node) if isinstance(node, DictConfig) else list(range(len(node)))
    for entry in entries:
        if OmegaConf.is_interpolation(node, entry) or OmegaConf.is_missing(node, entry):
            continue
        inner = f"{key}.{entry}".lstrip(".") if isinstance(node, DictConfig) else key
        value = node[entry]
        if isinstance(value, DictConfig | ListConfig):
            if isinstance(value, DictConfig) or is_name(inner):
                yield from _leaves(value, inner)
        elif is_name(inner):
            yield inner, node, entry


def _quoted_numbers(value: str) -> str:
    """The value, of which what looks like a number is quoted, in lists and sweeps too; null only in a list."""
    if re.match(r"(range|interval)\(", value) or "'" in value or '"' in value:
        return value
    words = f"{_NUMBER}|null" if value[0] == "[" else _NUMBER
    return re.sub(rf"(?<![^\[(,\s])({words})(?=\s*(?:[\]),]|$))", r"'\1'", value, flags=re.IGNORECASE)


def _parses(argument: str) -> bool:
    try:
        OverridesParser.create().parse_override(argument)
    except HydraException:
        return False
    return True
