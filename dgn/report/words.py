"""Formatting for pages: numbers in three digits, counts, lists, names of configured objects, commands."""

import math
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from dgn.runs.programs import override


def known(value: float | None) -> TypeGuard[float]:
    """Whether the value is a finite number."""
    return value is not None and math.isfinite(value)


def number(value: float | None) -> str:
    """Formats a number in three digits, without an exponent if possible."""
    if not known(value):
        return "–"
    if value and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.2e}"
    digits = 2 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:.{max(0, digits)}f}"


def percentile(value: float | None) -> str:
    """Formats a percentile with one decimal, truncated: 100 only if the value exceeds that of every real image."""
    if not known(value):
        return "–"
    return "100" if value >= 100 else f"{math.floor(value * 10) / 10:.1f}"


def percent(share: float | None) -> str:
    """Formats a fraction, 0 .. 1, in whole percent."""
    return f"{100 * share:.0f}%" if known(share) else "–"


def counted(count: int, noun: str) -> str:
    """`1 unit`, `1,000 units`."""
    return f"{count} {noun}" if count == 1 else f"{count:,} {noun}s"


def listed(names: Sequence[str]) -> str:
    """Joins names as `a, b and c`; of more than four, the first three and the number of the others."""
    if len(names) > 4:
        return f"{', '.join(names[:3])} and {len(names) - 3} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def name_parts(name: str, width: int = 14) -> list[str]:
    """Splits a name of more than `width` characters behind its separators, where a line may break."""
    return re.split(r"(?<=[.:_(/])", name) if len(name) > width else [name]


def setting_name(setting: Any) -> str:
    """Returns the name of a configured object: its `name`, `network` or `path`, else the class name of its target."""
    if isinstance(setting, Mapping):
        named = next((setting[key] for key in ("name", "network", "path") if setting.get(key)), None)
        return str(named or str(setting.get("_target_", "")).rpartition(".")[2])
    if isinstance(setting, Sequence) and not isinstance(setting, str):
        return listed([setting_name(entry) for entry in setting])
    return str(setting or "")


def flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yields (dotted key, text) of each setting, depth first."""
    if isinstance(value, dict) and value:
        for name, entry in value.items():
            yield from flat(entry, f"{key}.{name}" if key else name)
    else:
        yield key, "" if value is None else str(value)


def command_for(command: str, objective: str, prior: Any = None) -> str:
    """Returns the command that shows a single objective, derived from the command of the run.

    The units are replaced, the run folder is removed, and the run's prior is named if the command did not name it.
    """
    try:
        arguments = shlex.split(command)
    except ValueError:  # not valid shell syntax: left unchanged
        return command
    kept = [argument for argument in arguments if not re.match(r"\+?(units|hydra\.run\.dir)=", argument)]
    if isinstance(prior, str) and prior and not any(argument.startswith("prior=") for argument in kept):
        kept.append(override("prior", prior))
    return shlex.join([*kept, override("units", objective)])
