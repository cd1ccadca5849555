"""hydra/sweeper=random: settings drawn at random from a search space (Hydra finds sweepers in `hydra_plugins`).

The space is written in Hydra's own sweep language, in hydra.sweeper.params or on the command line:

    choice(a,b,c) or a,b,c     one of these
    interval(0.1,10)           a number between
    tag(log,interval(1,100))   a number between, evenly on a logarithmic scale
    int(interval(20,200))      a whole number between
    range(1,10)                one of these numbers

Which settings come out is a function of the seed, so that the same command with resume=auto means the same jobs.
Optuna's RandomSampler is not used: its plugin is an optional dependency, and chooses a job's settings when its turn
comes, so that a multirun's jobs would not be known before the first one.
"""

import math
import random
from collections.abc import Mapping
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException


class RandomSweeper(BasicSweeper):
    """samples: how many jobs. seed: of the drawing. params: {key: its space}. max_batch_size: as Hydra's own."""

    def __init__(
        self, samples: int, seed: int = 0, params: Mapping[str, Any] | None = None, max_batch_size: int | None = None
    ) -> None:
        super().__init__(max_batch_size, dict(params or {}))
        if samples < 1:
            raise HydraException(f"hydra.sweeper.samples={samples} must be at least 1")
        self.samples, self.seed = samples, seed

    def split_arguments(  # type: ignore[override]  # Hydra declares it static, and calls it on the sweeper
        self, overrides: list[Override], max_batch_size: int | None
    ) -> list[list[list[str]]]:
        """The overrides of each job, in batches. What the command line says of a key takes the place of params."""
        last = {override.get_key_element(): override for override in overrides}
        draw = random.Random(self.seed)
        jobs = [[f"{key}={_drawn(override, draw)}" for key, override in last.items()] for _ in range(self.samples)]
        return list(self.split_overrides_to_chunks(jobs, max_batch_size))


def _drawn(override: Override, draw: random.Random) -> str:
    if not override.is_sweep_override():
        return override.get_value_element_as_str()
    if override.is_discrete_sweep():
        return draw.choice(list(override.sweep_string_iterator()))
    sweep = override.value()
    if not isinstance(sweep, IntervalSweep):
        raise HydraException(f"hydra/sweeper=random cannot draw from {override.input_line}; use interval or choice")
    if sweep.start is None or sweep.end is None:
        raise HydraException(f"{override.input_line}: an interval needs a beginning and an end")
    low, high = float(sweep.start), float(sweep.end)
    if "log" in sweep.tags:
        if low <= 0:
            raise HydraException(f"{override.input_line}: an interval on a logarithmic scale begins above 0")
        value = math.exp(draw.uniform(math.log(low), math.log(high)))
    else:
        value = draw.uniform(low, high)
    whole = isinstance(sweep.start, int) and isinstance(sweep.end, int)
    return str(round(value)) if whole else f"{value:.4g}"
