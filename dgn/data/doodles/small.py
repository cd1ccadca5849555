"""Small things that people make: mug, umbrella, clock, ice cream.

Each facet is one function; large.py describes the conventions.
"""

import math
from itertools import pairwise

import numpy as np

from dgn.data.doodles.pen import ANY, INK, WHITE, Colour, Dice, Sketch, arc, dark, light, mirrored

_DRINKS = ((0.3, 0.17, 0.1), (0.45, 0.28, 0.15), (0.6, 0.35, 0.12))
_FLAVOURS = (
    ((330, 365), (0.3, 0.6), (0.9, 1.0)),
    ((90, 160), (0.25, 0.45), (0.8, 0.95)),
    ((45, 52), (0.2, 0.5), (0.95, 1.0)),
    ((18, 24), (0.5, 0.65), (0.38, 0.5)),
    ((270, 310), (0.3, 0.45), (0.7, 0.9)),
)
_GORE = np.stack([np.sin(np.linspace(0, np.pi / 2, 9)), np.cos(np.linspace(0, np.pi / 2, 9))], axis=1)


def mug(pen: Sketch, dice: Dice) -> Colour:
    glaze = dice.colour((-10, 10), (200, 225), (130, 150), s=(0.6, 0.85), v=(0.65, 0.92))
    w, top, bottom = dice.between(0.5, 0.6), dice.between(-0.72, -0.6), dice.between(0.7, 0.85)
    x = -0.2
    pen.ellipse(x + w, 0.05, 0.46, 0.46, dark(glaze, 0.12))
    pen.ellipse(x + w, 0.05, 0.27, 0.27, pen.erase)
    body = np.concatenate([arc(x, bottom - 0.1, w * 0.96, 0.16, 0, 180), [(x - w, top), (x + w, top)]])
    pen.polygon(body, glaze)
    near, far = x + w * 0.55, x + w
    pen.polygon([(near, top), (far, top), (far - w * 0.04, bottom - 0.1), (near, bottom + 0.03)], dark(glaze, 0.16))
    motif = dice.pick(["plain", "band", "heart", "spots"])
    mark = dice.pick([WHITE, light(glaze, 0.7), dark(glaze, 0.5)])
    if motif == "band":
        pen.rect(x - w, 0.0, x + w, 0.25, mark)
    elif motif == "heart":
        pen.circle(x - 0.13, 0.0, 0.15, mark)
        pen.circle(x + 0.13, 0.0, 0.15, mark)
        pen.polygon([(x - 0.27, 0.06), (x + 0.27, 0.06), (x, 0.4)], mark)
    elif motif == "spots":
        for dx, y in ((-0.3, -0.2), (0.25, -0.1), (-0.05, 0.2), (-0.33, 0.5), (0.3, 0.48)):
            pen.circle(x + dx, y, 0.1, mark)
    pen.ellipse(x, top, w, 0.17, light(glaze, 0.45))
    pen.ellipse(x, top + 0.02, w * 0.86, 0.12, dice.pick(_DRINKS))
    return glaze


def teacup(pen: Sketch, dice: Dice) -> Colour:
    glaze = dice.pick([WHITE, WHITE, dice.colour((40, 55), s=(0.15, 0.4), v=(0.92, 1.0))])
    trim = dice.colour((-15, 10), (205, 235), s=(0.6, 0.85), v=(0.6, 0.85))
    w, deep = dice.between(0.6, 0.68), dice.between(0.72, 0.88)
    top = -0.32
    pen.ellipse(0, 0.52, 1.0, 0.24, dark(glaze, 0.2))
    pen.ellipse(0, 0.49, 1.0, 0.23, light(glaze, 0.2))
    pen.ellipse(0, 0.5, 0.8, 0.16, trim)
    pen.ellipse(0, 0.5, 0.7, 0.13, light(glaze, 0.2))
    pen.ellipse(w + 0.03, -0.1, 0.27, 0.22, trim)
    pen.ellipse(w + 0.03, -0.1, 0.15, 0.11, pen.erase)
    pen.ellipse(0, 0.5, 0.3, 0.12, dark(glaze, 0.3))
    pen.sector(0, top, w, deep, 0, 180, glaze)
    pen.polygon(np.concatenate([arc(0, top, w, deep, 0, 80), [(w * 0.35, top)]]), dark(glaze, 0.14))
    if dice.chance(0.6):
        pen.polygon(mirrored([(w * 0.97, top + 0.16), (w * 0.92, top + 0.3)]), trim)
    else:
        for x in (-0.3, 0.0, 0.3):
            pen.circle(x, top + 0.32, 0.09, trim)
    pen.ellipse(0, top, w, 0.14, light(glaze, 0.5))
    pen.ellipse(0, top + 0.015, w * 0.88, 0.1, dice.pick(_DRINKS))
    return glaze


