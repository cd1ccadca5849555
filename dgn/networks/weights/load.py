"""Loads a state dict into a module, completely or not at all, ignoring prefixes added by wrappers."""

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dgn.errors import UserError
from dgn.networks.weights.text import listed, short

log = logging.getLogger(__name__)


def load_state_dict(
    module: nn.Module,
    state: Mapping[str, Tensor],
    *,
    source: str,
    allow_missing: Sequence[str] = (),
    allow_unexpected: Sequence[str] = (),
) -> None:
    """Copies `state` into `module`, completely or not at all.

    The prefix with which the most names match those of module.state_dict() is removed. Names that wrappers insert
    ("features.module.0.weight", "_orig_mod") are removed if a name matches only without them. Values are converted to
    the module's dtype and device. Counters that old files lack (num_batches_tracked) keep their value.

    Args:
        module: The module; it is not changed if an error is raised.
        state: The named tensors.
        source: The name of the file for messages.
        allow_missing: Patterns (as in fnmatch: "fc.*", "*" for all) of names of the module that may be missing in
            `state`.
        allow_unexpected: Patterns of names in `state` that may be ignored. A name with the wrong shape is ignored if
            both allow it. Ignored and missing names are logged.

    Raises:
        UserError: If names are missing, unexpected or of the wrong shape; the message lists them.
    """
    targets = {name: value for name, value in module.state_dict().items() if isinstance(value, Tensor)}
    match = _match(state, targets, source)
    problems = _problems(match, state, targets, allow_missing, allow_unexpected)
    if problems or not match.loaded:
        dropped = f" after dropping the prefix {short(match.prefix)!r}" if match.prefix else ""
        raise UserError(
            f"{source} does not fit {type(module).__name__}{dropped}: {'; '.join(problems) or 'no weights are left'}; "
            "choose the network that these weights belong to, or allow the names by pattern "
            "(allow_missing, allow_unexpected)"
        )
    _log_ignored(match, state, targets, source)
    with torch.no_grad():
        for name, key in match.loaded.items():
            targets[name].copy_(state[key])


class _Match(NamedTuple):
    """How the names of a file correspond to those of a module.

    Attributes:
        prefix: The prefix that is removed from the file's names.
        names: {name in the file: name in the module}.
        misfits: The names in the file whose tensors do not fit the module's.
    """

    prefix: str
    names: dict[str, str]
    misfits: set[str]

    @property
    def loaded(self) -> dict[str, str]:
        """{name in the module: name in the file} of the tensors that fit."""
        return {name: key for key, name in self.names.items() if key not in self.misfits}


def _match(state: Mapping[str, Tensor], targets: Mapping[str, Tensor], source: str) -> _Match:
    prefix, names = _fit_names(state, targets, source)
    return _Match(prefix, names, {key for key, name in names.items() if not _fits(state[key], targets[name])})


def _problems(
    match: _Match,
    state: Mapping[str, Tensor],
    targets: Mapping[str, Tensor],
    allow_missing: Sequence[str],
    allow_unexpected: Sequence[str],
) -> list[str]:
    """Describes the names that are missing, unexpected or of the wrong shape and not allowed to be."""

    def may_drop(key: str) -> bool:
        return _matches(allow_unexpected, key, key.removeprefix(match.prefix))

    missing = [
        name
        for name in targets.keys() - match.names.values()
        if not name.endswith("num_batches_tracked") and not _matches(allow_missing, name)
    ]
    unexpected = [
        key
        for key in state
        # n_averaged is the counter of torch.optim.swa_utils.AveragedModel.
        if key not in match.names and not key.endswith("n_averaged") and not may_drop(key)
    ]
    wrong = [
        f"{name} {_describe(state[key])} for {_describe(targets[name])}"
        for key, name in match.names.items()
        if key in match.misfits and not (may_drop(key) and _matches(allow_missing, name))
    ]
    problems = (("missing", sorted(missing)), ("unexpected", unexpected), ("of the wrong shape", wrong))
    return [f"{len(names)} {problem} ({listed(names)})" for problem, names in problems if names]


def _matches(patterns: Sequence[str], *names: str) -> bool:
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


def _log_ignored(match: _Match, state: Mapping[str, Tensor], targets: Mapping[str, Tensor], source: str) -> None:
    loaded = match.loaded
    missing = [name for name in targets if name not in loaded and not name.endswith("num_batches_tracked")]
    ignored = [
        key for key in state if (key not in match.names or key in match.misfits) and not key.endswith("n_averaged")
    ]
    if missing:
        log.warning(
            "%s: %d tensors of the network keep their initial values: %s", source, len(missing), listed(sorted(missing))
        )
    if ignored:
        log.warning("%s: %d tensors of the file are ignored: %s", source, len(ignored), listed(ignored))


def without_wrappers(name: str) -> str:
    """Removes the parts that DataParallel, torch.compile and other wrappers insert into a tensor's name."""
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


# What DataParallel, torch.compile, FSDP and activation checkpointing insert into names.
_WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}


def _fit_names(state: Mapping[str, Tensor], targets: Mapping[str, Tensor], source: str) -> tuple[str, dict[str, str]]:
    """Returns the best prefix to remove, and {name in `state`: name in the module} after removing it."""
    bare = {key: without_wrappers(key) for key in state}
    module_names = {without_wrappers(name): name for name in targets}
    if len(set(bare.values())) < len(state) or len(module_names) < len(targets):
        # Names that differ only in a wrapper's part (an averaged and a plain copy) must be kept apart.
        bare, module_names = {key: key for key in state}, {name: name for name in targets}
    names: Counter[str] = Counter()
    shapes: Counter[str] = Counter()
    for key, name in bare.items():
        for start in (0, *(dot.end() for dot in re.finditer(r"\.", name))):
            if target := module_names.get(name[start:]):
                names[name[:start]] += 1
                shapes[name[:start]] += _fits(state[key], targets[target])
    if not names:
        raise UserError(
            f"{source} has no name in common with the network: it has {listed(state, 3)}, "
            f"the network {listed(targets, 3)}; choose the network that these weights belong to"
        )
    best = max(names, key=lambda prefix: (names[prefix], shapes[prefix], not prefix))
    rivals = [prefix for prefix in names if (names[prefix], shapes[prefix]) == (names[best], shapes[best])]
    if best and len(rivals) > 1:
        under = listed((prefix.rstrip(".") for prefix in rivals), 20)
        raise UserError(f"{source} fits equally well under {under}: choose one with container=")
    return best, {
        key: module_names[name.removeprefix(best)]
        for key, name in bare.items()
        if name.startswith(best) and name.removeprefix(best) in module_names
    }


def _fits(value: Tensor, target: Tensor) -> bool:
    return (
        value.shape == target.shape
        and value.is_floating_point() == target.is_floating_point()
        and value.layout == torch.strided
        and not (value.is_quantized or value.is_meta)
    )


def _describe(value: Tensor) -> str:
    dtype = "" if value.is_floating_point() else f"{str(value.dtype).removeprefix('torch.')} "
    return f"{dtype}{tuple(value.shape)}"
