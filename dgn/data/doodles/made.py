"""Things people make: house, car, boat, aeroplane, mug, umbrella, clock, ice cream.

One function a facet. Each draws in [-1, 1] x [-1, 1] (y down) and chooses its main colour first; what varies
is what varies between things of one kind (proportions, colours, number of windows), not what names them.
"""

import itertools

import numpy as np

from dgn.data.doodles.pen import INK, WHITE, Colour, Dice, Sketch, arc, dark, light, mix

WARM = ((0, 60), (340, 360))
ANY = ((0, 360),)


def _window(pen: Sketch, x: float, y: float, w: float, h: float, glass: Colour, frame: Colour) -> None:
    pen.rect(x - w, y - h, x + w, y + h, frame)
    pane, t = (0.78 * w, 0.82 * h), 0.1 * w
    pen.rect(x - pane[0], y - pane[1], x - t, y + pane[1], glass)
    pen.rect(x + t, y - pane[1], x + pane[0], y + pane[1], glass)


def cottage(pen: Sketch, dice: Dice) -> None:
    wall = dice.colour((8, 60), s=(0.15, 0.65), v=(0.75, 0.98))
    roof = dice.colour((0, 25), (345, 360), (200, 230), s=(0.45, 0.8), v=(0.4, 0.75))
    glass = dice.pick([(0.55, 0.75, 0.9), (0.98, 0.88, 0.5), (0.3, 0.4, 0.55)])
    w, eaves, ridge = dice.between(0.68, 0.82), dice.between(-0.15, 0.1), dice.between(-0.95, -0.75)
    side = dice.pick([-1, 1])
    if dice.chance(0.8):
        pen.rect(side * 0.42 - 0.12, ridge + 0.05, side * 0.42 + 0.12, eaves, dark(roof, 0.35))
        pen.rect(side * 0.42 - 0.16, ridge, side * 0.42 + 0.16, ridge + 0.1, dark(roof, 0.2))
    pen.rect(-w, eaves - 0.02, w, 0.92, wall)
    pen.polygon([(-w, eaves), (w, eaves), (w, eaves + 0.14), (-w, eaves + 0.06)], dark(wall, 0.25))
    over = dice.between(0.12, 0.22)
    pen.polygon([(-w - over, eaves + 0.04), (0, ridge), (w + over, eaves + 0.04)], roof)
    if dice.chance(0.5):
        pen.circle(0, (eaves + ridge) / 2 + 0.1, 0.14, light(roof, 0.8))
        pen.circle(0, (eaves + ridge) / 2 + 0.1, 0.1, glass)
    door = dice.colour(*ANY, s=(0.4, 0.8), v=(0.3, 0.65))
    at = dice.pick([0.0, -0.38])
    top = dice.between(0.3, 0.4)
    pen.rect(at - 0.2, top - 0.05, at + 0.2, 0.92, WHITE)
    pen.rect(at - 0.15, top, at + 0.15, 0.92, door)
    pen.circle(at + 0.08, 0.66, 0.035, (0.95, 0.8, 0.3))
    for x in (-0.47, 0.47) if at == 0 else (0.08, 0.47):
        _window(pen, x, top + 0.08, 0.17, 0.17, glass, WHITE)


def town_house(pen: Sketch, dice: Dice) -> None:
    wall = dice.colour((0, 60), (345, 360), (190, 220), s=(0.2, 0.65), v=(0.65, 0.95))
    roof = dice.colour((0, 30), (200, 240), s=(0.3, 0.7), v=(0.3, 0.6))
    glass = dice.pick([(0.6, 0.8, 0.92), (0.98, 0.88, 0.5), (0.25, 0.33, 0.48)])
    w, top = dice.between(0.52, 0.66), dice.between(-0.68, -0.58)
    if dice.chance(0.7):
        x = dice.pick([-1, 1]) * w * 0.6
        pen.rect(x - 0.1, -1.0, x + 0.1, top, dark(roof, 0.3))
    slope = dice.between(0.1, 0.22)
    pen.rect(-w, top, w, 0.95, wall)
    pen.polygon([(-w - 0.06, top), (-w + slope, -0.9), (w - slope, -0.9), (w + 0.06, top)], roof)
    pen.rect(-w - 0.08, top - 0.03, w + 0.08, top + 0.05, light(wall, 0.6))
    columns = dice.pick([2, 3])
    xs = np.linspace(-w * 0.62, w * 0.62, columns)
    for row in range(3):
        y = top + 0.27 + row * 0.4
        for x in xs:
            if row < 2 or (columns == 3 and x != 0) or (columns == 2 and x > 0):
                _window(pen, x, y, 0.28 / columns + 0.02, 0.14, glass, WHITE)
    door = 0.0 if columns == 3 else xs[0]
    colour = dice.colour(*ANY, s=(0.5, 0.85), v=(0.3, 0.65))
    pen.rect(door - 0.15, 0.42, door + 0.15, 0.95, WHITE)
    pen.rect(door - 0.11, 0.46, door + 0.11, 0.95, colour)
    pen.rect(-w - 0.05, 0.88, w + 0.05, 0.96, dark(wall, 0.35))


