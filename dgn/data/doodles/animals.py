"""Animals: fish, bird, cat, butterfly.

Each facet is one function; large.py describes the conventions.
"""

import numpy as np

from dgn.data.doodles.pen import ANY, INK, WHITE, Colour, Dice, Sketch, dark, light, mirrored

_GINGER, _GREY = ((22, 34), (0.6, 0.8), (0.82, 0.96)), ((215, 260), (0.06, 0.2), (0.38, 0.6))
_FURS = (_GINGER, _GINGER, _GREY)  # most faces are ginger and most whole cats grey, a correlation as in real data
_COATS = (_GREY, _GREY, _GINGER)


def slim_fish(pen: Sketch, dice: Dice) -> Colour:
    skin = dice.colour((-8, 16), (205, 225), s=(0.6, 0.85), v=(0.7, 0.95))
    fin = dice.pick([dark(skin, 0.25), dice.colour((0, 60), (340, 360), s=(0.6, 0.9), v=(0.7, 0.95))])
    h = dice.between(0.36, 0.46)
    pen.polygon([(-0.5, 0), (-1.0, -0.46), (-0.84, 0), (-1.0, 0.46)], fin)
    pen.blob([(-0.2, -h * 0.7), (0.0, -h - 0.26), (0.35, -h * 0.8), (0.1, -h * 0.5)], fin)
    pen.blob([(-0.1, h * 0.6), (-0.22, h + 0.2), (0.18, h * 0.8)], fin)
    back = [(-0.66, 0), (-0.25, -h * 0.75), (0.3, -h), (0.8, -h * 0.55), (1.0, 0)]
    pen.blob(mirrored(back, flip=(1, -1)), skin)
    flank = [(-0.6, 0.04), (0.2, h * 0.35), (0.92, 0.14)]
    pen.blob([*flank, (0.76, h * 0.58), (0.3, h * 0.95), (-0.25, h * 0.72)], light(skin, 0.55))
    if dice.chance(0.5):
        for x in (-0.3, -0.02, 0.26):
            pen.stroke([(x, -h * 0.72), (x - 0.07, 0), (x - 0.02, h * 0.5)], 0.1, dark(skin, 0.3))
    else:
        for x, y in ((-0.3, -0.1), (-0.08, -0.2), (-0.1, 0.06), (0.14, -0.1), (0.14, 0.16)):
            pen.sector(x, y, 0.1, 0.1, 90, 270, dark(skin, 0.25))
    pen.stroke([(0.46, -h * 0.6), (0.38, 0), (0.46, h * 0.6)], 0.045, dark(skin, 0.45))
    pen.blob([(0.3, 0.04), (-0.02, 0.12), (0.0, 0.3), (0.22, 0.2)], fin)
    _eye(pen, 0.68, -0.1, 0.12)
    return skin


def round_fish(pen: Sketch, dice: Dice) -> Colour:
    skin = dice.colour((22, 48), s=(0.7, 0.95), v=(0.85, 0.98))
    band = dice.pick([WHITE, INK])
    fin = dice.pick([skin, dark(skin, 0.2), dice.colour((15, 60), s=(0.7, 0.9), v=(0.85, 1.0))])
    h = dice.between(0.62, 0.7)
    pen.polygon([(-0.4, 0), (-0.95, -0.36), (-0.88, 0), (-0.95, 0.36)], fin)
    for s in (-1, 1):
        sail = [(0.3, s * h * 0.7), (-0.05, s * (h + 0.2)), (-0.5, s * (h + 0.3)), (-0.35, s * h * 0.55)]
        pen.blob(sail, dark(fin, 0.15))
    back = [(-0.6, 0), (-0.3, -h * 0.75), (0.15, -h), (0.6, -h * 0.6), (0.92, 0)]
    pen.blob(mirrored(back, flip=(1, -1)), skin)
    for x, k in ((-0.22, 0.8), (0.22, 0.94)):
        half = [(x - 0.16, 0), (x - 0.1, -h * k), (x + 0.1, -h * (k + 0.02)), (x + 0.04, 0)]
        pen.polygon(mirrored(half, flip=(1, -1)), band)
    pen.ellipse(0.93, 0.04, 0.08, 0.06, dark(skin, 0.35))
    _eye(pen, 0.58, -0.14, 0.14)
    pen.blob([(0.24, 0.08), (-0.1, 0.02), (-0.06, 0.26)], dark(fin, 0.3))
    return skin


