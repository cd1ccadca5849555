"""The background of a thing and the light on both, as smooth functions of the unit square.

All of it is band-limited or softened by one pixel, so that a picture is the same at every size.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dgn.data.doodles.pen import Colour, Dice, dark, light, mix

Palette = tuple[Colour, Colour, Colour]

CELLS = 14  # control points across a smooth random field


@dataclass(frozen=True)
class Scene:
    """The background and the light; `horizon` is a height in the frame, 0 at the top."""

    background: str
    colours: Palette
    horizon: float
    angle: float  # degrees: direction of stripes or gradient
    frequency: float  # stripes or dots across the frame
    phase: float
    field: np.ndarray  # (CELLS, CELLS)
    light_angle: float  # direction of the light in degrees, 0 right, 90 top
    light_strength: float  # how much the light decreases across the frame
    relief: float  # how round the thing looks
    brightness: float
    warmth: float
    shadow: str
    texture: str  # of the thing's surface


def choose_scene(dice: Dice, typical: tuple[str, ...], main: Colour, bottom: float) -> Scene:
    """Chooses a scene for a thing of colour `main` whose lower edge is at height `bottom` in the frame."""
    background = dice.pick(typical) if dice.chance(0.85) else dice.pick(PATTERNS)
    colours = _PALETTES.get(background, _wallpaper)(dice)
    return Scene(
        background=background,
        colours=_apart(colours, main),
        horizon=min(max(bottom - dice.between(0.04, 0.2), 0.45), 0.9),
        angle=dice.between(-90, 90),
        frequency=dice.between(2.5, 7),
        phase=dice.between(0, 1),
        field=dice.field(CELLS),
        light_angle=dice.between(20, 160),
        light_strength=dice.between(0, 0.25),
        relief=dice.between(0.1, 0.5),
        brightness=dice.between(0.9, 1.06),
        warmth=dice.between(-0.08, 0.08),
        shadow=dice.pick(_SHADOWS.get(background, ("none", "ground", "ground"))),
        texture=dice.pick(["smooth", "smooth", "cloudy", "grainy"]),
    )


def _apart(colours: Palette, main: Colour, least: float = 0.2) -> Palette:
    """Returns the colours, made lighter or darker if a thing of colour `main` would not stand out."""
    r0, g0, b0 = main
    nearest = min(0.4 * abs(r - r0) + 0.4 * abs(g - g0) + 0.2 * abs(b - b0) for r, g, b in colours[:2])
    if nearest >= least:
        return colours
    bright = 0.3 * r0 + 0.6 * g0 + 0.1 * b0
    first, second, ground = (light(c, 0.6) if bright < 0.7 else dark(c, 0.28) for c in colours)
    return first, second, ground


_PASTEL, _MIDDLING, _DEEP = (
    ((0, 360), (0.04, 0.22), (0.88, 0.99)),
    ((0, 360), (0.2, 0.45), (0.65, 0.85)),
    ((0, 360), (0.3, 0.6), (0.2, 0.4)),
)
_PAPERS = (*[_PASTEL] * 7, _MIDDLING, _MIDDLING, _DEEP)
_DAY, _DUSK, _NIGHT = (
    ((190, 215), (0.15, 0.4), (0.9, 1.0)),
    ((320, 405), (0.15, 0.35), (0.92, 1.0)),
    ((220, 260), (0.4, 0.6), (0.25, 0.45)),
)
_SKIES = (*[_DAY] * 9, _DUSK, _NIGHT)
_GROUNDS = (  # grass, sand, snow
    ((70, 130), (0.35, 0.65), (0.5, 0.85)),
    ((30, 48), (0.3, 0.5), (0.7, 0.9)),
    ((200, 220), (0.03, 0.12), (0.88, 0.98)),
)


def _wallpaper(dice: Dice) -> Palette:
    dye = dice.pick(_PAPERS)
    paper = dice.dye(dye)
    figure = dice.pick((light(paper, 0.35), dark(paper, 0.08), mix(paper, dice.dye(dye), 0.4)))
    return paper, figure, dice.colour((15, 45), s=(0.25, 0.55), v=(0.4, 0.85))


def _outdoors(dice: Dice) -> Palette:
    sky = dice.dye(*_SKIES)
    return sky, light(sky, 0.5), dice.dye(*_GROUNDS)


def _sea(dice: Dice) -> Palette:
    sky, haze, _ = _outdoors(dice)
    return sky, haze, dice.colour((175, 225), s=(0.45, 0.75), v=(0.5, 0.85))


def _deep(dice: Dice) -> Palette:
    water = dice.colour((165, 225), s=(0.4, 0.75), v=(0.6, 0.9))
    return light(water, 0.35), dark(water, 0.35), light(water, 0.6)


_PALETTES = {"landscape": _outdoors, "sky": _outdoors, "sea": _sea, "underwater": _deep}


# ---- painting: (H, W) shares and (3, H, W) colours, float32 ----


def paint_background(scene: Scene, size: int) -> np.ndarray:
    """Returns the background, (3, size, size) float32 in [0, 1]."""
    return _PAINTERS[scene.background](scene, *grid(size), size)


@functools.lru_cache
def grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the centres of the pixels, x as (1, size) and y as (size, 1)."""
    at = (np.arange(size, dtype=np.float32) + 0.5) / size
    return at[None, :], at[:, None]