def _wheel(pen: Sketch, x: float, y: float, r: float) -> None:
    pen.circle(x, y, r, INK)
    pen.circle(x, y, r * 0.52, (0.78, 0.79, 0.82))
    pen.circle(x, y, r * 0.2, (0.35, 0.35, 0.4))


def saloon(pen: Sketch, dice: Dice) -> None:
    paint = dice.colour(*ANY, s=(0.6, 0.9), v=(0.6, 0.95))
    glass = light((0.5, 0.72, 0.88), dice.between(0, 0.5))
    roof = dice.between(-0.62, -0.5)
    front, back = dice.between(0.3, 0.42), dice.between(-0.55, -0.42)
    cabin = [(back - 0.25, 0.02), (back + 0.02, roof), (front - 0.15, roof), (front + 0.22, 0.02)]
    pen.polygon(cabin, dark(paint, 0.15))
    mid = (back + front) / 2 - 0.03
    pen.polygon([(back - 0.1, 0), (back + 0.08, roof + 0.1), (mid - 0.04, roof + 0.1), (mid - 0.04, 0)], glass)
    pen.polygon([(mid + 0.05, 0), (mid + 0.05, roof + 0.1), (front - 0.2, roof + 0.1), (front + 0.08, 0)], glass)
    y = dice.between(-0.06, 0.0)
    hull = [(-1, 0.12), (-0.95, y + 0.02), (-0.5, y), (0.4, y), (0.85, y + 0.1), (1, 0.2), (1, 0.42)]
    pen.polygon([*hull, (0.95, 0.46), (-0.95, 0.46), (-1, 0.4)], paint)
    pen.polygon([(-1, 0.3), (1, 0.3), (1, 0.42), (0.95, 0.46), (-0.95, 0.46), (-1, 0.4)], dark(paint, 0.25))
    pen.rect(mid - 0.015, 0.02, mid + 0.025, 0.4, dark(paint, 0.4))
    pen.rect(mid + 0.08, 0.1, mid + 0.22, 0.14, dark(paint, 0.5))
    pen.ellipse(0.92, 0.2, 0.08, 0.09, (1.0, 0.92, 0.55))
    pen.rect(-1, 0.12, -0.92, 0.26, (0.85, 0.15, 0.15))
    r = dice.between(0.24, 0.29)
    for x in (-0.56, 0.56):
        pen.circle(x, 0.43, r + 0.05, dark(paint, 0.6))
        _wheel(pen, x, 0.46, r)


