import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from dgn.errors import UserError
from dgn.report import save_animation


def frames_of(path) -> list[np.ndarray]:
    return [np.asarray(frame.convert("RGB")).astype(int) for frame in ImageSequence.Iterator(Image.open(path))]


def search(steps: int, *shape: int) -> torch.Tensor:
    """From black to white in even steps."""
    return torch.linspace(0, 1, steps).view(steps, *[1] * (len(shape) + 1)).expand(steps, *shape[:-2], 3, *shape[-2:])


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_a_film_shows_every_step_and_holds_the_last(tmp_path, suffix):
    path = tmp_path / "films" / f"film{suffix}"
    save_animation(path, search(5, 20, 24), seconds=2, scale=2)
    frames = frames_of(path)
    assert [frame.shape for frame in frames] == [(40, 48, 3)] * 5
    assert [round(frame.mean()) for frame in frames] == pytest.approx([0, 64, 128, 191, 255], abs=3)
    film = Image.open(path)
    times = []
    for i in range(5):
        film.seek(i)
        film.load()
        times.append(film.info["duration"])
    assert times[:4] == [400] * 4
    assert times[4] == 1900
    assert film.info["loop"] == 0
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_long_searches_keep_the_first_and_the_last_step(tmp_path):
    save_animation(tmp_path / "film.gif", search(200, 8, 8), most=11)
    means = [round(frame.mean()) for frame in frames_of(tmp_path / "film.gif")]
    assert len(means) == 11
    assert (means[0], means[-1]) == (0, 255)
    assert np.diff(means) == pytest.approx(25.5, abs=2)


def test_several_searches_run_side_by_side(tmp_path):
    frames = torch.zeros(3, 4, 3, 128, 128)
    frames[:, 3] = 1
    save_animation(tmp_path / "film.gif", frames)
    last = frames_of(tmp_path / "film.gif")[-1]
    height, width, _ = last.shape
    assert height == width == 2 * 128 + 3 * 4
    assert last[height * 3 // 4, width * 3 // 4].tolist() == [255] * 3
    assert last[height // 4, width // 4].tolist() == [0] * 3


def test_small_pictures_are_enlarged_and_a_search_of_one_step_is_a_film_too(tmp_path):
    save_animation(tmp_path / "film.gif", search(1, 32, 32))
    (frame,) = frames_of(tmp_path / "film.gif")
    assert frame.shape == (128, 128, 3)


def test_mp4(tmp_path):
    av = pytest.importorskip("av")
    save_animation(tmp_path / "film.mp4", search(10, 33, 31), seconds=2, scale=1)
    with av.open(str(tmp_path / "film.mp4")) as film:
        stream = film.streams.video[0]
        assert stream.codec_context.name == "h264"
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(stream)]
        seconds = float(stream.duration * stream.time_base)
    assert frames[0].shape == (34, 32, 3)
    means = [frame[:32, :30].mean() for frame in frames]
    assert means[:10] == pytest.approx(np.linspace(0, 255, 10), abs=4)
    assert means[-1] == pytest.approx(255, abs=4)
    assert seconds == pytest.approx(3.5, abs=0.3)


def test_other_formats_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"film\.avi.*\.gif \.webp \.png \.mp4"):
        save_animation(tmp_path / "film.avi", search(2, 8, 8))
    assert list(tmp_path.iterdir()) == []
