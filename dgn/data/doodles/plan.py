"""The things that can be drawn, and the plan of a picture: a thing posed in the frame, its scene, its factors."""

import colorsys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dgn.data.doodles import animals, large, plants, small
from dgn.data.doodles.pen import Colour, Dice, Sketch, rotation
from dgn.data.doodles.scene import Scene, choose_scene


@dataclass(frozen=True)
class Thing:
    """A class of drawings.

    Attributes:
        facets: The function that draws each facet and returns its main colour.
        lean: Its maximum rotation, in degrees.
        scenes: The backgrounds on which it is typically seen.
    """

    facets: dict[str, Callable[[Sketch, Dice], Colour]]
    lean: float
    scenes: tuple[str, ...]


_AIR, _LAND, _ROOM = ("sky",), ("landscape",), ("room",)

THINGS: dict[str, Thing] = {
    "house": Thing({"cottage": large.cottage, "town house": large.town_house}, 3, _LAND),
    "tree": Thing({"broadleaf": plants.broadleaf, "conifer": plants.conifer, "palm": plants.palm}, 4, _LAND),
    "car": Thing({"saloon": large.saloon, "van": large.van}, 4, _LAND),
    "boat": Thing({"sailing boat": large.sailing_boat, "steamer": large.steamer}, 5, ("sea",)),
    "aeroplane": Thing({"airliner": large.airliner, "propeller plane": large.propeller_plane}, 9, _AIR),
    "mug": Thing({"mug": small.mug, "teacup": small.teacup}, 4, _ROOM),
    "umbrella": Thing({"rain umbrella": small.rain_umbrella, "parasol": small.parasol}, 9, _AIR + _LAND),
    "clock": Thing({"alarm clock": small.alarm_clock, "grandfather clock": small.grandfather_clock}, 4, _ROOM),
    "ice cream": Thing({"cone": small.ice_cream_cone, "lolly": small.ice_lolly}, 9, _AIR + _ROOM),
    "flower": Thing({"daisy": plants.daisy, "tulip": plants.tulip}, 7, _LAND + _AIR),
    "mushroom": Thing({"toadstool": plants.toadstool, "brown mushrooms": plants.brown_mushrooms}, 5, _LAND),
    "cactus": Thing({"saguaro": plants.saguaro, "potted cactus": plants.potted_cactus}, 4, _LAND + _ROOM),
    "fish": Thing({"slim fish": animals.slim_fish, "round fish": animals.round_fish}, 8, ("underwater",)),
    "bird": Thing({"duck": animals.duck, "penguin": animals.penguin}, 5, ("sea", "landscape")),
    "cat": Thing({"cat's face": animals.cat_face, "sitting cat": animals.sitting_cat}, 5, _ROOM),
    "butterfly": Thing(
        {"wings open": animals.open_butterfly, "wings folded": animals.folded_butterfly}, 9, _AIR + _LAND
    ),
}


@dataclass(frozen=True)
class Composition:
    """A picture before it is rendered at a size."""

    sketch: Sketch
    points: np.ndarray  # (N, 2) corners of all outlines, one after the other, in the frame's unit square
    box: tuple[float, float, float, float]  # left, top, right, bottom of the thing in the frame
    scene: Scene
    factors: dict[str, float | str]


def choose_facet(name: str, dice: Dice) -> str:
    return dice.pick(tuple(THINGS[name].facets))


def plan(name: str, facet: str, dice: Dice) -> Composition:
    """Plans a picture: pose, scene and factors."""
    thing, sketch = THINGS[name], Sketch()
    main = thing.facets[facet](sketch, dice)
    corners = np.concatenate(sketch.outlines)

    mirrored, turn, stretch = dice.chance(0.1), dice.between(-thing.lean, thing.lean), dice.between(0.9, 1.12)
    corners = corners * ((-stretch if mirrored else stretch), 1 / stretch) @ rotation(turn)
    (left, top), (right, bottom) = corners.min(0).tolist(), corners.max(0).tolist()
    width, height = right - left, bottom - top
    longer = max(width, height)

    cut = dice.chance(0.1)
    # slender things are larger, so that enough of them is visible
    scale = dice.between(0.8, 1.0) if cut else dice.between(0.84 - 0.14 * min(width, height) / longer, 0.97)
    zoom = scale / longer
    width, height = width * zoom, height * zoom
    x = 0.5 + dice.between(-0.3, 0.3) * max(0.98 - width, 0)
    y = 0.5 + dice.between(-0.3, 0.3) * max(0.98 - height, 0)
    truncation, side = 0.0, "none"
    if cut:
        truncation, side = dice.between(0.1, 0.25), dice.pick(("left", "right", "top", "bottom"))
        if side in ("left", "right"):
            x = width * (0.5 - truncation) if side == "left" else 1 - width * (0.5 - truncation)
        else:
            y = height * (0.5 - truncation) if side == "top" else 1 - height * (0.5 - truncation)
    points = corners * zoom + np.array((x - zoom * (left + right) / 2, y - zoom * (top + bottom) / 2))
    box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)

    scene = choose_scene(dice, thing.scenes, main, box[3])
    factors = {
        "x": x,
        "y": y,
        "scale": scale,
        "width": width,
        "height": height,
        "rotation": turn,
        "mirrored": "yes" if mirrored else "no",
        "stretch": stretch,
        "truncation": truncation,
        "truncated_side": side,
        "colour": _hex(main),
        "hue": 360 * colorsys.rgb_to_hsv(*main)[0],
        "background": scene.background,
        "background_colour": _hex(scene.colours[0]),
        "shadow": scene.shadow,
        "texture": scene.texture,
        "light_angle": scene.light_angle,
        "light_strength": scene.light_strength,
        "relief": scene.relief,
        "brightness": scene.brightness,
        "warmth": scene.warmth,
    }
    return Composition(sketch, points, box, scene, factors)


def _hex(colour: Colour) -> str:
    r, g, b = colour
    return f"#{int(255 * r + 0.5):02x}{int(255 * g + 0.5):02x}{int(255 * b + 0.5):02x}"