def van(pen: Sketch, dice: Dice) -> None:
    paint = dice.colour(*ANY, s=(0.5, 0.85), v=(0.65, 0.95))
    top = dice.pick([WHITE, light(paint, 0.5), paint])
    glass = light((0.5, 0.72, 0.88), dice.between(0, 0.5))
    y = dice.between(-0.75, -0.62)
    nose = dice.between(0.72, 0.82)
    pen.polygon([(-0.97, 0.5), (-1, y + 0.1), (-0.9, y), (nose - 0.08, y), (nose + 0.04, y + 0.06), (1, 0)], top)
    pen.polygon([(-1, -0.05), (1, -0.05), (1, 0.5), (-0.97, 0.5)], paint)
    if dice.chance(0.5):  # a delivery van: closed sides with a band; else a minibus
        pen.rect(-1, 0.02, 1, 0.14, light(paint, 0.6))
        edge = 0.2
    else:
        edge = -1.0
        for x in (-0.9, -0.34):
            pen.rect(x, y + 0.14, x + 0.46, -0.1, glass)
    if edge > 0:
        pen.rect(-0.85, y + 0.15, 0.08, -0.15, mix(top, paint, 0.35))
    windscreen = [(0.24, y + 0.14), (nose - 0.1, y + 0.14), (nose + 0.1, -0.1), (0.24, -0.1)]
    pen.polygon(windscreen, glass)
    pen.rect(-1, 0.36, 1, 0.5, dark(paint, 0.35))
    pen.ellipse(0.93, 0.2, 0.07, 0.1, (1.0, 0.92, 0.55))
    pen.rect(0.2, 0.0, 0.23, 0.45, dark(paint, 0.4))
    r = dice.between(0.23, 0.27)
    for x in (-0.58, 0.6):
        pen.circle(x, 0.5, r + 0.05, dark(paint, 0.6))
        _wheel(pen, x, 0.52, r)


def sailing_boat(pen: Sketch, dice: Dice) -> None:
    sail = dice.pick([WHITE, WHITE, dice.colour(*WARM, s=(0.2, 0.7), v=(0.85, 1.0))])
    hull = dice.colour((0, 40), (190, 240), (340, 360), s=(0.5, 0.85), v=(0.35, 0.8))
    top, foot = dice.between(-1.0, -0.9), 0.36
    mast = dice.between(-0.1, 0.08)
    pen.rect(mast - 0.03, top - 0.02, mast + 0.03, 0.5, (0.4, 0.26, 0.16))
    belly = dice.between(0.0, 0.12)
    back = [(mast + 0.06, top + 0.06), (mast + 0.45 + belly, -0.2), (mast + 0.82, foot - 0.02), (mast + 0.06, foot)]
    pen.polygon(back, sail)
    stripe = dice.colour(*ANY)
    if dice.chance(0.5):
        pen.polygon([(mast + 0.06, -0.1), (mast + 0.52 + belly, -0.1), (mast + 0.66, 0.1), (mast + 0.06, 0.1)], stripe)
    jib = dark(sail, 0.1) if dice.chance(0.6) else stripe
    pen.polygon([(mast - 0.06, top + 0.2), (mast - 0.3, -0.1), (mast - 0.68, foot), (mast - 0.06, foot - 0.03)], jib)
    pen.polygon([(mast, top - 0.05), (mast - 0.28, top + 0.04), (mast, top + 0.13)], stripe)
    bow, stern = dice.between(0.9, 1.0), dice.between(0.75, 0.9)
    pen.polygon([(-bow, 0.46), (stern, 0.46), (stern - 0.2, 0.86), (-0.55, 0.86)], hull)
    pen.polygon([(-bow, 0.46), (stern, 0.46), (stern - 0.05, 0.56), (-bow + 0.1, 0.56)], light(hull, 0.65))


def steamer(pen: Sketch, dice: Dice) -> None:
    hull = dice.colour((0, 20), (200, 240), (340, 360), s=(0.5, 0.85), v=(0.25, 0.7))
    funnel = dice.colour((0, 50), (345, 360), s=(0.65, 0.9), v=(0.7, 0.95))
    count = dice.whole(1, 3)
    xs = np.array([0.1]) if count == 1 else np.linspace(-0.35, 0.4, count)
    w = 0.16 if count == 1 else 0.12
    smoke = light((0.45, 0.45, 0.5), dice.between(0, 0.5))
    for i in range(3):
        pen.circle(xs[0] - 0.1 - 0.22 * i, -0.78 - 0.07 * i, 0.12 + 0.035 * i, light(smoke, 0.15 * i))
    for x in xs:
        pen.rect(x - w, -0.68, x + w, 0.0, funnel)
        pen.rect(x - w, -0.68, x + w, -0.54, INK)
        pen.rect(x - w, -0.42, x + w, -0.3, WHITE)
    deck = light(dice.colour((30, 60), s=(0.05, 0.2), v=(0.9, 1.0)), 0.4)
    pen.rect(-0.52, -0.2, 0.58, 0.04, deck)
    pen.rect(-0.68, 0.0, 0.74, 0.3, dark(deck, 0.08))
    for x in np.linspace(-0.54, 0.6, 5):
        pen.circle(x, 0.14, 0.07, (0.25, 0.36, 0.5))
    bow = dice.between(0.95, 1.05)
    pen.polygon([(-0.9, 0.26), (bow, 0.2), (0.72, 0.78), (-0.76, 0.78)], hull)
    pen.polygon([(-0.9, 0.26), (bow, 0.2), (bow - 0.06, 0.32), (-0.87, 0.36)], light(hull, 0.7))
    pen.polygon([(-0.81, 0.62), (0.79, 0.62), (0.72, 0.78), (-0.76, 0.78)], funnel)


