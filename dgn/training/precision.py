"""trainer.precision: the precision of the layers of the networks during training (`dgn.networks.precision`)."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, Protocol

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from pytorch_lightning.plugins import Precision
from torch import Tensor, nn

from dgn.devices import device_of_accelerator
from dgn.errors import UserError
from dgn.networks.precision import low_precision
from dgn.training.accumulation import parts
from dgn.training.distributed import processes

log = logging.getLogger(__name__)

Name = Literal["32-true", "bf16-mixed", "bf16-trained"]
FULL: Name = "32-true"
LOW: Name = "bf16-mixed"
TRAINED: Name = "bf16-trained"
"""bf16 in the networks that are trained, float32 in encoder and comparator."""
_NAMES: dict[str, Name] = {"32": FULL, "32-true": FULL, "bf16": LOW, "bf16-mixed": LOW, "bf16-trained": TRAINED}
"""Lightning's names, and ours."""
SECONDS, ROUNDS = 4.0, 5
"""How long `MeasuredPrecision` measures, and how often at most. Each precision is measured at least once."""
GAIN = 0.95
"""bf16 is chosen if it takes at most this share of float32's time: it is less exact."""


class OwnLayers(Precision):
    """Lightning precision plugin: only the layers of our networks compute in low precision.

    Lightning's `MixedPrecision` runs the whole step under autocast, including losses and resizing. Validation is in
    float32, like every use of the prior.
    """

    precision: Any = FULL  # a `Name`; Lightning types its own names, without ours

    def __init__(self, name: Name | None) -> None:
        """Makes the plugin. `name`: the precision; None: float32 until `MeasuredPrecision` sets it."""
        self.precision = name or FULL
        self.words = name or "precision measured at the first step"

    @contextmanager
    def train_step_context(self) -> Iterator[None]:
        with computing_in(self.precision):
            yield


class Rehearsed(Protocol):
    """A LightningModule whose passes can be measured."""

    def rehearse(self, batch: tuple[Tensor, ...]) -> None:
        """Runs its networks forward and backward on a batch as a step does, and changes no parameter."""


class MeasuredPrecision(pl.Callback):
    """trainer.precision=auto: measures the passes of the first step in both precisions, and takes the faster one.

    All processes take the choice of the slowest of them. A resumed run keeps the choice, which checkpoints hold.

    Args:
        plugin: The precision that is set.
        measure: Returns how many seconds a function takes (`seconds_of`).
    """

    def __init__(self, plugin: OwnLayers, measure: Callable[[Callable[[], None], torch.device], float] | None = None):
        self.plugin, self.measure = plugin, measure or seconds_of
        self.chosen: Name | None = None

    def state_dict(self) -> dict[str, Any]:
        return {"precision": self.chosen}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.chosen = _NAMES.get(str(state_dict.get("precision")))

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.chosen is not None:
            self.plugin.precision = self.chosen
            log.info("Training in %s, as before it was resumed", self.chosen)

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if self.chosen is not None:
            return
        with _unchanged(pl_module):
            part = next(iter(parts(batch, pl_module.learning.accumulate)))
            times = fastest(lambda: pl_module.rehearse(part), pl_module.device, self.measure)
        quickest = min((LOW, TRAINED), key=times.__getitem__)
        self.plugin.precision = self.chosen = quickest if times[quickest] <= GAIN * times[FULL] else FULL
        log.info(
            "Training in %s: forward and backward passes of a batch take %.3g s in float32, %.3g s in bf16, and %.3g s "
            "with encoder and comparator in float32 (trainer.precision=32-true, bf16-mixed or bf16-trained sets it)",
            self.chosen,
            times[FULL],
            times[LOW],
            times[TRAINED],
        )


def fastest(
    passes: Callable[[], None],
    device: torch.device,
    measure: Callable[[Callable[[], None], torch.device], float],
) -> dict[Name, float]:
    """Returns the least seconds that passes take in each precision.

    They are measured in turn, so that other processes on the machine slow all, and after a first pass that is not
    counted unless it takes long. Of several processes, the slowest counts.
    """
    began = time.perf_counter()
    times: dict[Name, list[float]] = {FULL: [], LOW: [], TRAINED: []}
    for _ in range(1 + ROUNDS):
        for name, measured in times.items():
            with computing_in(name):
                measured.append(measure(passes, device))
        if _any_process_is_late(time.perf_counter() - began > SECONDS, device):
            break
    kept = {name: measured[1:] or measured for name, measured in times.items()}
    slowest = torch.tensor([min(measured) for measured in kept.values()], dtype=torch.float32, device=device)
    if processes()[1] > 1:
        dist.all_reduce(slowest, dist.ReduceOp.MAX)
    return dict(zip(kept, slowest.tolist(), strict=True))


def seconds_of(function: Callable[[], None], device: torch.device) -> float:
    """Returns how many seconds a function takes on a device."""
    _wait(device)
    began = time.perf_counter()
    function()
    _wait(device)
    return time.perf_counter() - began


@contextmanager
def computing_in(precision: Name) -> Iterator[None]:
    """Context in which the layers of networks compute in a precision."""
    with low_precision(None if precision == FULL else torch.bfloat16, fixed=precision == LOW):
        yield


def resolve_precision(precision: str | int, accelerator: str = "auto") -> Name | None:
    """Returns the precision to train in, one of `Name`; None: it is to be measured.

    `auto` is measured on GPUs of compute capability 8 or higher and on CPUs with AMX or AVX512-BF16. Elsewhere it is
    "32-true", as on mps: emulated bf16 is slower than float32.

    Raises:
        UserError: If the precision is not supported.
    """
    if precision == "auto":
        return None if has_bf16(device_of_accelerator(accelerator).type) else FULL
    if str(precision) in _NAMES:
        return _NAMES[str(precision)]
    if str(precision).startswith("16"):
        raise UserError(
            f"trainer.precision={precision}: float16 would need scaled losses, which the training steps do not have; "
            f"give {LOW} or {TRAINED} (any processor, and GPUs from compute capability 8), {FULL} or auto"
        )
    raise UserError(f"trainer.precision={precision} is not known; give auto, {LOW}, {TRAINED} or {FULL}")


def precision_plugin(precision: str | int, accelerator: str = "auto") -> tuple[OwnLayers, list[pl.Callback]]:
    """Returns the plugin of a precision, and the callback that measures it if it is to be measured.

    Raises:
        UserError: If the precision is not supported.
    """
    name = resolve_precision(precision, accelerator)
    plugin = OwnLayers(name)
    return plugin, [MeasuredPrecision(plugin)] if name is None else []


def has_bf16(device: str) -> bool:
    """Returns whether a device, "cuda", "mps" or "cpu", has instructions for bf16."""
    if device == "cuda":
        return torch.cuda.get_device_capability()[0] >= 8
    if device == "mps":
        return False
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


@contextmanager
def _unchanged(module: nn.Module) -> Iterator[None]:
    """Restores buffers, which passes of batch and spectral normalization change, and random states."""
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    device = next(module.parameters()).device
    accelerators = [device] if device.type != "cpu" else []
    with torch.random.fork_rng(accelerators):  # of the CPU and these; mps is not measured
        yield
    with torch.no_grad():
        for name, buffer in module.named_buffers():
            buffer.copy_(before[name])


def _any_process_is_late(late: bool, device: torch.device) -> bool:
    """All processes end their measurement together, as passes of several may wait for each other."""
    if processes()[1] == 1:
        return late
    flag = torch.tensor(float(late), device=device)
    dist.all_reduce(flag, dist.ReduceOp.MAX)
    return bool(flag)


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.get_device_module(device).synchronize(device)
