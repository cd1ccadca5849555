"""Renders a plan to pixels: rasterizes the thing, paints the background, and applies light to both."""

import math

import numpy as np
from PIL import Image, ImageDraw

from dgn.data.doodles.plan import Composition
from dgn.data.doodles.scene import grid, paint_background, smooth_field, spline_weights

SUPERSAMPLE = 3  # samples per pixel and axis
HAZE = 12  # control points across the blurred silhouette, from which relief and shadow are computed

_SLOPE = (np.eye(HAZE, k=1) - np.eye(HAZE, k=-1)).astype(np.float32) / 2
_BEFORE, _SAME, _AFTER = (np.clip(np.arange(HAZE) + k, 0, HAZE - 1) for k in (-1, 0, 1))


def paint(plan: Composition, size: int) -> np.ndarray:
    """Returns the picture, (size, size, 3) uint8 RGB."""
    thing = _rasterize(plan, size)
    colour, cover, scene = thing[:3], thing[3], plan.scene
    x, y = grid(size)
    a = math.radians(scene.light_angle)
    light_x, light_y = np.float32(math.cos(a)), np.float32(-math.sin(a))  # towards the light; y points down

    # The blurred silhouette. Where it slopes away from the light the thing is darker, which makes a flat shape look
    # round. Shifted away from the light, it is the shadow on a wall.
    gather = spline_weights(HAZE, size)
    haze = gather.T @ cover @ gather * np.float32((HAZE - 3) ** 2 / size**2)
    lit = 1 - scene.relief * smooth_field(light_x * (haze @ _SLOPE.T) + light_y * (_SLOPE @ haze), size)
    if scene.texture != "smooth":
        cells, depth = (8, 0.09) if scene.texture == "cloudy" else (14, 0.07)
        lit *= 1 + depth * smooth_field(scene.field[::-1][:cells, :cells], size)

    picture = paint_background(scene, size)
    gain = (1 + 1.4 * scene.light_strength * light_y * (y - 0.5)) + 1.4 * scene.light_strength * light_x * (x - 0.5)
    behind = (1 - cover) * gain
    if scene.shadow == "wall":
        aside = _BEFORE if light_x < 0 else _AFTER
        if abs(light_x) < 0.3:
            aside = _SAME
        behind *= 1 - 0.38 * np.minimum(smooth_field(haze[_BEFORE][:, aside], size), 1)
    elif scene.shadow == "ground":
        left, _, right, bottom = plan.box
        across = np.exp(-(((x - (left + right) / 2 + 0.08 * light_x) / (0.5 * (right - left))) ** 2))
        behind *= 1 - 0.5 * across * np.exp(-(((y - bottom) / 0.05) ** 2))
    picture *= behind
    colour *= lit * gain
    picture += colour
    tint = 255 * scene.brightness * np.array([1 + scene.warmth, 1, 1 - scene.warmth])
    picture *= tint.astype(np.float32)[:, None, None]
    picture += 0.5
    np.clip(picture, 0, 255, out=picture)
    image = np.empty((size, size, 3), np.uint8)
    for channel in range(3):  # three times as fast as a transposed copy
        image[:, :, channel] = picture[channel]
    return image


def silhouette(plan: Composition, size: int) -> np.ndarray:
    """Returns how much the thing covers each pixel, (size, size) float32 in [0, 1]."""
    return _rasterize(plan, size)[3]


def _rasterize(plan: Composition, size: int) -> np.ndarray:
    """(4, size, size) float32 in [0, 1]: red, green and blue, each times cover, and cover.

    The four channels of Pillow's CMYK hold colour and cover, because Pillow averages them independently: the
    mean of colour over covered samples and zeros is colour times cover, just what compositing needs.
    """
    fine = size * SUPERSAMPLE
    canvas = Image.new("CMYK", (fine, fine))
    fill = ImageDraw.Draw(canvas).polygon
    corners = np.rint(plan.points * fine - 0.5).astype(np.int32).ravel().tolist()
    start = 0
    for outline, colour in zip(plan.sketch.outlines, plan.sketch.colours, strict=True):
        stop = start + 2 * len(outline)
        if colour is None:
            fill(corners[start:stop], (0, 0, 0, 0))
        else:
            r, g, b = colour
            fill(corners[start:stop], (int(255 * r), int(255 * g), int(255 * b), 255))
        start = stop
    means = np.asarray(canvas.reduce(SUPERSAMPLE)).reshape(-1, 4).T.astype(np.float32, order="C")
    means *= np.float32(1 / 255)
    return means.reshape(4, size, size)