def airliner(pen: Sketch, dice: Dice) -> None:
    """Seen from above, nose up."""
    skin = dice.pick([WHITE, (0.8, 0.83, 0.87), dice.colour(*ANY, s=(0.3, 0.7), v=(0.75, 0.98))])
    trim = dice.colour(*ANY, s=(0.65, 0.9), v=(0.5, 0.85))
    sweep, span = dice.between(0.3, 0.5), dice.between(0.88, 1.0)
    wing = dark(skin, 0.18)
    r = dice.between(0.15, 0.2)
    for s in (-1, 1):
        pen.ellipse(s * 0.45, -0.02 + sweep * 0.3, 0.08, 0.17, trim)
        pen.polygon([(0, -0.22), (s * span, sweep - 0.05), (s * span, sweep + 0.1), (0, 0.24)], wing)
        pen.polygon(
            [
                (s * (span - 0.2), sweep - 0.14),
                (s * span, sweep - 0.05),
                (s * span, sweep + 0.1),
                (s * (span - 0.2), sweep + 0.05),
            ],
            trim,
        )
        pen.polygon([(0, 0.58), (s * 0.42, 0.82), (s * 0.42, 0.93), (0, 0.84)], wing)
    pen.blob(
        [
            (0, -1),
            (r * 0.75, -0.82),
            (r, -0.5),
            (r, 0.3),
            (r * 0.6, 0.75),
            (0, 0.97),
            (-r * 0.6, 0.75),
            (-r, 0.3),
            (-r, -0.5),
            (-r * 0.75, -0.82),
        ],
        skin,
    )
    pen.polygon([(-0.035, 0.5), (0.035, 0.5), (0.05, 0.96), (-0.05, 0.96)], trim)
    pen.polygon([(-r * 0.7, -0.72), (0, -0.8), (r * 0.7, -0.72), (r * 0.5, -0.62), (-r * 0.5, -0.62)], (0.2, 0.3, 0.42))


def propeller_plane(pen: Sketch, dice: Dice) -> None:
    """Seen from the side, nose to the right."""
    paint = dice.colour(*ANY, s=(0.6, 0.9), v=(0.6, 0.95))
    trim = dice.pick([WHITE, dice.colour(*ANY, s=(0.5, 0.85), v=(0.7, 0.95))])
    biplane = dice.chance(0.5)
    pen.stroke([(0.3, 0.3), (0.42, 0.6)], 0.07, dark(paint, 0.5))
    pen.circle(0.42, 0.64, 0.15, INK)
    pen.circle(0.42, 0.64, 0.06, (0.75, 0.75, 0.78))
    pen.polygon([(-0.95, -0.52), (-0.72, -0.52), (-0.48, -0.02), (-0.9, 0.02)], trim)
    if biplane:
        for x in (-0.05, 0.4):
            pen.stroke([(x, -0.5), (x - 0.05, 0.25)], 0.05, dark(paint, 0.6))
    fat = dice.between(0.26, 0.32)
    pen.circle(0.02, -fat + 0.02, 0.17, (0.3, 0.45, 0.6))
    pen.blob(
        [
            (-0.95, -0.06),
            (-0.4, -fat * 0.62),
            (0.2, -fat),
            (0.68, -fat * 0.85),
            (0.8, 0),
            (0.68, fat * 0.9),
            (0.1, fat),
            (-0.5, fat * 0.45),
        ],
        paint,
    )
    pen.polygon([(-0.88, 0.0), (0.8, 0.0), (0.76, 0.1), (-0.8, 0.1)], trim)
    if biplane:
        pen.stroke([(-0.25, -0.55), (0.6, -0.55)], 0.15, dark(paint, 0.15))
        pen.stroke([(-0.3, 0.24), (0.5, 0.24)], 0.15, dark(paint, 0.3))
    else:
        pen.polygon([(0.38, 0.06), (0.02, 0.1), (-0.3, 0.46), (-0.02, 0.46)], dark(paint, 0.35))
    pen.polygon([(-0.9, -0.06), (-0.55, -0.06), (-0.68, 0.08), (-1.0, 0.08)], dark(paint, 0.2))
    pen.ellipse(0.87, 0, 0.05, dice.between(0.45, 0.6), light((0.55, 0.5, 0.45), 0.2))
    pen.ellipse(0.86, 0, 0.12, 0.1, trim)


