"""Things that grow: tree, flower, mushroom, cactus.

Each facet is one function; large.py describes the conventions.
"""

import math

import numpy as np

from dgn.data.doodles.pen import WHITE, Colour, Dice, Sketch, arc, dark, light, mirrored

_SUMMER, _AUTUMN = ((80, 140), (0.5, 0.85), (0.4, 0.75)), ((15, 50), (0.65, 0.9), (0.7, 0.95))
_PETALS = (
    ((285, 365), (0.4, 0.8), (0.8, 1.0)),
    ((215, 285), (0.4, 0.75), (0.75, 0.98)),
    ((40, 55), (0.75, 0.95), (0.9, 1.0)),
    ((50, 60), (0.0, 0.08), (0.96, 1.0)),
)
_DOTS = (
    (-0.1, -0.55, 0.16),
    (-0.58, -0.22, 0.13),
    (0.42, -0.4, 0.14),
    (0.05, -0.15, 0.14),
    (0.68, -0.05, 0.1),
    (-0.35, 0.02, 0.08),
)
_SPINE = np.array([(-0.05, -0.05), (0.01, 0), (0.05, -0.06), (0, 0.06)])


def broadleaf(pen: Sketch, dice: Dice) -> Colour:
    crown = dice.dye(_SUMMER, _SUMMER, _SUMMER, _AUTUMN)
    bark = dice.colour((18, 34), s=(0.4, 0.65), v=(0.3, 0.55))
    w = dice.between(0.1, 0.16)
    pen.polygon([(-w, -0.1), (w, -0.1), (w * 1.1, 0.7), (w * 2, 0.97), (-w * 2, 0.97), (-w * 1.1, 0.7)], bark)
    pen.polygon([(w * 0.3, -0.1), (w, -0.1), (w * 1.1, 0.7), (w * 2, 0.97), (w * 0.5, 0.97)], dark(bark, 0.3))
    wide = dice.between(0.9, 1.1)
    for x, y, r in ((-0.5, -0.02, 0.36), (0.5, -0.02, 0.36), (0.0, 0.0, 0.42)):
        pen.circle(x * wide, y, r, dark(crown, 0.28))
    for x, y in ((-0.42, -0.32), (0.42, -0.3), (0.0, -0.52), (0.0, -0.2)):
        pen.circle(x * wide + dice.between(-0.06, 0.06), y + dice.between(-0.06, 0.06), dice.between(0.36, 0.44), crown)
    for x, y, r in ((-0.3, -0.5, 0.2), (0.12, -0.68, 0.17), (-0.5, -0.2, 0.12)):
        pen.circle(x * wide, y, r, light(crown, 0.2))
    if dice.chance(0.35):
        fruit = dice.colour((-10, 45), s=(0.75, 0.95), v=(0.8, 0.95))
        for x, y in ((-0.5, -0.1), (0.45, -0.35), (0.05, -0.1), (-0.12, -0.55), (0.4, 0.08)):
            pen.circle(x, y, 0.085, fruit)
    return crown


def conifer(pen: Sketch, dice: Dice) -> Colour:
    green = dice.colour((95, 170), s=(0.45, 0.8), v=(0.3, 0.6))
    bark = dice.colour((18, 34), s=(0.4, 0.65), v=(0.3, 0.5))
    pen.rect(-0.11, 0.6, 0.11, 0.98, bark)
    tiers = dice.whole(3, 4)
    wide, snow = dice.between(0.62, 0.78), dice.chance(0.25)
    for i in reversed(range(tiers)):
        top = -1.0 + 1.35 * i / tiers
        foot = -1.0 + 1.72 * (i + 1) / tiers
        half = wide * (0.5 + 0.5 * (i + 1) / tiers) * (0.75 if i == 0 else 1)
        right = [(0, top), (half, foot), (half * 0.5, foot - 0.06), (0, foot + 0.03)]
        pen.polygon(mirrored(right), dark(green, 0.12 * (i % 2)))
        pen.polygon(right, dark(green, 0.25))
        if snow:
            mid = (top + foot) / 2
            pen.polygon(mirrored([(0, top), (half * 0.45, mid), (0, mid - 0.15 * (foot - top))]), WHITE)
    return green


def palm(pen: Sketch, dice: Dice) -> Colour:
    green = dice.colour((80, 150), s=(0.55, 0.85), v=(0.4, 0.7))
    bark = dice.colour((22, 38), s=(0.4, 0.6), v=(0.45, 0.7))
    lean = dice.between(0.1, 0.4)
    x, y = 0.1, -0.4
    pen.stroke([(x - lean - 0.1, 0.95), (x - lean * 0.6, 0.35), (x, y)], 0.26, bark, 0.14)
    for t in (0.2, 0.4, 0.6, 0.8):
        at = (x - lean * 0.75 * t - 0.02, y + 1.3 * t)
        pen.stroke([(at[0] - 0.07, at[1]), (at[0] + 0.07, at[1] + 0.02)], 0.04, dark(bark, 0.35))
    for degrees in (-165, -15, -130, -50, -205, 25, -90):
        a = math.radians(degrees + dice.between(-8, 8))
        dx, dy = 0.85 * math.cos(a), 0.55 * math.sin(a)
        tip = (x + dx, y + dy + 0.34 * abs(math.cos(a)))
        upper, lower = (x + dx * 0.45, y + dy * 0.8 - 0.14), (x + dx * 0.5, y + dy * 0.55 + 0.06)
        pen.blob([(x, y), upper, tip, lower], dark(green, dice.between(0, 0.3)))
    for dx in (-0.1, 0.1):
        pen.circle(x + dx, y + 0.08, 0.1, (0.38, 0.22, 0.13))
    return green


