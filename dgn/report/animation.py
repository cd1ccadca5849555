"""A search as a film."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from dgn.data.images import image_grid, pictures
from dgn.errors import UserError
from dgn.files import written_aside

FORMATS = (".gif", ".webp", ".png", ".mp4")
HOLD = 1.5  # extra seconds for the last frame, the preferred image


def save_animation(
    path: str | Path, frames: Tensor, seconds: float = 6.0, most: int = 90, scale: int | None = None
) -> None:
    """Writes the images over the steps of a search as a film, atomically.

    Args:
        path: the suffix chooses the format. `.gif` opens everywhere, with 256 colours; `.webp` and `.png` (APNG) have
            true colours and open in any browser; `.mp4` is H.264, the smallest, and needs the extra `video`
            (`pip install 'dgn[video]'`).
        frames: float (T, 3, H, W) in image space, or (T, N, 3, H, W): N searches side by side.
        seconds: the film's length, excluding the last frame, which is shown 1.5 seconds longer. All formats but
            `.mp4` repeat.
        most: the maximum number of frames, evenly spaced, including the first and the last.
        scale: integer factor by which pictures are enlarged; None: until they are at least 128 pixels high.

    Raises:
        UserError: for another suffix, and for `.mp4` without the extra.
    """
    path = Path(path)
    if path.suffix not in FORMATS:
        raise UserError(f"a film cannot be written as {path.name!r}; its name ends in one of {' '.join(FORMATS)}")
    places = torch.linspace(0, len(frames) - 1, min(most, len(frames))).round().long()
    frames = frames[places]
    if frames.ndim == 5:
        frames = torch.stack([image_grid(images.float(), padding=max(1, images.shape[-2] // 32)) for images in frames])
    factor = scale or max(1, -(-128 // frames.shape[-2]))
    shots = list(pictures(frames))
    shots = [shot.resize((factor * shot.width, factor * shot.height), Image.Resampling.BICUBIC) for shot in shots]
    each = seconds / len(shots)
    with written_aside(path) as aside:
        if path.suffix == ".mp4":
            _write_mp4(aside, shots, each)
        else:
            _write_with_pillow(aside, path.suffix, shots, round(1000 * each))


def _write_with_pillow(path: Path, suffix: str, shots: Sequence[Image.Image], each: int) -> None:
    # Browsers slow down frames shorter than 20 ms, and GIF durations are in hundredths of a second.
    times = [max(20, each)] * (len(shots) - 1) + [max(20, each) + round(1000 * HOLD)]
    kinds: dict[str, dict[str, Any]] = {
        ".gif": dict(format="GIF"),
        ".webp": dict(format="WEBP", quality=85),
        ".png": dict(format="PNG"),
    }
    first, *rest = shots
    first.save(path, save_all=True, append_images=rest, duration=times, loop=0, **kinds[suffix])


def _write_mp4(path: Path, shots: Sequence[Image.Image], each: float) -> None:
    try:
        import av
    except ImportError:
        raise UserError("mp4 needs the extra `video`: pip install 'dgn[video]'; a .gif needs nothing") from None
    rate = Fraction(1 / each).limit_denominator(1000)
    width, height = (side + side % 2 for side in shots[0].size)  # H.264 subsamples colours by 2 x 2 pixels
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as film:
        stream = film.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": "18"}
        for shot in [*shots, *[shots[-1]] * round(HOLD / each)]:
            page = Image.new("RGB", (width, height), "white")
            page.paste(shot)
            film.mux(stream.encode(av.VideoFrame.from_image(page)))
        film.mux(stream.encode())