def mug(pen: Sketch, dice: Dice) -> None:
    glaze = dice.colour(*ANY, s=(0.35, 0.85), v=(0.65, 0.98))
    w, top, bottom = dice.between(0.5, 0.6), dice.between(-0.72, -0.6), dice.between(0.7, 0.85)
    x = -0.2
    pen.ellipse(x + w, 0.05, 0.46, 0.46, dark(glaze, 0.12))
    pen.ellipse(x + w, 0.05, 0.27, 0.27, pen.erase)
    body = np.concatenate([arc(x, bottom - 0.1, w * 0.96, 0.16, 0, 180), [(x - w, top), (x + w, top)]])
    pen.polygon(body, glaze)
    pen.polygon(
        [(x + w * 0.55, top), (x + w, top), (x + w * 0.96, bottom - 0.1), (x + w * 0.55, bottom + 0.03)],
        dark(glaze, 0.16),
    )
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
    pen.ellipse(x, top + 0.02, w * 0.86, 0.12, dice.pick([(0.3, 0.17, 0.1), (0.45, 0.28, 0.15), (0.6, 0.35, 0.12)]))


def teacup(pen: Sketch, dice: Dice) -> None:
    glaze = dice.pick([WHITE, dice.colour(*ANY, s=(0.15, 0.6), v=(0.85, 1.0))])
    trim = dice.colour(*ANY, s=(0.5, 0.85), v=(0.5, 0.85))
    w, deep = dice.between(0.6, 0.68), dice.between(0.72, 0.88)
    top = -0.32
    pen.ellipse(0, 0.52, 1.0, 0.24, dark(glaze, 0.2))
    pen.ellipse(0, 0.49, 1.0, 0.23, light(glaze, 0.2))
    pen.ellipse(0, 0.5, 0.8, 0.16, trim)
    pen.ellipse(0, 0.5, 0.7, 0.13, light(glaze, 0.2))
    pen.ellipse(w + 0.03, -0.1, 0.27, 0.22, trim)
    pen.ellipse(w + 0.03, -0.1, 0.15, 0.11, pen.erase)
    pen.sector(0, 0.5, 0.3, 0.12, 0, 360, dark(glaze, 0.3))
    pen.sector(0, top, w, deep, 0, 180, glaze)
    pen.polygon(np.concatenate([arc(0, top, w, deep, 0, 80), [(w * 0.35, top)]]), dark(glaze, 0.14))
    if dice.chance(0.6):
        pen.polygon(
            [(-w * 0.97, top + 0.16), (w * 0.97, top + 0.16), (w * 0.92, top + 0.3), (-w * 0.92, top + 0.3)], trim
        )
    else:
        for x in (-0.3, 0.0, 0.3):
            pen.circle(x, top + 0.32, 0.09, trim)
    pen.ellipse(0, top, w, 0.14, light(glaze, 0.5))
    pen.ellipse(0, top + 0.015, w * 0.88, 0.1, dice.pick([(0.55, 0.3, 0.1), (0.42, 0.25, 0.12), (0.6, 0.45, 0.15)]))


def _panels(pen: Sketch, rx: float, top: float, foot: float, a: Colour, b: Colour, panels: int) -> np.ndarray:
    """A dome of gores from (0, top) to the line y = foot; returns the gores' edges along the foot."""
    edges = np.sin(np.linspace(-np.pi / 2, np.pi / 2, panels + 1)) * rx
    for i in range(panels):
        left, right = (np.stack([e * np.sin(_T), foot + (top - foot) * np.cos(_T)], 1) for e in edges[i : i + 2])
        pen.polygon(np.concatenate([left, right[::-1]]), a if i % 2 == 0 else b)
    return edges


