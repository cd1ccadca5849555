"""The films of an approach's searches."""

from pathlib import Path

from torch import Tensor

from dgn.am.objectives.algebra import Objective
from dgn.files import image_name
from dgn.report.animation import save_animation


class Films:
    """Writes a film of each search, as a `dgn.am.film.Film`.

    Args:
        folder: the run folder.
        column: the folder under films/ of the approach; "" if there is no other.
        kind: the format, e.g. "gif".

    """

    def __init__(self, folder: Path, column: str, kind: str) -> None:
        self._folder, self._column, self._kind = folder, column, kind

    def __call__(self, objective: Objective, seed: int, frames: Tensor) -> None:
        """Writes the film of a search from its frames, uint8 (T, 3, H, W)."""
        save_animation(self._folder / self._path(objective, seed), frames.float() / 255)

    def find(self, objective: Objective, seed: int) -> str | None:
        """Returns the path of a film from the run folder, by its objective and shifted seed; None if there is none."""
        path = self._path(objective, seed)
        return path if (self._folder / path).is_file() else None

    def _path(self, objective: Objective, seed: int) -> str:
        name = Path(image_name(str(objective), seed)).stem
        return Path("films", self._column, f"{name}.{self._kind}").as_posix()
