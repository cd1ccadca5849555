"""Loads a state dict into a module, all of it or nothing, ignoring prefixes added by wrappers."""

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

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
    """Copies `state` into `module`, all of it or nothing.

    The names' prefix is chosen so that the most names fit those of module.state_dict(); marks of wrappers further
    inside ("features.module.0.weight", "_orig_mod") are dropped where the name fits only without them. Values take
    on the module's dtype and device. Counters that old files lack (num_batches_tracked) keep their value.

    source: what the weights are from, for messages. allow_missing, allow_unexpected: patterns as of fnmatch
    ("fc.*"; "*" for all) of the module's names that may stay unloaded and of the state's names that may be left
    aside. A name whose shape does not fit is let go if both allow it. What they let go is logged.

    Errors: UserError that lists what is missing, unexpected or of the wrong shape; the module is then unchanged.
    """
    targets = {name: value for name, value in module.state_dict().items() if isinstance(value, Tensor)}
    prefix, fitting = _fit_names(state, targets, source)
    misfits = {key: name for key, name in fitting.items() if not _fits(state[key], targets[name])}
    loaded = {name: state[key] for key, name in fitting.items() if key not in misfits}

    def allowed(patterns: Sequence[str], *names: str) -> bool:
        return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)

    def may_drop(key: str) -> bool:
        return allowed(allow_unexpected, key, key.removeprefix(prefix))

    missing = [
        name
        for name in targets.keys() - fitting.values()
        if not name.endswith("num_batches_tracked") and not allowed(allow_missing, name)
    ]
    unexpected = [
        key
        for key in state
        # n_averaged is the counter of torch.optim.swa_utils.AveragedModel, no weight of anything.
        if key not in fitting and not key.endswith("n_averaged") and not may_drop(key)
    ]
    wrong = [
        f"{name} {_describe(state[key])} for {_describe(targets[name])}"
        for key, name in misfits.items()
        if not (may_drop(key) and allowed(allow_missing, name))
    ]
    problems = [
        f"{len(names)} {what} ({listed(names)})"
        for what, names in (
            ("missing", sorted(missing)),
            ("unexpected", unexpected),
            ("of the wrong shape", wrong),
        )
        if names
    ]
    if problems or not loaded:
        dropped = f" after dropping the prefix {short(prefix)!r}" if prefix else ""
        raise UserError(
            f"{source} does not fit {type(module).__name__}{dropped}: {'; '.join(problems) or 'nothing is left'}; "
            "choose the network that these weights are of, or allow the names by pattern "
            "(allow_missing, allow_unexpected)"
        )
    kept = [n for n in targets if n not in loaded and not n.endswith("num_batches_tracked")]
    aside = [key for key in state if key not in fitting or key in misfits]
    if kept:
        log.warning("%s: %d of the network stay as they were drawn: %s", source, len(kept), listed(sorted(kept)))
    if aside := [key for key in aside if not key.endswith("n_averaged")]:
        log.warning("%s: %d of the file are left aside: %s", source, len(aside), listed(aside))
    with torch.no_grad():
        for name, value in loaded.items():
            targets[name].copy_(value)


def without_wrappers(name: str) -> str:
    """A tensor's name without the marks of DataParallel, torch.compile and the like."""
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


# What DataParallel, torch.compile, FSDP and activation checkpointing put into the names of what they wrap.
_WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}


def _fit_names(state: Mapping[str, Tensor], targets: Mapping[str, Tensor], source: str) -> tuple[str, dict[str, str]]:
    """The best prefix to drop, and which of the module's names (values) each name in `state` (keys) then is."""
    bare = {key: without_wrappers(key) for key in state}
    own = {without_wrappers(name): name for name in targets}
    if len(set(bare.values())) < len(state) or len(own) < len(targets):
        # Names that differ in a wrapper's mark only (an averaged and a plain copy): the marks mean something.
        bare, own = {key: key for key in state}, {name: name for name in targets}
    names: Counter[str] = Counter()
    shapes: Counter[str] = Counter()
    for key, name in bare.items():
        for start in (0, *(dot.end() for dot in re.finditer(r"\.", name))):
            if target := own.get(name[start:]):
                names[name[:start]] += 1
                shapes[name[:start]] += _fits(state[key], targets[target])
    if not names:
        raise UserError(
            f"{source} has no name in common with the network: it has {listed(state, 3)}, "
            f"the network {listed(targets, 3)}; choose the network that these weights are of"
        )
    best = max(names, key=lambda prefix: (names[prefix], shapes[prefix], not prefix))
    rivals = [prefix for prefix in names if (names[prefix], shapes[prefix]) == (names[best], shapes[best])]
    if best and len(rivals) > 1:
        under = listed((prefix.rstrip(".") for prefix in rivals), 20)
        raise UserError(f"{source} fits equally well under {under}: choose one with container=")
    return best, {
        key: own[name.removeprefix(best)]
        for key, name in bare.items()
        if name.startswith(best) and name.removeprefix(best) in own
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