_T = np.linspace(0, np.pi / 2, 9)


def rain_umbrella(pen: Sketch, dice: Dice) -> None:
    cloth = dice.colour(*ANY, s=(0.55, 0.9), v=(0.5, 0.95))
    other = dice.pick([dark(cloth, 0.18), light(cloth, 0.3), dark(cloth, 0.3)])
    handle = dice.pick([(0.4, 0.25, 0.14), INK, (0.6, 0.42, 0.25)])
    top, foot = dice.between(-0.85, -0.75), dice.between(0.02, 0.12)
    pen.stroke([(0, top - 0.14), (0, 0.7)], 0.07, handle)
    hook = np.concatenate([[(0, 0.55)], arc(-0.17, 0.76, 0.17, 0.19, 0, 180, 7), [(-0.34, 0.7)]])
    pen.stroke(hook, 0.1, handle)
    edges = _panels(pen, 1.0, top, foot, cloth, other, dice.pick([4, 5, 6]))
    for i, (left, right) in enumerate(itertools.pairwise(edges)):
        pen.ellipse((left + right) / 2, foot - 0.01, (right - left) / 2, 0.11, pen.erase)
        if left < 0 < right:  # the erased scallop must not cut the shaft
            pen.rect(-0.035, foot - 0.13, 0.035, foot + 0.15, handle)
        elif i and abs(left) < 0.02:
            pen.rect(-0.035, foot - 0.02, 0.035, foot + 0.15, handle)


def parasol(pen: Sketch, dice: Dice) -> None:
    cloth = dice.colour(*ANY, s=(0.6, 0.9), v=(0.6, 0.95))
    other = dice.pick([WHITE, WHITE, (1.0, 0.9, 0.5)])
    pole = dice.pick([(0.85, 0.8, 0.7), (0.55, 0.38, 0.22), (0.9, 0.9, 0.92)])
    sand = dice.colour((35, 48), s=(0.3, 0.5), v=(0.8, 0.95))
    pen.rect(-0.045, -0.9, 0.045, 0.85, pole)
    pen.sector(0, 0.95, 0.4, 0.24, 180, 360, sand)
    foot, panels = dice.between(-0.2, -0.08), dice.pick([5, 7])
    edges = np.linspace(-1.0, 1.0, panels + 1)
    for i in range(panels):
        colour = cloth if i % 2 == 0 else other
        x0, x1 = edges[i], edges[i + 1]
        pen.polygon([(0, -0.9), (x0, foot), (x1, foot)], colour)
        pen.sector((x0 + x1) / 2, foot - 0.01, (x1 - x0) / 2, 0.16, 0, 180, dark(colour, 0.15))
    pen.circle(0, -0.9, 0.07, cloth)


def _hands(pen: Sketch, x: float, y: float, r: float, dice: Dice) -> None:
    for length, width in ((0.5, 0.17), (0.78, 0.12)):
        a = np.deg2rad(dice.between(0, 360))
        pen.stroke([(x, y), (x + r * length * np.sin(a), y - r * length * np.cos(a))], r * width, INK)
    pen.circle(x, y, r * 0.1, INK)


