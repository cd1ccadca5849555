"""From factors to pixels: pose a thing in the frame, choose its scene, rasterize."""

import colorsys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from dgn.data.doodles import living, made
from dgn.data.doodles.pen import Dice, Sketch, rotation
from dgn.data.doodles.scene import Scene, choose_scene, grid, paint_background, smooth_field, spline_weights

SUPERSAMPLE = 3  # samples per pixel and axis
HAZE = 12  # cells across the frame of the blurred silhouette that shadow and relief are taken from


@dataclass(frozen=True)
class Thing:
    """A class: how each facet is drawn, how far it naturally leans (degrees), where it is typically seen."""

    facets: dict[str, Callable[[Sketch, Dice], None]]
    lean: float
    scenes: tuple[str, ...]


OUTDOORS = ("landscape", "landscape", "sky")
THINGS: dict[str, Thing] = {
    "house": Thing({"cottage": made.cottage, "town house": made.town_house}, 4, OUTDOORS),
    "tree": Thing({"broadleaf": living.broadleaf, "conifer": living.conifer, "palm": living.palm}, 6, OUTDOORS),
    "car": Thing({"saloon": made.saloon, "van": made.van}, 6, ("landscape", "room")),
    "boat": Thing({"sailing boat": made.sailing_boat, "steamer": made.steamer}, 8, ("sea",)),
    "aeroplane": Thing({"airliner": made.airliner, "propeller plane": made.propeller_plane}, 20, ("sky",)),
    "mug": Thing({"mug": made.mug, "teacup": made.teacup}, 7, ("room",)),
    "umbrella": Thing({"rain umbrella": made.rain_umbrella, "parasol": made.parasol}, 18, ("sky", "landscape", "sea")),
    "clock": Thing({"alarm clock": made.alarm_clock, "grandfather clock": made.grandfather_clock}, 5, ("room",)),
    "ice cream": Thing({"cone": made.ice_cream_cone, "lolly": made.ice_lolly}, 18, ("sky", "room")),
    "flower": Thing({"daisy": living.daisy, "tulip": living.tulip}, 12, OUTDOORS),
    "mushroom": Thing({"toadstool": living.toadstool, "brown mushrooms": living.brown_mushrooms}, 8, OUTDOORS),
    "cactus": Thing({"saguaro": living.saguaro, "potted cactus": living.potted_cactus}, 5, ("landscape", "room")),
    "fish": Thing({"slim fish": living.slim_fish, "round fish": living.round_fish}, 15, ("underwater",)),
    "bird": Thing({"duck": living.duck, "penguin": living.penguin}, 6, ("sea", "landscape")),
    "cat": Thing({"cat's face": living.cat_face, "sitting cat": living.sitting_cat}, 8, ("room",)),
    "butterfly": Thing({"wings open": living.open_butterfly, "wings folded": living.folded_butterfly}, 20, OUTDOORS),
}


@dataclass(frozen=True)
class Plan:
    """A picture before it has a size: shapes placed in the unit square, the scene, and what is true of it."""

    sketch: Sketch
    points: np.ndarray  # (N, 2) all outlines' corners, one after the other, in the frame's unit square
    scene: Scene
    box: tuple[float, float, float, float]  # left, top, right, bottom in the frame
    factors: dict[str, float | str]


def choose_facet(thing: str, dice: Dice) -> str:
    return dice.pick(tuple(THINGS[thing].facets))


def plan(name: str, facet: str, dice: Dice) -> Plan:
    """Everything about the picture but its pixels."""
    thing, sketch = THINGS[name], Sketch()
    thing.facets[facet](sketch, dice)
    colours = [c for c in sketch.colours if c is not None]
    corners = np.concatenate(sketch.outlines)
    main = _main_colour(sketch, corners)

    mirrored = dice.chance(0.5)
    turn, stretch = dice.between(-thing.lean, thing.lean), dice.between(0.9, 1.12)
    corners = corners @ (rotation(turn) @ np.diag([(-1 if mirrored else 1) * stretch, 1 / stretch])).T
    low, high = corners.min(0), corners.max(0)
    extent = high - low

    cut = dice.chance(0.1)
    # a slender thing stays large enough to see
    scale = dice.between(0.8, 1.0) if cut else dice.between(0.64 + 0.16 * (1 - extent.min() / extent.max()), 0.95)
    extent = extent * (scale / extent.max())
    room = np.maximum(0.98 - extent, 0) / 2
    centre = np.array([0.5 + dice.between(-1, 1) * room[0], 0.5 + dice.between(-1, 1) * room[1]])
    truncation, side = 0.0, "none"
    if cut:
        truncation, side = dice.between(0.1, 0.25), dice.pick(("left", "right", "bottom", "top"))
        axis, sign = {"left": (0, -1), "right": (0, 1), "top": (1, -1), "bottom": (1, 1)}[side]
        centre[axis] = 0.5 + sign * (0.5 + truncation * extent[axis] - extent[axis] / 2)
    points = (corners - (low + high) / 2) * (scale / (high - low).max()) + centre
    left, top, right, bottom = *(centre - extent / 2), *(centre + extent / 2)

    scene = choose_scene(dice, thing.scenes, main, bottom)
    factors = {
        "x": centre[0],
        "y": centre[1],
        "scale": scale,
        "width": extent[0],
        "height": extent[1],
        "rotation": turn,
        "mirrored": "yes" if mirrored else "no",
        "stretch": stretch,
        "truncation": truncation,
        "truncated_side": side,
        "colour": _hex(main),
        "hue": 360 * colorsys.rgb_to_hsv(*main)[0],
        "second_colour": _hex(colours[-1]),
        "background": scene.background,
        "background_colour": _hex(scene.colours[0]),
        "shadow": scene.shadow,
        "texture": scene.surface,
        "light_angle": scene.light_angle,
        "light_strength": scene.light_strength,
        "relief": scene.relief,
        "brightness": scene.brightness,
        "warmth": scene.warmth,
    }
    factors = {k: v if isinstance(v, str) else round(float(v), 4) for k, v in factors.items()}
    return Plan(sketch, points, scene, (left, top, right, bottom), factors)


