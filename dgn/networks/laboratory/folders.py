"""A laboratory as a target: blocks of images in a folder, and a file of scores for each (XDream's loop).

    FOLDER/block_0003/0000.png ...       the images of block 3, in the order in which they are to be presented
    FOLDER/block_0003/order.csv          what each is: file, image (its number in the search), repeat, kind
    FOLDER/block_0003.csv                the scores that the experiment writes (or .npy, .h5, .mat)

A block appears whole, by one renaming. A block whose images are there already is not written again: a search that was
stopped waits for the same block when it goes on.
"""

import csv
import hashlib
import io
import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dgn.data.images import EXTENSIONS, read_image, save_png
from dgn.errors import UserError
from dgn.networks.laboratory.black_box import BlackBox, channel_names
from dgn.networks.laboratory.canvas import Canvas
from dgn.networks.laboratory.score_files import SUFFIXES, Scores, read_scores

log = logging.getLogger(__name__)

_ORDER, _DIGEST = "order.csv", ".digest"


@dataclass(frozen=True)
class Presentation:
    """How a block is presented.

    Attributes:
        repeats: how often each image is shown; its score is the mean over the repeats that were not missed.
        shuffle: whether the order is random.
        controls: a folder of images that are shown among those of every block; None: there are none.
        seed: of the random order.
    """

    repeats: int = 1
    shuffle: bool = True
    controls: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.repeats, bool) or not isinstance(self.repeats, int) or self.repeats < 1:
            raise UserError(f"target.repeats={self.repeats}: give how often each image is shown, at least 1")


class FolderScorer:
    """Scores images by an experiment that reads blocks of them from a folder.

    Args:
        folder: the folder; made if it does not exist.
        channels: names of the scores.
        presentation: how a block is presented.
        canvas: how an image is.
        poll: seconds between two looks for a file of scores.
        timeout: seconds to wait for it; None: no limit.

    Raises:
        UserError: if the control images are not found.
    """

    repeatable = False

    def __init__(
        self,
        folder: str | Path,
        channels: Sequence[str],
        presentation: Presentation | None = None,
        canvas: Canvas | None = None,
        poll: float = 1.0,
        timeout: float | None = None,
    ) -> None:
        self.folder, self.channels, self.name = Path(folder), tuple(channels), str(folder)
        self.presentation, self.canvas = presentation or Presentation(), canvas or Canvas()
        self.poll, self.timeout = poll, timeout
        self._controls = _control_images(self.presentation.controls)

    def __call__(self, images: Tensor) -> Tensor:
        shown = self.canvas.show(images)
        block = self._block(shown)
        kinds = _read_order(block / _ORDER)
        scores = self._wait(block, [row["file"] for row in kinds])
        wanted = np.full((self.presentation.repeats, len(images), len(self.channels)), np.nan)
        controls = []
        for row, values in zip(kinds, scores, strict=True):
            if row["kind"] == "control":
                controls.append(values)
            else:
                wanted[int(row["repeat"]), int(row["image"])] = values
        means = _mean(wanted)
        _report(block.name, means, controls)
        return torch.from_numpy(means.astype(np.float32))

    def _block(self, shown: Tensor) -> Path:
        """Returns the block of these images: the one that has them, or a new one."""
        bytes_ = shown.mul(255).round().byte()
        digest = hashlib.sha256(f"{tuple(bytes_.shape)}".encode() + bytes_.numpy().tobytes()).hexdigest()
        blocks = sorted(path for path in self.folder.glob("block_[0-9]*") if path.is_dir())
        for block in blocks:
            if (block / _DIGEST).is_file() and (block / _DIGEST).read_text(encoding="utf-8") == digest:
                return block
        number = int(blocks[-1].name.removeprefix("block_")) + 1 if blocks else 0
        block = self.folder / f"block_{number:04d}"
        self._write(block, shown, digest, number)
        return block

    def _write(self, block: Path, shown: Tensor, digest: str, number: int) -> None:
        aside = block.with_name(f".{block.name}.part")
        shutil.rmtree(aside, ignore_errors=True)
        try:
            aside.mkdir(parents=True)
        except OSError as error:
            raise UserError(f"target.folder={self.folder}: cannot write there ({error.strerror})") from None
        entries = [("evolved", i, repeat) for repeat in range(self.presentation.repeats) for i in range(len(shown))]
        entries += [("control", i, 0) for i in range(len(self._controls))]
        order = np.arange(len(entries))
        if self.presentation.shuffle:
            order = np.random.default_rng([self.presentation.seed, number]).permutation(len(entries))
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["file", "image", "repeat", "kind"])
        for position, at in enumerate(order):
            kind, image, repeat = entries[at]
            name = f"{position:04d}.png"
            picture = shown[image] if kind == "evolved" else self.canvas.show(self._controls[image][None])[0]
            save_png(picture, aside / name)
            rows.writerow([name, image, repeat, kind])
        (aside / _ORDER).write_text(text.getvalue(), encoding="utf-8")
        (aside / _DIGEST).write_text(digest, encoding="utf-8")
        aside.rename(block)
        log.info("%s: %d images; waiting for %s", block, len(entries), self._expected(block))

    def _wait(self, block: Path, files: Sequence[str]) -> Scores:
        """Returns the scores of a block's images as soon as there are any that can be read."""
        began, complained = time.monotonic(), None
        seen = None
        while True:
            path = next((p for s in SUFFIXES if (p := block.with_name(block.name + s)).is_file()), None)
            if path is not None:
                stat = path.stat()
                state = (path, stat.st_mtime_ns, stat.st_size)
                try:
                    return read_scores(path, files, len(self.channels))
                except UserError as error:
                    # A file that is still being written changes; one that stays as it is, is wrong.
                    if state == seen and state != complained:
                        log.warning("%s; waiting for another in its place", error)
                        complained = state
                    seen = state
            if self.timeout is not None and time.monotonic() - began > self.timeout:
                raise UserError(
                    f"no scores of {block} within {self.timeout:g} s (target.timeout): {self._expected(block)} is "
                    "missing; resume the search when it is there"
                )
            time.sleep(self.poll)

    def _expected(self, block: Path) -> str:
        return f"{block}.csv (or {', '.join(SUFFIXES[1:])})"


