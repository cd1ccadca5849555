"""The finished parts of a view (image=, view=), in its run's folder: a run that is stopped goes on after them."""

import io
import logging
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dgn.files import write_whole

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ViewStore:
    """A folder with a file for each finished part.

    A part consists of tensors, numbers, strings, lists, tuples and dictionaries: reading it executes no code.

    Attributes:
        folder: the folder; made with the first part.
    """

    folder: Path

    def find(self, name: str) -> Any | None:
        """Returns a part; None if it is not kept, or cannot be read."""
        path = self._path(name)
        if not path.is_file():
            return None
        try:
            return torch.load(path, weights_only=True)
        except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
            log.warning("%s is damaged (%s); it is made again", path, error)
            return None

    def add(self, name: str, part: Any) -> None:
        """Keeps a part."""
        buffer = io.BytesIO()
        torch.save(part, buffer)
        write_whole(self._path(name), buffer.getvalue())

    def find_or_make(self, name: str, make: Callable[[], Any]) -> Any:
        """Returns a part, which is made and kept if it was not."""
        part = self.find(name)
        if part is None:
            part = make()
            self.add(name, part)
        return part

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.pt"