def _main_colour(sketch: Sketch, corners: np.ndarray) -> tuple[float, float, float]:
    """The colour that covers the largest area, overlaps counted twice."""
    lengths = [len(outline) for outline in sketch.outlines]
    ends = np.cumsum(lengths)
    following = np.arange(1, len(corners) + 1)
    following[ends - 1] = ends - lengths
    x, y = corners[:, 0], corners[:, 1]
    areas = np.add.reduceat(x * y[following] - y * x[following], ends - lengths).tolist()
    total: dict = {}
    for colour, area in zip(sketch.colours, areas, strict=True):
        if colour is not None:
            total[colour] = total.get(colour, 0) + abs(area)
    return max(total, key=total.__getitem__)


def _hex(colour: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{int(255 * min(max(c, 0), 1) + 0.5):02x}" for c in colour)


def paint(plan: Plan, size: int) -> np.ndarray:
    """(size, size, 3) uint8 RGB."""
    thing = _rasterize(plan, size)
    cover, scene = thing[3], plan.scene
    x, y = grid(size)
    a = np.deg2rad(scene.light_angle)
    towards = np.array([np.cos(a), -np.sin(a)], dtype=np.float32)  # to the light, y pointing down

    # the silhouette, blurred: its slope is what makes a flat shape look round, its offset is a cast shadow
    gather = spline_weights(HAZE, size)
    haze = gather.T @ cover @ gather * (HAZE - 3) ** 2 / size**2
    slope_y, slope_x = np.gradient(haze)
    lit = 1 - scene.relief * smooth_field(towards[0] * slope_x + towards[1] * slope_y, size)
    if scene.surface != "smooth":
        cells, depth = (8, 0.09) if scene.surface == "cloudy" else (14, 0.07)
        lit *= 1 + depth * smooth_field(scene.field[::-1][:cells, :cells], size)
    picture = paint_background(scene, size)
    if scene.shadow == "wall":
        shifted = np.roll(haze, (1, 0 if towards[0] ** 2 < 0.1 else -int(np.sign(towards[0]))), (0, 1))
        picture *= 1 - 0.38 * np.clip(smooth_field(shifted, size), 0, 1)
    elif scene.shadow == "ground":
        left, _, right, bottom = plan.box
        across = np.exp(-(((x - (left + right) / 2 + 0.08 * towards[0]) / (0.5 * (right - left))) ** 2))
        picture *= 1 - 0.5 * across * np.exp(-(((y - bottom) / 0.05) ** 2))
    picture *= 1 - cover
    picture += thing[:3] * lit
    gain = scene.brightness * (1 + scene.light_strength * 1.4 * (towards[0] * (x - 0.5) + towards[1] * (y - 0.5)))
    picture *= gain
    picture *= np.array([1 + scene.warmth, 1, 1 - scene.warmth], np.float32)[:, None, None]
    np.clip(picture, 0, 1, out=picture)
    picture *= 255
    picture += 0.5
    return np.ascontiguousarray(picture.astype(np.uint8).transpose(1, 2, 0))


def _rasterize(plan: Plan, size: int) -> np.ndarray:
    """(4, size, size) float32: red, green and blue times cover, and cover, in [0, 1].

    The four channels of Pillow's CMYK serve as colour and cover, because it averages them independently:
    what is averaged then is colour times cover, just what is needed to put the thing on a background.
    """
    fine = size * SUPERSAMPLE
    canvas = Image.new("CMYK", (fine, fine))
    fill = ImageDraw.Draw(canvas).polygon
    corners = np.rint(plan.points * fine - 0.5).astype(np.int32).ravel().tolist()
    at = 0
    for outline, colour in zip(plan.sketch.outlines, plan.sketch.colours, strict=True):
        end = at + 2 * len(outline)
        ink = (0, 0, 0, 0) if colour is None else (*(int(255 * c) for c in colour), 255)
        fill(corners[at:end], fill=ink)
        at = end
    pixels = np.asarray(canvas.reduce(SUPERSAMPLE)).transpose(2, 0, 1)
    return pixels.astype(np.float32, order="C") * np.float32(1 / 255)