def alarm_clock(pen: Sketch, dice: Dice) -> None:
    case = dice.colour(*ANY, s=(0.5, 0.9), v=(0.55, 0.95))
    metal = dice.pick([case, (0.85, 0.7, 0.3), (0.7, 0.72, 0.76)])
    for s in (-1, 1):
        pen.stroke([(s * 0.35, 0.6), (s * 0.55, 0.93)], 0.15, dark(case, 0.4))
        a = 180 + 45 * s
        pen.sector(s * 0.5, -0.62, 0.34, 0.34, a + 45 * s - 90, a + 45 * s + 90, dark(metal, 0.15))
        pen.stroke([(s * 0.35, -0.5), (s * 0.62, -0.78)], 0.07, dark(metal, 0.4))
    pen.stroke([(0, -0.6), (0, -0.92)], 0.08, dark(case, 0.4))
    pen.stroke([(-0.12, -0.92), (0.12, -0.92)], 0.12, dark(case, 0.4))
    pen.circle(0, 0.1, 0.78, case)
    face = light(dice.colour((30, 60), s=(0.05, 0.2), v=(0.95, 1.0)), 0.3)
    pen.circle(0, 0.1, dice.between(0.58, 0.64), face)
    ticks = dice.pick([4, 12])
    for k in range(ticks):
        a = 2 * np.pi * k / ticks
        pen.circle(0.5 * np.sin(a), 0.1 - 0.5 * np.cos(a), 0.055 if k % (ticks // 4) == 0 else 0.035, INK)
    _hands(pen, 0, 0.1, 0.52, dice)


def grandfather_clock(pen: Sketch, dice: Dice) -> None:
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
        pen.circle(0.21 * np.sin(k * np.pi / 2), -0.38 - 0.21 * np.cos(k * np.pi / 2), 0.035, INK)
    _hands(pen, 0, -0.38, 0.25, dice)
    pen.rect(-w * 0.62, 0.06, w * 0.62, 0.6, dark(wood, 0.65))
    swing = dice.between(-0.1, 0.1)
    pen.stroke([(0, 0.08), (swing, 0.42)], 0.05, brass)
    pen.circle(swing, 0.45, 0.11, brass)


def ice_cream_cone(pen: Sketch, dice: Dice) -> None:
    flavours = [
        dice.pick(
            [
                dice.colour((330, 365), s=(0.3, 0.6), v=(0.9, 1.0)),
                (0.45, 0.27, 0.18),
                (0.98, 0.93, 0.75),
                dice.colour((90, 160), s=(0.25, 0.45), v=(0.8, 0.95)),
                (0.75, 0.5, 0.75),
            ]
        )
        for _ in range(3)
    ]
    waffle = dice.colour((28, 38), s=(0.5, 0.7), v=(0.8, 0.92))
    w, mouth = dice.between(0.42, 0.5), dice.between(-0.08, 0.05)
    pen.polygon([(-w, mouth), (w, mouth), (0, 1.0)], waffle)
    line = dark(waffle, 0.35)
    for t in (0.2, 0.5, 0.8):
        x, y = w * (1 - t), mouth + (1 - mouth) * t  # a point on either side of the cone
        for s in (-1, 1):
            pen.stroke(
                [(s * x, y), (s * (x - 0.75 * w * 1.5), max(mouth, y - 0.75 * (1 - mouth) * 0.5))], 0.035, line
            ) if t < 0.0 else pen.stroke(
                [(s * x, y), (-s * w * (1 - t * 0.45), mouth + (1 - mouth) * t * 0.45)], 0.035, line
            )
    count = dice.whole(1, 3)
    if count == 3:
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


def ice_lolly(pen: Sketch, dice: Dice) -> None:
    ice = dice.colour((330, 400), (70, 120), (180, 220), s=(0.5, 0.85), v=(0.85, 1.0))
    other = dice.pick(
        [(0.38, 0.22, 0.15), light(ice, 0.6), dice.colour((0, 60), (300, 360), s=(0.5, 0.8), v=(0.9, 1.0))]
    )
    w, foot = dice.between(0.4, 0.48), dice.between(0.3, 0.42)
    stick = dice.colour((32, 40), s=(0.3, 0.5), v=(0.8, 0.95))
    pen.stroke([(0, 0.2), (0, 0.92)], 0.2, stick)
    top = -0.95
    outline = np.concatenate(
        [arc(0, top + w, w, w, 180, 360), [(w, foot - 0.08), (w - 0.08, foot), (-w + 0.08, foot), (-w, foot - 0.08)]]
    )
    pen.polygon(outline, ice)
    if dice.chance(0.6):
        y = dice.between(-0.35, 0.05)
        pen.polygon(
            np.concatenate(
                [arc(0, top + w, w, w, 180, 360), [(w, y), (w / 2, y + 0.1), (0, y), (-w / 2, y + 0.1), (-w, y)]]
            ),
            other,
        )
    for x in (-0.18, 0.18):
        pen.stroke([(x, top + 0.38), (x, foot - 0.2)], 0.11, light(ice, 0.35))
    if dice.chance(0.4):
        for dx, dy in ((0, 0), (-0.16, -0.05), (0.02, 0.17)):
            pen.circle(w + dx, top + 0.28 + dy, 0.17, pen.erase)
