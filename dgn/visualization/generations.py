"""The generations of searches without gradients, each in a file of its own as soon as it is scored.

A search is its generations: the codes and scores of all of them give the state of any evolution strategy, by telling
them to it again. So a search that was stopped, at whatever moment, goes on as if it had not been.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dgn.files import written_aside

log = logging.getLogger(__name__)

_HEADER, _METHOD = "dgn_generation", "dgn_method"
_SHOWN = 4
"""How many of the best images of a generation are kept."""


@dataclass(frozen=True)
class Generation:
    """What is shown of a generation of a search.

    Attributes:
        scores: (population,), NaN where there is none.
        images: uint8 (k, 3, H, W), its best, best first.
        best: (k,), their scores.
    """

    scores: Tensor
    images: Tensor
    best: Tensor


@dataclass(frozen=True)
class Generations:
    """A folder with a file for each generation of a batch of searches, as a `dgn.am.kept.Journal`.

    Attributes:
        folder: the folder; made with the first generation.
        searches: the names of the searches.
        about: what else these searches are; a file of others is not used.
        method: how they are called beside their names, for pages alone.
    """

    folder: Path
    searches: Sequence[str]
    about: str = ""
    method: str = ""

    def find(self, generation: int) -> tuple[Tensor, Tensor] | None:
        """Returns the candidates (N, population, ...) and their scores (N, population); None if they are not kept.

        A file of other searches is not used, nor one that is damaged.
        """
        kept = self._read(generation)
        if kept is None:
            return None
        header, candidates, scores = kept
        if header != self._header():
            log.warning("%s is of other searches, and is not used", self._path(generation))
            return None
        return candidates, scores

    def of_others(self) -> bool:
        """Whether the folder holds other searches."""
        kept = self._read(0)
        return kept is not None and kept[0] != self._header()

    def add(self, generation: int, candidates: Tensor, scores: Tensor, images: Tensor) -> None:
        """Keeps a generation, with the best images of each search. See `dgn.am.kept.Journal`."""
        count = min(_SHOWN, scores.shape[1])
        order = scores.nan_to_num(nan=-torch.inf).argsort(dim=1, descending=True, stable=True)[:, :count]
        own = images.unflatten(0, tuple(scores.shape))
        best = torch.stack([of_search[chosen] for of_search, chosen in zip(own, order, strict=True)])
        tensors = {
            "candidates": candidates.detach().float().cpu().contiguous(),
            "scores": scores.detach().float().cpu().contiguous(),
            "best": scores.gather(1, order).float().cpu().contiguous(),
            "images": best.float().clamp(0, 1).mul(255).round().byte().cpu().contiguous(),
        }
        with written_aside(self._path(generation)) as aside:
            save_file(tensors, aside, {_HEADER: json.dumps(self._header()), _METHOD: self.method})

    def load(self) -> list[list[Generation]]:
        """Returns what is shown of each search, generation by generation, up to one that cannot be read."""
        rows: list[list[Generation]] = [[] for _ in self.searches]
        for number in range(self.count()):
            try:
                with safe_open(self._path(number), framework="pt") as file:
                    parts = [file.get_tensor(name) for name in ("scores", "images", "best")]
            except (SafetensorError, OSError):
                break
            for row, values in zip(rows, zip(*parts, strict=True), strict=True):
                row.append(Generation(*values))
        return rows

    def count(self) -> int:
        """The number of generations that are kept."""
        count = 0
        while self._path(count).is_file():
            count += 1
        return count

    @property
    def began(self) -> int:
        """When the first generation was written, in nanoseconds of the file system's clock."""
        return self._path(0).stat().st_mtime_ns

    def _read(self, generation: int) -> tuple[dict[str, Any], Tensor, Tensor] | None:
        path = self._path(generation)
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                header = json.loads((file.metadata() or {})[_HEADER])
                # Copies: a view of the file is not aligned.
                return header, file.get_tensor("candidates").clone(), file.get_tensor("scores").clone()
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            log.warning("%s is damaged (%s); its generation is scored again", path, error)
            return None

    def _path(self, generation: int) -> Path:
        return self.folder / _name(generation)

    def _header(self) -> dict[str, Any]:
        return {"searches": list(self.searches), "about": self.about}


def kept_generations(folder: Path) -> Generations | None:
    """Returns the generations that a folder holds; None if the first cannot be read."""
    try:
        with safe_open(folder / FIRST, framework="pt") as file:
            metadata = file.metadata() or {}
        header = json.loads(metadata[_HEADER])
        return Generations(folder, header["searches"], header["about"], metadata.get(_METHOD, ""))
    except (SafetensorError, OSError, KeyError, ValueError):
        return None


def _name(generation: int) -> str:
    return f"{generation:04d}.generation"


FIRST = _name(0)
"""The file of a search's first generation, by which its folder is found."""