def smooth_field(control: np.ndarray, size: int) -> np.ndarray:
    """Returns the cubic B-spline surface over (n, m) control points, (size, size)."""
    rows, columns = control.shape
    return spline_weights(rows, size) @ control @ spline_weights(columns, size).T


@functools.lru_cache
def spline_weights(n: int, size: int) -> np.ndarray:
    """Returns the weights of cubic B-splines with equidistant knots over the frame, (size, n)."""
    at = (np.arange(size) + 0.5) / size * (n - 3) + 1
    d = np.abs(at[:, None] - np.arange(n)[None, :])
    near, far = 2 / 3 - d**2 + d**3 / 2, np.clip(2 - d, 0, None) ** 3 / 6
    return np.where(d < 1, near, far).astype(np.float32)


def _two(a: Colour, b: Colour, share: np.ndarray) -> np.ndarray:
    """Blends colours: a where the share is 0, b where it is 1."""
    start, end = np.array((a, b), np.float32)[:, :, None, None]
    picture = (end - start) * share
    picture += start
    return picture


def _over(picture: np.ndarray, colour: Colour, share: np.ndarray) -> np.ndarray:
    """Blends a colour over the picture."""
    picture += (np.array(colour, np.float32)[:, None, None] - picture) * share
    return picture


def _along(s: Scene, x: np.ndarray, y: np.ndarray, turn: float = 0) -> np.ndarray:
    a = np.deg2rad(s.angle + turn)
    return np.float32(np.cos(a)) * (x - 0.5) + np.float32(np.sin(a)) * (y - 0.5)


def _plain(s: Scene, x: np.ndarray, y: np.ndarray, size: int) -> np.ndarray:
    return _two(s.colours[0], s.colours[1], 0.25 * smooth_field(s.field[:7, :7], size))


def _gradient(s: Scene, x: np.ndarray, y: np.ndarray, size: int) -> np.ndarray:
    return _two(s.colours[0], s.colours[1], np.clip(_along(s, x, y) * 1.3 + 0.5, 0, 1))


def _stripes(s: Scene, x: np.ndarray, y: np.ndarray, size: int) -> np.ndarray:
    wave = np.sin(2 * np.pi * (s.frequency * _along(s, x, y) + s.phase))
    return _two(s.colours[0], s.colours[1], np.clip(0.5 + 2 * wave, 0, 1))


def _dots(s: Scene, x: np.ndarray, y: np.ndarray, size: int) -> np.ndarray:
    k = np.float32(2 * np.pi * s.frequency * 0.7)
    wave = np.cos(k * _along(s, x, y) + s.phase * 6) + np.cos(k * _along(s, x, y, 90))
    return _two(s.colours[0], s.colours[1], np.clip(2 * wave - 1.6, 0, 1))


def _checks(s: Scene, x: np.ndarray, y: np.ndarray, size: int) -> np.ndarray:
    k = np.float32(np.pi * s.frequency)
    wave = np.sin(k * _along(s, x, y) + s.phase * 6) * np.sin(k * _along(s, x, y, 90))
    return _two(s.colours[0], s.colours[1], np.clip(0.5 + 3 * wave, 0, 1))