def daisy(pen: Sketch, dice: Dice) -> Colour:
    petal = dice.dye(*_PETALS)
    eye = dice.pick([(0.98, 0.78, 0.2), (0.42, 0.25, 0.12), (0.95, 0.6, 0.15)])
    green = dice.colour((85, 140), s=(0.5, 0.8), v=(0.4, 0.7))
    bend = dice.between(-0.15, 0.15)
    x, y = 0.0, -0.32
    pen.stroke([(x, y), (bend, 0.35), (0, 1.0)], 0.1, green)
    for s in (-1, 1):
        at = dice.between(0.5, 0.75)
        pen.blob([(0, at + 0.1), (s * 0.25, at - 0.17), (s * 0.58, at - 0.2), (s * 0.35, at + 0.06)], dark(green, 0.15))
    petals, long = dice.whole(6, 11), dice.between(0.58, 0.68)
    width, turn = 1.15 * long * math.pi / petals / 2 + 0.02, dice.between(0, 60)
    for k in range(petals):
        a = 360 * k / petals + turn
        r = math.radians(a)
        colour = petal if k % 2 else dark(petal, 0.1)
        pen.ellipse(x + long * 0.56 * math.cos(r), y + long * 0.56 * math.sin(r), long * 0.46, width, colour, a)
    size = dice.between(0.2, 0.28)
    pen.circle(x, y, size, dark(eye, 0.25))
    pen.circle(x - 0.02, y - 0.02, size * 0.8, eye)
    return petal


def tulip(pen: Sketch, dice: Dice) -> Colour:
    petal = dice.colour((335, 410), (270, 300), s=(0.6, 0.9), v=(0.75, 1.0))
    green = dice.colour((85, 145), s=(0.5, 0.8), v=(0.4, 0.7))
    bend = dice.between(-0.12, 0.12)
    pen.stroke([(0, -0.1), (bend, 0.45), (0, 1.0)], 0.11, green)
    for s in (-1, 1):
        tip = dice.between(-0.1, 0.2)
        pen.blob([(0, 0.98), (s * 0.22, 0.55), (s * 0.55, tip), (s * 0.45, 0.6)], dark(green, 0.12 + 0.1 * s))
    w = dice.between(0.42, 0.5)
    foot = 0.08
    pen.polygon([(-w * 0.55, -0.5), (0, -1.0), (w * 0.55, -0.5), (0, 0)], dark(petal, 0.3))
    for s in (-1, 1):
        side = [(0, foot), (s * w * 0.75, -0.1), (s * w, -0.45), (s * w * 0.92, -0.95), (s * w * 0.35, -0.55)]
        pen.blob(side, dark(petal, 0.08 + 0.06 * s))
    pen.blob(mirrored([(0, foot), (w * 0.5, -0.2), (w * 0.4, -0.55), (0, -0.88)]), light(petal, 0.15))
    return petal


def toadstool(pen: Sketch, dice: Dice) -> Colour:
    cap = dice.colour((-12, 22), s=(0.75, 0.95), v=(0.7, 0.95))
    stem = light(dice.colour((35, 50), s=(0.1, 0.3), v=(0.9, 1.0)), 0.3)
    w, top = dice.between(0.2, 0.28), dice.between(-0.9, -0.8)
    pen.blob(mirrored([(w, 0.0), (w * 1.05, 0.5), (w * 1.5, 0.85), (0, 0.98)]), stem)
    pen.polygon([(w * 0.3, 0), (w, 0), (w * 1.05, 0.5), (w * 1.4, 0.85), (w * 0.5, 0.93)], dark(stem, 0.18))
    pen.ellipse(0, 0.08, 0.88, 0.16, dark(stem, 0.22))
    if dice.chance(0.6):
        pen.polygon([(-w * 0.9, 0.24), (w * 0.9, 0.24), (w * 1.5, 0.42), (-w * 1.5, 0.42)], light(stem, 0.5))
    foot = 0.1
    pen.polygon(np.concatenate([arc(0, foot, 0.95, foot - top, 180, 360), arc(0, foot, 0.95, 0.1, 0, 180)]), cap)
    grow = dice.between(0.85, 1.15)
    for x, y, r in _DOTS:
        pen.ellipse(x, y, r * grow, r * grow * 0.9, WHITE)
    return cap


