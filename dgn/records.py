"""Reading the small files of JSON and YAML that runs leave, whole or damaged."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from dgn.errors import UserError, one_line

_MOST_VALUES, _DEEPEST = 1_000_000, 60
"""Limits of a YAML file: repeated references let a few lines stand for billions of values."""


def read_json(path: Path, what: str = "record") -> dict[str, Any]:
    """Reads a JSON object. `what`: what the file is, for the message. Raises UserError if it is not one."""
    tree = _read(path, json.loads, what)
    if not isinstance(tree, dict):
        raise _damaged(path, f"it holds a {type(tree).__name__}, not an object", what)
    return tree


def read_yaml(path: Path, what: str = "record", kind: type = dict) -> Any:
    """Reads a YAML file of plain values: a mapping, or a list with kind=list; an empty one if the file is empty.

    Args:
        path: The file.
        what: What it is, for the message.
        kind: dict or list.

    Raises:
        UserError: If it cannot be read, is of another kind, or its references stand for too many values.
    """
    tree = _read(path, yaml.safe_load, what)
    if tree is None:
        tree = kind()
    if not isinstance(tree, kind):
        raise _damaged(path, f"it holds a {type(tree).__name__}, not a {kind.__name__}", what)
    if not _is_small(tree):
        raise _damaged(path, "it refers to itself too often", what)
    return tree


def read_text(path: Path, what: str = "record") -> str:
    """Reads a text file. Raises UserError if it cannot be read."""
    text: str = _read(path, lambda text: text, what)
    return text


def _read(path: Path, parse: Callable[[str], Any], what: str) -> Any:
    try:
        return parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; check the file and its permissions") from None
    except (ValueError, RecursionError, OverflowError, yaml.YAMLError) as error:
        raise _damaged(path, one_line(error)[:200] or type(error).__name__, what) from None


def _damaged(path: Path, reason: str, what: str) -> UserError:
    return UserError(f"{path} is damaged: {reason}; restore the {what} from a copy, or remove it and run again")


def _is_small(tree: Any) -> bool:
    """Whether a tree has few enough values, counted as often as they are referred to."""
    waiting, count = [(tree, 0)], 0
    while waiting:
        node, depth = waiting.pop()
        count += 1
        if count > _MOST_VALUES or depth > _DEEPEST:
            return False
        if isinstance(node, Mapping):
            waiting += [(value, depth + 1) for value in node.values()]
        elif isinstance(node, list):
            waiting += [(value, depth + 1) for value in node]
    return True