def rain_umbrella(pen: Sketch, dice: Dice) -> Colour:
    cloth = dice.colour(*ANY, s=(0.55, 0.9), v=(0.5, 0.95))
    other = dice.pick([dark(cloth, 0.18), light(cloth, 0.3), dark(cloth, 0.3)])
    handle = dice.pick([(0.4, 0.25, 0.14), INK, (0.6, 0.42, 0.25)])
    top, foot = dice.between(-0.85, -0.75), dice.between(0.02, 0.12)
    gores = dice.pick([4, 5, 6])
    pen.stroke([(0, top - 0.14), (0, top)], 0.07, handle)
    edges = np.sin(np.linspace(-np.pi / 2, np.pi / 2, gores + 1)).tolist()
    for i, (left, right) in enumerate(pairwise(edges)):
        sides = [_GORE * (left, top - foot) + (0, foot), _GORE[::-1] * (right, top - foot) + (0, foot)]
        pen.polygon(np.concatenate(sides), other if i % 2 else cloth)
    for left, right in pairwise(edges):
        pen.ellipse((left + right) / 2, foot - 0.01, (right - left) / 2, 0.11, pen.erase)
    pen.stroke([(0, foot - (0.1 if gores % 2 else 0.0)), (0, 0.65)], 0.07, handle)
    hook = np.concatenate([[(0, 0.55)], arc(-0.17, 0.76, 0.17, 0.19, 0, 180, 7), [(-0.34, 0.7)]])
    pen.stroke(hook, 0.1, handle)
    return cloth


def parasol(pen: Sketch, dice: Dice) -> Colour:
    cloth = dice.colour(*ANY, s=(0.6, 0.9), v=(0.6, 0.95))
    other = dice.pick([WHITE, WHITE, (1.0, 0.9, 0.5)])
    pole = dice.pick([(0.85, 0.8, 0.7), (0.55, 0.38, 0.22), (0.9, 0.9, 0.92)])
    sand = dice.colour((35, 48), s=(0.3, 0.5), v=(0.8, 0.95))
    pen.rect(-0.045, -0.9, 0.045, 0.85, pole)
    pen.sector(0, 0.95, 0.4, 0.24, 180, 360, sand)
    foot, panels = dice.between(-0.2, -0.08), dice.pick([5, 7])
    for i, (left, right) in enumerate(pairwise(np.linspace(-1.0, 1.0, panels + 1).tolist())):
        colour = other if i % 2 else cloth
        pen.polygon([(0, -0.9), (left, foot), (right, foot)], colour)
        pen.sector((left + right) / 2, foot - 0.01, (right - left) / 2, 0.16, 0, 180, dark(colour, 0.15))
    pen.circle(0, -0.9, 0.07, cloth)
    return cloth