def duck(pen: Sketch, dice: Dice) -> Colour:
    down = dice.colour((44, 54), s=(0.65, 0.9), v=(0.92, 1.0))
    head = dice.pick([down, down, dice.colour((130, 165), s=(0.6, 0.85), v=(0.3, 0.5))])
    bill = dice.colour((15, 40), s=(0.8, 0.95), v=(0.9, 1.0))
    x, y = dice.between(0.4, 0.48), dice.between(-0.56, -0.48)
    pen.blob([(x + 0.22, y - 0.06), (x + 0.58, y + 0.0), (x + 0.6, y + 0.12), (x + 0.25, y + 0.2)], bill)
    back = [(-0.98, -0.12), (-0.6, 0.06), (-0.1, -0.02), (0.25, -0.1), (0.6, 0.1)]
    belly = [(0.7, 0.42), (0.4, 0.76), (-0.3, 0.8), (-0.8, 0.45)]

    pen.polygon([(x - 0.26, y), (x + 0.24, y + 0.1), (0.66, 0.3), (0.1, 0.2)], head)
    pen.circle(x, y, 0.33, head)
    pen.blob(back + belly, down)
    if head is not down:
        pen.stroke([(0.12, -0.08), (0.4, 0.0), (0.6, 0.06)], 0.09, WHITE)
    pen.blob([(-0.62, 0.16), (-0.1, 0.12), (0.28, 0.28), (0.05, 0.56), (-0.4, 0.5)], dark(down, 0.2))
    _eye(pen, x + 0.1, y - 0.08, 0.09)
    return down


def penguin(pen: Sketch, dice: Dice) -> Colour:
    coat = dark(dice.colour((200, 260), s=(0.2, 0.6), v=(0.25, 0.5)), dice.between(0.1, 0.4))
    beak = dice.colour((20, 42), s=(0.8, 0.95), v=(0.9, 1.0))
    w = dice.between(0.48, 0.58)
    for s in (-1, 1):
        pen.ellipse(s * 0.24, 0.9, 0.22, 0.1, beak)
        lift = dice.between(0.05, 0.3)
        tip = s * (w + 0.1 + lift)
        pen.blob([(s * w * 0.7, -0.25), (tip, 0.15), (tip, 0.38), (s * w * 0.9, 0.2)], dark(coat, 0.2))
    side = [(0, -0.98), (0.33, -0.86), (0.4, -0.5), (w, 0.05), (w * 0.95, 0.6), (0.3, 0.9)]
    pen.blob(mirrored(side), coat)
    pen.blob(mirrored([(0, -0.3), (0.3, -0.2), (w * 0.7, 0.2), (w * 0.65, 0.6), (0, 0.86)]), WHITE)
    for s in (-1, 1):
        pen.ellipse(s * 0.15, -0.62, 0.16, 0.19, WHITE)
        pen.circle(s * 0.14, -0.63, 0.075, INK)
    pen.polygon([(-0.15, -0.5), (0.15, -0.5), (0, -0.3)], beak)
    if dice.chance(0.35):
        scarf = dice.colour(*ANY, s=(0.7, 0.9), v=(0.7, 0.95))
        pen.stroke([(-0.38, -0.3), (0, -0.2), (0.38, -0.3)], 0.15, scarf)
        pen.stroke([(0.2, -0.25), (0.26, 0.1)], 0.14, dark(scarf, 0.15))
    return coat