def brown_mushrooms(pen: Sketch, dice: Dice) -> Colour:
    cap = dice.colour((16, 38), s=(0.4, 0.75), v=(0.4, 0.75))
    stem = light(dice.colour((32, 48), s=(0.2, 0.4), v=(0.85, 0.98)), 0.2)
    first, second = dice.between(-0.3, -0.22), dice.between(0.42, 0.52)
    for x, y, w, h, foot in ((second, 0.12, 0.45, 0.48, 0.9), (first, -0.28, 0.66, 0.62, 0.98)):
        pen.polygon([(x - w * 0.3, y), (x + w * 0.3, y), (x + w * 0.42, foot), (x - w * 0.42, foot)], stem)
        pen.polygon([(x + w * 0.05, y), (x + w * 0.3, y), (x + w * 0.42, foot), (x + w * 0.1, foot)], dark(stem, 0.2))
        pen.ellipse(x, y, w * 0.95, w * 0.2, light(stem, 0.3))
        for t in (-0.6, -0.3, 0.0, 0.3, 0.6):
            pen.stroke([(x + t * 0.5 * w, y), (x + t * w * 1.2, y + w * 0.16)], 0.025, dark(stem, 0.4))
        pen.polygon(np.concatenate([arc(x, y, w, h, 180, 360), arc(x, y, w, w * 0.06, 0, 180)]), cap)
        pen.ellipse(x - w * 0.35, y - h * 0.5, w * 0.28, h * 0.16, light(cap, 0.35), -35)
    return cap


def saguaro(pen: Sketch, dice: Dice) -> Colour:
    green = dice.colour((95, 155), s=(0.45, 0.8), v=(0.4, 0.7))
    rib = dice.pick([light(green, 0.35), dark(green, 0.35)])
    w = dice.between(0.34, 0.42)
    top = -0.98 + w / 2
    arms = [(s, dice.between(0.05, 0.4), dice.between(-0.5, -0.2)) for s in (-1, 1)]
    for s, low, high in arms:
        x = s * dice.between(0.6, 0.7)
        pen.stroke([(0, low), (x * 0.75, low), (x, low - 0.2), (x, high)], w * 0.68, dark(green, 0.1))
        pen.stroke([(x * 0.5, low), (x * 0.78, low - 0.02), (x, low - 0.2), (x, high)], 0.04, rib)
    pen.stroke([(0, top), (0, 0.74)], w, green)
    pen.circle(0, top, w / 2, green)
    for dx in (-0.28, 0, 0.28):
        pen.stroke([(dx * w, top), (dx * w, 0.75)], 0.04, rib)
    if dice.chance(0.4):
        pen.circle(0, top - w / 2, 0.12, dice.colour((320, 400), s=(0.5, 0.8), v=(0.9, 1.0)))
    sand = dice.colour((30, 46), s=(0.35, 0.55), v=(0.75, 0.92))
    pen.sector(0, 0.95, 0.62, 0.2, 180, 360, sand)
    return green


def potted_cactus(pen: Sketch, dice: Dice) -> Colour:
    green = dice.colour((90, 160), s=(0.45, 0.8), v=(0.4, 0.72))
    w, h = dice.between(0.55, 0.66), dice.between(0.6, 0.72)
    y = 0.35 - h + 0.1
    pen.ellipse(0, y, w, h, dark(green, 0.15))
    for k, share in enumerate((0.78, 0.5, 0.2)):
        pen.ellipse(0, y, w * share, h, green if k % 2 == 0 else dark(green, 0.22))
    for x in (-0.64, -0.34, 0.0, 0.34, 0.64):
        for t in (-0.45, 0.0, 0.45):
            pen.polygon(_SPINE + np.array((x * w, y + t * h)), light(green, 0.75))
    bloom = dice.colour((300, 410), s=(0.5, 0.85), v=(0.9, 1.0))
    if dice.chance(0.7):
        for a in (-150, -110, -70, -30):
            r = math.radians(a)
            pen.ellipse(0.13 * math.cos(r), y - h + 0.02 + 0.13 * math.sin(r), 0.15, 0.08, bloom, a)
        pen.circle(0, y - h, 0.07, (1.0, 0.85, 0.3))
    _pot(pen, dice, 0.4, dice.between(0.48, 0.58))
    return green


def _pot(pen: Sketch, dice: Dice, y: float, w: float) -> None:
    clay = dice.dye(((12, 25), (0.5, 0.75), (0.65, 0.85)), ((190, 420), (0.3, 0.7), (0.6, 0.95)))
    pen.polygon([(-w, y), (w, y), (w * 0.74, 0.98), (-w * 0.74, 0.98)], clay)
    pen.polygon([(w * 0.3, y), (w, y), (w * 0.74, 0.98), (w * 0.2, 0.98)], dark(clay, 0.18))
    pen.rect(-w * 1.12, y - 0.08, w * 1.12, y + 0.1, light(clay, 0.12))
