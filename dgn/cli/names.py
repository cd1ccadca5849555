"""Keeps config values that are names of layers, labels or files exactly as typed."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf

from dgn.errors import UserError
from dgn.runs.programs import quoted

NAMES = (
    "layer",
    "layers",
    "view_layers",
    "facet_layer",
    "diversity_layer",
    "labels",
    "trunk",
    "image_column",
    "label_column",
    "connected",
    "convolutional",
)
"""Last parts of keys whose values are names (of layers, labels, columns) or lists of them, and never numbers."""
TOP_NAMES = ("nearest",)
"""The same for top-level keys only; in a method these keys are numbers."""

PATHS = (
    "prior",
    "code_prior",
    "resume",
    "start",
    "image",
    "hydra.run.dir",
    "hydra.sweep.dir",
    "data.root",
    "data.val_root",
)
PATHS_OF_NETWORKS = ("weights", "model")
"""Keys whose values are paths, at the top level and in networks. On the command line they may look like a number."""

_NUMBER = r"[+-]?(?:[\d_]*\.?[\d_]+\.?|[\d_]+\.[\d_]*)(?:[eE][+-]?\d+)?|[+-]?(?:inf|nan)|true|false"
_KEY = re.compile(r"\+{0,2}[\w./@-]+")


def as_typed(argument: str) -> str:
    """Quotes the value of an argument KEY=VALUE if Hydra would parse it to anything but the text that was typed.

    `encoder.layer=1.10` is the name of a layer and `prior=2024` a folder, but Hydra reads numbers;
    `prior=runs/epoch=3.ckpt` and `data.root=Bilder/Häuser (alt)` are paths that Hydra rejects. Quoted values are not
    changed.
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
    """Whether the value of a dotted key is a name or a list of names."""
    return key.rpartition(".")[2] in NAMES or key in TOP_NAMES


def _is_path(key: str) -> bool:
    role, _, last = key.rpartition(".")
    return key in PATHS or (last in PATHS_OF_NETWORKS and role in ("encoder", "comparator", "target", "judge"))


def with_names(config: DictConfig) -> DictConfig:
    """Converts names that YAML has read as integers to text, in place: `layer: 5` is layer "5".

    Raises:
        UserError: For a name that YAML has read as another number or a boolean: 1.10 becomes 1.1, so that the text
            of the file is unknown.
    """
    for key, node, entry in _leaves(config, ""):
        value = node[entry]
        if isinstance(value, bool | float) and not (key in TOP_NAMES and isinstance(value, bool)):
            raise UserError(f"{key}={value} is a number, but must be a name; put it in quotation marks: '{value}'")
        if isinstance(value, int) and not isinstance(value, bool):
            node[entry] = str(value)
    return config


def _leaves(node: Any, key: str) -> Iterator[tuple[str, Any, Any]]:
    """Yields (dotted key, container, entry) of every name in a config; skips missing values and interpolations."""
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
    """Quotes the parts of a value that look like numbers, in lists and sweeps too; null only in lists."""
    if re.match(r"(range|interval)\(", value) or "'" in value or '"' in value:
        return value
    pattern = f"{_NUMBER}|null" if value[0] == "[" else _NUMBER
    return re.sub(rf"(?<![^\[(,\s])({pattern})(?=\s*(?:[\]),]|$))", r"'\1'", value, flags=re.IGNORECASE)


def _parses(argument: str) -> bool:
    try:
        OverridesParser.create().parse_override(argument)
    except HydraException:
        return False
    return True