def alarm_clock(pen: Sketch, dice: Dice) -> Colour:
    case = dice.colour((-10, 12), (205, 230), s=(0.65, 0.9), v=(0.65, 0.95))
    metal = dice.pick([case, (0.85, 0.7, 0.3), (0.7, 0.72, 0.76)])
    for s in (-1, 1):
        pen.stroke([(s * 0.35, 0.6), (s * 0.55, 0.93)], 0.15, dark(case, 0.4))
        out = 270 + 40 * s  # a bell's dome points up and outwards
        pen.stroke([(s * 0.4, -0.45), (s * 0.72, -0.92)], 0.07, dark(metal, 0.4))
        pen.sector(s * 0.5, -0.58, 0.36, 0.36, out - 90, out + 90, dark(metal, 0.12))
    pen.stroke([(0, -0.6), (0, -0.92)], 0.08, dark(case, 0.4))
    pen.stroke([(-0.12, -0.92), (0.12, -0.92)], 0.12, dark(case, 0.4))
    pen.circle(0, 0.1, 0.78, case)
    face = light(dice.colour((30, 60), s=(0.05, 0.2), v=(0.95, 1.0)), 0.3)
    pen.circle(0, 0.1, dice.between(0.58, 0.64), face)
    ticks = dice.pick([4, 12])
    for k in range(ticks):
        a = math.tau * k / ticks
        pen.circle(0.5 * math.sin(a), 0.1 - 0.5 * math.cos(a), 0.055 if k % (ticks // 4) == 0 else 0.035, INK)
    _hands(pen, 0, 0.1, 0.52, dice)
    return case


def grandfather_clock(pen: Sketch, dice: Dice) -> Colour:
    wood = dice.colour((12, 35), s=(0.5, 0.75), v=(0.35, 0.65))
    brass = dice.colour((40, 52), s=(0.5, 0.75), v=(0.85, 1.0))
    w = dice.between(0.32, 0.38)
    pen.rect(-w - 0.12, 0.62, w + 0.12, 0.98, dark(wood, 0.15))
    pen.rect(-w, -0.4, w, 0.7, wood)
    pen.rect(-w - 0.1, -0.72, w + 0.1, -0.02, light(wood, 0.12))
    if dice.chance(0.5):
        pen.polygon([(-w - 0.16, -0.7), (0, -1.0), (w + 0.16, -0.7)], dark(wood, 0.25))
    else:
        pen.sector(0, -0.7, w + 0.14, 0.26, 180, 360, dark(wood, 0.25))
    pen.circle(0, -0.38, 0.32, brass)
    pen.circle(0, -0.38, 0.27, WHITE)
    for k in range(4):
        pen.circle(0.21 * math.sin(k * math.pi / 2), -0.38 - 0.21 * math.cos(k * math.pi / 2), 0.035, INK)
    _hands(pen, 0, -0.38, 0.25, dice)
    pen.rect(-w * 0.62, 0.06, w * 0.62, 0.6, dark(wood, 0.65))
    swing = dice.between(-0.1, 0.1)
    pen.stroke([(0, 0.08), (swing, 0.42)], 0.05, brass)
    pen.circle(swing, 0.45, 0.11, brass)
    return wood


def _hands(pen: Sketch, x: float, y: float, r: float, dice: Dice) -> None:
    for length, width in ((0.5, 0.17), (0.78, 0.12)):
        a = math.radians(dice.between(0, 360))
        pen.stroke([(x, y), (x + r * length * math.sin(a), y - r * length * math.cos(a))], r * width, INK)
    pen.circle(x, y, r * 0.1, INK)


def ice_cream_cone(pen: Sketch, dice: Dice) -> Colour:
    flavours = [dice.dye(*_FLAVOURS) for _ in range(3)]
    waffle = dice.colour((28, 38), s=(0.5, 0.7), v=(0.8, 0.92))
    w, mouth = dice.between(0.42, 0.5), dice.between(-0.08, 0.05)
    pen.polygon([(-w, mouth), (w, mouth), (0, 1.0)], waffle)
    line = dark(waffle, 0.35)
    for t in (0.2, 0.5, 0.8):
        x, y = w * (1 - t), mouth + (1 - mouth) * t  # a point on either side of the cone
        for s in (-1, 1):
            pen.stroke([(s * x, y), (-s * w * (1 - t * 0.45), mouth + (1 - mouth) * t * 0.45)], 0.035, line)
    count = dice.whole(1, 3)
    if count == 3:
        pen.circle(0, mouth - 0.3, 0.15, flavours[0])  # no gap where the three meet
        scoops = [(-0.3, mouth - 0.25, 0.34), (0.3, mouth - 0.25, 0.34), (0.0, mouth - 0.62, 0.34)]
    else:
        scoops = [(0.0, mouth - 0.26 - 0.42 * i, 0.5 - 0.08 * i) for i in range(count)]
    for (x, y, r), flavour in zip(scoops, flavours, strict=False):
        pen.circle(x, y, r, flavour)
        for dx in (-0.62, -0.2, 0.24, 0.62):  # the drips along a scoop's foot
            pen.circle(x + dx * r, y + r * 0.72, r * 0.28, flavour)
        pen.ellipse(x - r * 0.35, y - r * 0.4, r * 0.25, r * 0.16, light(flavour, 0.6), -30)
    if dice.chance(0.45):
        x, y, r = scoops[-1]
        pen.circle(x, y - r - 0.06, 0.12, (0.8, 0.08, 0.15))
    return flavours[0]


def ice_lolly(pen: Sketch, dice: Dice) -> Colour:
    ice = dice.colour((330, 400), (70, 120), (180, 220), s=(0.5, 0.85), v=(0.85, 1.0))
    other = dice.pick([(0.38, 0.22, 0.15), light(ice, 0.6), dice.dye(*_FLAVOURS)])
    w, foot = dice.between(0.4, 0.48), dice.between(0.3, 0.42)
    stick = dice.colour((32, 40), s=(0.3, 0.5), v=(0.8, 0.95))
    pen.stroke([(0, 0.2), (0, 0.92)], 0.2, stick)
    top = -0.95
    tip = arc(0, top + w, w, w, 180, 360)
    pen.polygon(np.concatenate([tip, mirrored([(w, foot - 0.08), (w - 0.08, foot)])]), ice)
    if dice.chance(0.6):
        y = dice.between(-0.35, 0.05)
        pen.polygon(np.concatenate([tip, mirrored([(w, y), (w / 2, y + 0.1), (0, y)])]), other)
    for x in (-0.18, 0.18):
        pen.stroke([(x, top + 0.38), (x, foot - 0.2)], 0.11, light(ice, 0.35))
    if dice.chance(0.4):
        for dx, dy in ((0, 0), (-0.16, -0.05), (0.02, 0.17)):
            pen.circle(w + dx, top + 0.28 + dy, 0.17, pen.erase)
    return ice