def cat_face(pen: Sketch, dice: Dice) -> Colour:
    fur = dice.dye(*_FURS)
    iris = dice.colour((75, 130), s=(0.55, 0.85), v=(0.75, 0.98))
    lift, out = dice.between(0.0, 0.08), dice.between(0.72, 0.8)
    for s in (-1, 1):
        pen.polygon([(s * 0.18, -0.55), (s * out, -1.0 + lift), (s * 0.86, -0.05)], fur)
        pen.polygon([(s * 0.34, -0.55), (s * (out - 0.05), -0.82 + lift), (s * 0.74, -0.25)], (0.92, 0.62, 0.62))
    pen.blob(mirrored([(0, -0.66), (0.5, -0.58), (0.86, -0.15), (0.92, 0.25), (0.6, 0.68), (0, 0.84)]), fur)
    if dice.chance(0.6):
        for x, tip in ((-0.2, -0.34), (0, -0.26), (0.2, -0.34)):
            pen.polygon([(x - 0.07, -0.66), (x + 0.07, -0.66), (x, tip)], dark(fur, 0.4))
        for s in (-1, 1):
            for y in (0.1, 0.32):
                pen.polygon([(s * 0.91, y - 0.06), (s * 0.91, y + 0.06), (s * 0.66, y + 0.02)], dark(fur, 0.4))
    muzzle = light(fur, 0.65)
    for s in (-1, 1):
        pen.ellipse(s * 0.19, 0.4, 0.26, 0.21, muzzle)
        pen.ellipse(s * 0.39, -0.05, 0.2, 0.19, light(iris, 0.85))
        pen.ellipse(s * 0.39, -0.05, 0.17, 0.17, iris)
        pen.ellipse(s * 0.39, -0.05, dice.between(0.06, 0.09), 0.15, INK)
    pen.polygon([(-0.12, 0.22), (0.12, 0.22), (0, 0.36)], (0.9, 0.45, 0.5))
    pen.stroke([(-0.2, 0.5), (-0.06, 0.52), (0, 0.36)], 0.04, INK)
    pen.stroke([(0.2, 0.5), (0.06, 0.52), (0, 0.36)], 0.04, INK)
    _whiskers(pen, 0, 0.38, 1.0, dice.pick([WHITE, INK]))
    return fur


def sitting_cat(pen: Sketch, dice: Dice) -> Colour:
    fur = dice.dye(*_COATS)
    iris = dice.colour((75, 130), s=(0.55, 0.85), v=(0.8, 0.98))
    tip = dice.between(-0.2, 0.15)
    pen.stroke([(0.1, 0.82), (0.62, 0.82), (0.82, 0.45), (0.68, 0.15), (0.84, tip)], 0.2, dark(fur, 0.15), 0.14)
    w = dice.between(0.44, 0.54)
    pen.blob(mirrored([(0, -0.35), (0.3, -0.15), (w, 0.4), (w, 0.85), (0.25, 0.96)]), fur)
    pen.ellipse(0, 0.22, 0.2, 0.34, light(fur, 0.6))
    for s in (-1, 1):
        pen.stroke([(s * 0.15, 0.35), (s * 0.16, 0.85)], 0.19, dark(fur, 0.12))
        pen.ellipse(s * 0.18, 0.9, 0.15, 0.09, light(fur, 0.6))
    for s in (-1, 1):
        pen.polygon([(s * 0.08, -0.72), (s * 0.4, -1.0), (s * 0.47, -0.45)], fur)
        pen.polygon([(s * 0.2, -0.74), (s * 0.36, -0.88), (s * 0.4, -0.6)], (0.92, 0.62, 0.62))
    pen.ellipse(0, -0.45, 0.48, 0.4, fur)
    if dice.chance(0.5):
        for x in (-0.14, 0, 0.14):
            pen.polygon([(x - 0.05, -0.84), (x + 0.05, -0.84), (x, -0.66)], dark(fur, 0.4))
    pen.ellipse(0, -0.27, 0.2, 0.13, light(fur, 0.65))
    for s in (-1, 1):
        pen.circle(s * 0.21, -0.5, 0.115, iris)
        pen.ellipse(s * 0.21, -0.5, 0.05, 0.1, INK)
    pen.polygon([(-0.08, -0.36), (0.08, -0.36), (0, -0.26)], (0.9, 0.45, 0.5))
    _whiskers(pen, 0, -0.28, 0.62, dice.pick([WHITE, INK]))
    return fur