def folder_target(
    folder: str | None = None,
    scores: int | Sequence[str] = 1,
    repeats: int = 1,
    shuffle: bool = True,
    controls: str | None = None,
    canvas: Canvas | None = None,
    poll: float = 1.0,
    timeout: float | None = None,
    seed: int = 0,
    **_: Any,
) -> BlackBox:
    """Makes a target of an experiment that reads blocks of images from a folder.

    Arguments as for `FolderScorer` and `Presentation`, and the number or the names of the scores.

    Raises:
        UserError: if no folder is named.
    """
    if not folder:
        raise UserError("which folder? give target.folder=FOLDER, where the experiment reads images and writes scores")
    presentation = Presentation(repeats, shuffle, controls, seed)
    return BlackBox(FolderScorer(folder, channel_names(scores), presentation, canvas, poll, timeout))


def _control_images(folder: str | None) -> list[Tensor]:
    if folder is None:
        return []
    paths = sorted(path for path in Path(folder).glob("*") if path.suffix.lower() in EXTENSIONS)
    if not paths:
        raise UserError(f"target.controls={folder}: no images there; give a folder of images, or null")
    return [read_image(path).contiguous().float().div(255) for path in paths]


def _read_order(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _mean(values: Scores) -> Scores:
    """The mean over the first axis, without missed entries; NaN where all are missed."""
    known = np.isfinite(values)
    count = known.sum(0)
    total = np.where(known, values, 0).sum(0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _report(block: str, scores: Scores, controls: Sequence[Scores]) -> None:
    known = np.logical_and.reduce(np.isfinite(scores), axis=1)
    line = f"{block}: no image was scored"
    if known.any():
        line = f"{block}: mean score {scores[known, 0].mean():.4g}, best {scores[known, 0].max():.4g}"
    if controls:
        shown = np.stack(controls)[:, 0]
        if np.isfinite(shown).any():
            line += f", control images {np.nanmean(shown):.4g}"
    if not known.all():
        line += f"; {int((~known).sum())} of {len(known)} images missed"
    log.info("%s", line)
