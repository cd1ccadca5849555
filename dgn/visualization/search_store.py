"""The finished searches of a run, in its folder: a run that is stopped shows them, and goes on after them."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dgn.am.objectives.algebra import Objective
from dgn.am.outcomes import Outcome
from dgn.am.preferred import Preferred, joined
from dgn.files import written_aside
from dgn.runs.folders import EVOLUTION, SEARCHES
from dgn.visualization.live_evolution import LiveGenerations

log = logging.getLogger(__name__)

_HEADER = "dgn_searches"
_TENSORS = ("images", "activations", "curve", "start_images", "start_activations")


@dataclass(frozen=True)
class SearchStore:
    """A folder with a file for each finished batch of searches, as a `dgn.am.kept.Kept`.

    Attributes:
        folder: the folder; made with the first batch.
        start: where these searches start, in words; kept with them.
        run: the run's folder, for the generations and the page of searches of targets that are no networks; None:
            nothing keeps them.
        method: how that page calls the method of these searches.
    """

    folder: Path
    start: str = ""
    run: Path | None = None
    method: str = ""

    def part(self, name: str) -> "SearchStore":
        """Returns the store of a part of the searches, in a folder below this one."""
        return replace(self, folder=self.folder / name)

    def journal(self, number: int, objectives: Sequence[Objective], seeds: Sequence[int]) -> LiveGenerations | None:
        """Returns what keeps the generations of a batch, and shows them on a page in the run's folder."""
        if self.run is None:
            return None
        names = [f"{objective}, seed {seed}" for objective, seed in zip(objectives, seeds, strict=True)]
        folder = self.run / EVOLUTION / self.folder.relative_to(self.run / SEARCHES) / f"{number:05d}"
        return LiveGenerations(folder, names, self.start, self.method, self.run, run=self.run / EVOLUTION)

    @property
    def batch_size(self) -> int | None:
        """The number of searches in the first batch; None if there is none."""
        first = _read(self._path(0))
        return None if first is None else len(first[0]["seeds"])

    @property
    def seconds(self) -> float:
        """How long the searches of all batches took, without those of parts."""
        return self._seconds("*.safetensors")

    @property
    def total_seconds(self) -> float:
        """How long the searches of all batches took, with those of parts."""
        return self._seconds("**/*.safetensors")

    def find(self, number: int, objectives: Sequence[Objective], seeds: Sequence[int]) -> Preferred | None:
        """Returns a batch; None if it is not kept, or if it is of other searches."""
        kept = _read(self._path(number))
        if kept is None or (kept[0]["objectives"], kept[0]["seeds"]) != ([str(o) for o in objectives], list(seeds)):
            return None
        return _as_preferred(*kept, objectives)

    def add(self, number: int, preferred: Preferred, seconds: float) -> None:
        """Writes a batch."""
        header = {
            "objectives": [str(objective) for objective in preferred.objectives],
            "seeds": preferred.seeds,
            "outcomes": [asdict(outcome) for outcome in preferred.outcomes],
            "tries": preferred.tries,
            "start": self.start,
            "seconds": seconds,
        }
        tensors = {name: getattr(preferred, name) for name in _TENSORS}
        with written_aside(self._path(number)) as aside:
            save_file(
                {name: tensor.contiguous() for name, tensor in tensors.items() if tensor is not None},
                aside,
                {_HEADER: json.dumps(header)},
            )

    def load(self, objectives: Sequence[Objective], seed: int) -> Preferred | None:
        """Returns all searches that are kept for these objectives, also those of its parts; None if there are none.

        Args:
            objectives: the objectives.
            seed: the number by which the kept seeds are shifted; the result has those that were asked for.
        """
        known = {str(objective): objective for objective in objectives}
        parts = []
        for header, tensors in filter(None, map(_read, self._paths("**/*.safetensors"))):
            if all(name in known for name in header["objectives"]):
                parts.append(_as_preferred(header, tensors, [known[name] for name in header["objectives"]]))
        if not parts:
            return None
        preferred = joined(parts, objectives)
        return replace(preferred, seeds=[shifted - seed for shifted in preferred.seeds])

    def _seconds(self, pattern: str) -> float:
        return sum(kept[0]["seconds"] for kept in map(_read, self._paths(pattern)) if kept is not None)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:05d}.safetensors"

    def _paths(self, pattern: str) -> list[Path]:
        return sorted(path for path in self.folder.glob(pattern) if not path.name.startswith("."))


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """Returns header and tensors of a batch; None if there is no file, or one that cannot be read."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            header = {"tries": None, **json.loads((file.metadata() or {})[_HEADER])}
            # Copies: a view of the file is not aligned, and on such memory some kernels add in another order.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 (not a dict)
        count = len(header["seeds"])
        header["tries"] = header["tries"] or [1] * count  # runs before searches were begun again
        sizes = [len(header[name]) for name in ("objectives", "outcomes", "tries")]
        sizes += [len(tensors["images"]), tensors["curve"].shape[1]]
        if any(size != count for size in sizes) or not isinstance(header["seconds"], float):
            raise ValueError("its parts are of different lengths")
        return header, tensors
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, IndexError) as error:
        log.warning("%s is damaged (%s); its searches are made again", path, error)
        return None


def _as_preferred(
    header: Mapping[str, Any], tensors: Mapping[str, Tensor], objectives: Sequence[Objective]
) -> Preferred:
    return Preferred(
        images=tensors["images"],
        activations=tensors["activations"],
        curve=tensors["curve"],
        objectives=list(objectives),
        seeds=list(header["seeds"]),
        outcomes=[Outcome(**outcome) for outcome in header["outcomes"]],
        starts=[header["start"]] * len(objectives),
        tries=list(header["tries"]),
        start_images=tensors.get("start_images"),
        start_activations=tensors.get("start_activations"),
    )
