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

    Attributes:
        paths: {(objective, shifted seed): the film's path from the run folder}.
    """

    def __init__(self, folder: Path, column: str, kind: str) -> None:
        self._folder, self._column, self._kind = folder, column, kind
        self.paths: dict[tuple[Objective, int], str] = {}

    def __call__(self, objective: Objective, seed: int, frames: Tensor) -> None:
        """Writes the film of a search from its frames, uint8 (T, 3, H, W)."""
        name = Path(image_name(str(objective), seed)).stem
        path = str(Path("films", self._column, f"{name}.{self._kind}").as_posix())
        save_animation(self._folder / path, frames.float() / 255)
        self.paths[objective, seed] = path