def _blotches(s: Scene, x: np.ndarray, y: np.ndarray, size: int) -> np.ndarray:
    return _two(s.colours[0], s.colours[1], np.clip(0.5 + 1.2 * smooth_field(s.field, size), 0, 1))


def _room(s: Scene, x: np.ndarray, y: np.ndarray, size: int) -> np.ndarray:
    wave = np.sin(2 * np.pi * (s.frequency * x + s.phase))
    wall = _two(s.colours[0], s.colours[1], np.clip(0.3 + 2 * wave, 0, 1) * (1 if s.phase < 0.5 else 0.15))
    table = _two(s.colours[2], dark(s.colours[2], 0.3), np.clip(0.5 + smooth_field(s.field[:, :5], size), 0, 1))
    return wall + (table - wall) * _below(y, s.horizon, size)


def _below(y: np.ndarray, line: np.ndarray | float, size: int) -> np.ndarray:
    """Returns 1 below the line and 0 above it, with an edge one pixel wide."""
    return np.clip((y - line) * size + 0.5, 0, 1)


def _sky(s: Scene, x: np.ndarray, y: np.ndarray, size: int) -> np.ndarray:
    clouds = np.clip(smooth_field(s.field[:9, :6], size) * 1.5 - 0.5, 0, 1)
    return _over(_two(s.colours[0], s.colours[1], y + 0 * x), light(s.colours[1], 0.7), 0.8 * clouds)


def _landscape(s: Scene, x: np.ndarray, y: np.ndarray, size: int) -> np.ndarray:
    picture = _sky(s, x, y, size)
    far = s.horizon - 0.08 - 0.06 * np.sin(s.frequency * 2 * x + s.phase * 6)
    picture = _over(picture, mix(s.colours[2], s.colours[0], 0.45), _below(y, far, size))
    near = s.horizon + 0.03 * np.sin(s.frequency * x + s.phase * 12)
    ground = _two(s.colours[2], dark(s.colours[2], 0.2), np.clip(0.4 * smooth_field(s.field, size) + 0.3, 0, 1))
    return picture + (ground - picture) * _below(y, near, size)


def _sea_view(s: Scene, x: np.ndarray, y: np.ndarray, size: int) -> np.ndarray:
    line = s.horizon - 0.1
    near = np.clip(y - line, 0, 1)  # ripples get finer towards the horizon, and fade before they get too fine
    ripple = np.sin(45 * np.sqrt(near + 0.03) + 3 * np.sin(2 * np.pi * (x * 2 + s.phase)))
    water = _two(s.colours[2], light(s.colours[2], 0.45), np.clip(2 * ripple - 0.9, 0, 1) * np.clip(10 * near, 0, 1))
    sky = _sky(s, x, y, size)
    return sky + (water - sky) * _below(y, line, size)


def _underwater(s: Scene, x: np.ndarray, y: np.ndarray, size: int) -> np.ndarray:
    picture = _two(s.colours[0], s.colours[1], y + 0 * x)
    rays = np.clip(np.sin(s.frequency * 3 * (x + 0.4 * y) + s.phase * 6) * (1 - y), 0, 1)
    picture = _over(picture, s.colours[2], 0.35 * rays)
    for k in range(6):  # bubbles, at positions from the random field
        bx, by, r = 0.5 + 0.25 * s.field[k, 0], 0.5 + 0.25 * s.field[k, 1], 0.02 + 0.012 * abs(s.field[k, 2])
        distance = np.sqrt((x - bx) ** 2 + (y - by) ** 2)
        picture = _over(picture, light(s.colours[2], 0.5), 0.7 * np.clip((r - distance) * size + 0.5, 0, 1))
    return picture


_PAINTERS: dict[str, Callable] = {
    "plain": _plain,
    "gradient": _gradient,
    "stripes": _stripes,
    "dots": _dots,
    "checks": _checks,
    "blotches": _blotches,
    "room": _room,
    "sky": _sky,
    "landscape": _landscape,
    "sea": _sea_view,
    "underwater": _underwater,
}
PATTERNS = ("plain", "gradient", "stripes", "dots", "checks", "blotches")
_SHADOWS = {"sky": ("none",), "underwater": ("none",)} | dict.fromkeys(PATTERNS, ("none", "wall", "wall"))