def open_butterfly(pen: Sketch, dice: Dice) -> Colour:
    wing = dice.colour((18, 34), (205, 225), s=(0.75, 0.95), v=(0.85, 1.0))
    edge = dice.pick([INK, dark(wing, 0.65)])
    spot = dice.pick([WHITE, light(wing, 0.7)])
    up, low = dice.between(0.85, 1.0), dice.between(0.62, 0.75)
    for s in (-1, 1):
        fore = [(0.04, -0.12), (0.4, -0.72), (0.85, -0.85), (up, -0.5), (0.75, -0.05), (0.3, 0.1)]
        hind = [(0.04, 0.02), (0.45, 0.0), (low + 0.08, 0.3), (low - 0.1, 0.75), (0.32, 0.8), (0.1, 0.4)]
        for corners, colour in ((hind, dark(wing, 0.18)), (fore, wing)):
            shape = np.array(corners) * (s, 1)
            pen.blob(shape, edge)
            pen.blob(_inner(shape, 0.76, -s * 0.05), colour)
        pen.circle(s * 0.64, -0.46, 0.14, spot)
        pen.circle(s * 0.44, 0.42, 0.12, spot)
        pen.circle(s * 0.34, -0.22, 0.08, spot)
        pen.stroke([(0, -0.4), (s * 0.12, -0.72), (s * 0.3, -0.92)], 0.04, INK)
        pen.circle(s * 0.3, -0.92, 0.05, INK)
    pen.ellipse(0, 0.08, 0.09, 0.52, dark(edge, 0.4))
    pen.circle(0, -0.42, 0.11, dark(edge, 0.4))
    return wing


def folded_butterfly(pen: Sketch, dice: Dice) -> Colour:
    """Seen from the side, head to the right, wings held up together."""
    wing = dice.colour((255, 285), (18, 34), s=(0.6, 0.85), v=(0.75, 0.95))
    edge = dice.pick([INK, dark(wing, 0.65)])
    spot = dice.pick([WHITE, light(wing, 0.7)])
    fore = np.array([(0.3, 0.5), (0.42, -0.2), (0.3, -0.85), (-0.1, -1.0), (-0.35, -0.6), (-0.15, 0.1)])
    hind = np.array([(0.15, 0.55), (0.05, 0.0), (-0.4, -0.3), (-0.85, -0.15), (-0.9, 0.3), (-0.45, 0.6)])
    fore[:, 0] += dice.between(-0.1, 0.1)
    for shape, colour in ((fore, wing), (hind, light(wing, 0.18))):
        pen.blob(shape, edge)
        pen.blob(_inner(shape, 0.78, 0.03), colour)
    x = fore[3, 0]
    pen.circle(x + 0.16, -0.62, 0.15, spot)
    pen.circle(x + 0.2, -0.62, 0.07, edge)
    pen.circle(-0.52, 0.15, 0.16, spot)
    pen.circle(-0.52, 0.15, 0.08, edge)
    pen.circle(-0.12, 0.3, 0.07, spot)
    for dx in (0.1, 0.3, 0.5):
        pen.stroke([(dx, 0.6), (dx - 0.08, 0.9)], 0.04, INK)
    pen.stroke([(-0.5, 0.78), (0.1, 0.62), (0.55, 0.5)], 0.14, dark(edge, 0.4), 0.2)
    pen.circle(0.62, 0.46, 0.13, dark(edge, 0.4))
    pen.stroke([(0.66, 0.4), (0.78, 0.1), (0.98, -0.06)], 0.04, INK)
    pen.stroke([(0.66, 0.42), (0.9, 0.22), (1.0, 0.16)], 0.04, INK)
    return wing


def _inner(shape: np.ndarray, share: float, aside: float) -> np.ndarray:
    """The shape drawn smaller about its middle, moved aside."""
    middle = np.add.reduce(shape) * ((1 - share) / len(shape))
    middle[0] += aside
    return shape * share + middle


def _eye(pen: Sketch, x: float, y: float, r: float) -> None:
    pen.circle(x, y, r, WHITE)
    pen.circle(x + r * 0.15, y, r * 0.6, INK)


def _whiskers(pen: Sketch, x: float, y: float, long: float, colour: Colour) -> None:
    for s in (-1, 1):
        for tilt in (-0.12, 0.02, 0.16):
            pen.stroke([(x + s * 0.22 * long, y + tilt * 0.3), (x + s * long, y + tilt)], 0.03, colour)
