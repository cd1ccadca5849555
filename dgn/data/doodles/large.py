"""Large things that people make: house, car, boat, aeroplane.

Each facet is one function, which draws in [-1, 1] x [-1, 1], y down, and returns the main colour of the thing. Details
vary (proportions, colours, number of windows), but not the features by which the thing is recognized.
"""

from dgn.data.doodles.pen import ANY, INK, WARM, WHITE, Colour, Dice, Sketch, dark, light, mirrored, mix


def cottage(pen: Sketch, dice: Dice) -> Colour:
    wall = dice.colour((25, 58), s=(0.12, 0.5), v=(0.85, 0.98))
    roof = dice.colour((0, 20), (350, 360), s=(0.55, 0.8), v=(0.5, 0.75))
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
    return wall


def town_house(pen: Sketch, dice: Dice) -> Colour:
    wall = dice.colour((10, 58), s=(0.15, 0.55), v=(0.75, 0.96))
    roof = dice.colour((0, 20), (350, 360), s=(0.55, 0.8), v=(0.5, 0.72))
    glass = dice.pick([(0.6, 0.8, 0.92), (0.98, 0.88, 0.5), (0.25, 0.33, 0.48)])
    w, top = dice.between(0.52, 0.66), dice.between(-0.68, -0.58)
    if dice.chance(0.7):
        x = dice.pick([-1, 1]) * w * 0.6
        pen.rect(x - 0.1, -1.0, x + 0.1, top, dark(roof, 0.3))
    slope = dice.between(0.25, 0.4)
    pen.rect(-w, top, w, 0.95, wall)
    pen.polygon([(-w - 0.06, top), (-w + slope, -0.98), (w - slope, -0.98), (w + 0.06, top)], roof)
    pen.rect(-w - 0.08, top - 0.03, w + 0.08, top + 0.05, light(wall, 0.6))
    columns = dice.pick([2, 3])
    xs = (-w * 0.62, w * 0.62) if columns == 2 else (-w * 0.62, 0, w * 0.62)
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
    return wall


def _window(pen: Sketch, x: float, y: float, w: float, h: float, glass: Colour, frame: Colour) -> None:
    pen.rect(x - w, y - h, x + w, y + h, frame)
    pane, t = (0.78 * w, 0.82 * h), 0.1 * w
    pen.rect(x - pane[0], y - pane[1], x - t, y + pane[1], glass)
    pen.rect(x + t, y - pane[1], x + pane[0], y + pane[1], glass)


def saloon(pen: Sketch, dice: Dice) -> Colour:
    paint = dice.colour((-8, 12), (205, 225), s=(0.7, 0.9), v=(0.75, 0.95))
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
    return paint


def van(pen: Sketch, dice: Dice) -> Colour:
    paint = dice.colour((35, 50), (165, 180), s=(0.6, 0.85), v=(0.75, 0.95))
    top = dice.pick([WHITE, light(paint, 0.5)])
    glass = light((0.5, 0.72, 0.88), dice.between(0, 0.5))
    y = dice.between(-0.75, -0.62)
    nose = dice.between(0.72, 0.82)
    pen.polygon([(-0.97, 0.5), (-1, y + 0.1), (-0.9, y), (nose - 0.08, y), (nose + 0.04, y + 0.06), (1, 0)], top)
    pen.polygon([(-1, -0.05), (1, -0.05), (1, 0.5), (-0.97, 0.5)], paint)
    if dice.chance(0.5):  # a delivery van, closed with a band; else a minibus
        pen.rect(-1, 0.02, 1, 0.14, light(paint, 0.6))
        pen.rect(-0.85, y + 0.15, 0.08, -0.15, mix(top, paint, 0.35))
    else:
        for x in (-0.9, -0.34):
            pen.rect(x, y + 0.14, x + 0.46, -0.1, glass)
    pen.polygon([(0.24, y + 0.14), (nose - 0.1, y + 0.14), (nose + 0.1, -0.1), (0.24, -0.1)], glass)
    pen.rect(-1, 0.36, 1, 0.5, dark(paint, 0.35))
    pen.ellipse(0.93, 0.2, 0.07, 0.1, (1.0, 0.92, 0.55))
    pen.rect(0.2, 0.0, 0.23, 0.45, dark(paint, 0.4))
    r = dice.between(0.23, 0.27)
    for x in (-0.58, 0.6):
        pen.circle(x, 0.5, r + 0.05, dark(paint, 0.6))
        _wheel(pen, x, 0.52, r)
    return paint


def _wheel(pen: Sketch, x: float, y: float, r: float) -> None:
    pen.circle(x, y, r, INK)
    pen.circle(x, y, r * 0.52, (0.78, 0.79, 0.82))
    pen.circle(x, y, r * 0.2, (0.35, 0.35, 0.4))


def sailing_boat(pen: Sketch, dice: Dice) -> Colour:
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
        band = [(mast + 0.06, -0.1), (mast + 0.52 + belly, -0.1), (mast + 0.66, 0.1), (mast + 0.06, 0.1)]
        pen.polygon(band, stripe)
    jib = dark(sail, 0.1) if dice.chance(0.6) else stripe
    pen.polygon([(mast - 0.06, top + 0.2), (mast - 0.3, -0.1), (mast - 0.68, foot), (mast - 0.06, foot - 0.03)], jib)
    pen.polygon([(mast, top - 0.05), (mast - 0.28, top + 0.04), (mast, top + 0.13)], stripe)
    bow, stern = dice.between(0.9, 1.0), dice.between(0.75, 0.9)
    pen.polygon([(-bow, 0.46), (stern, 0.46), (stern - 0.2, 0.86), (-0.55, 0.86)], hull)
    pen.polygon([(-bow, 0.46), (stern, 0.46), (stern - 0.05, 0.56), (-bow + 0.1, 0.56)], light(hull, 0.65))
    return sail


def steamer(pen: Sketch, dice: Dice) -> Colour:
    hull = dice.colour((0, 20), (200, 240), (340, 360), s=(0.5, 0.85), v=(0.25, 0.7))
    funnel = dice.colour((0, 50), (345, 360), s=(0.65, 0.9), v=(0.7, 0.95))
    count = dice.whole(1, 3)
    xs = {1: (0.1,), 2: (-0.35, 0.4), 3: (-0.35, 0.025, 0.4)}[count]
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
    for x in (-0.54, -0.255, 0.03, 0.315, 0.6):
        pen.circle(x, 0.14, 0.07, (0.25, 0.36, 0.5))
    bow = dice.between(0.95, 1.05)
    pen.polygon([(-0.9, 0.26), (bow, 0.2), (0.72, 0.78), (-0.76, 0.78)], hull)
    pen.polygon([(-0.9, 0.26), (bow, 0.2), (bow - 0.06, 0.32), (-0.87, 0.36)], light(hull, 0.7))
    pen.polygon([(-0.81, 0.62), (0.79, 0.62), (0.72, 0.78), (-0.76, 0.78)], funnel)
    return hull


def airliner(pen: Sketch, dice: Dice) -> Colour:
    """Seen from above, nose up."""
    skin = light((0.82, 0.84, 0.88), dice.between(0, 0.8))
    trim = dice.colour((-10, 10), (215, 235), s=(0.75, 0.95), v=(0.6, 0.9))
    sweep, span = dice.between(0.3, 0.5), dice.between(0.88, 1.0)
    wing = dark(skin, 0.3)
    r = dice.between(0.2, 0.24)
    for s in (-1, 1):
        pen.ellipse(s * 0.45, -0.02 + sweep * 0.3, 0.08, 0.17, trim)
        pen.polygon([(0, -0.22), (s * span, sweep - 0.05), (s * span, sweep + 0.1), (0, 0.24)], wing)
        near, far = s * (span - 0.2), s * span
        pen.polygon([(near, sweep - 0.14), (far, sweep - 0.05), (far, sweep + 0.1), (near, sweep + 0.05)], trim)
        pen.polygon([(0, 0.58), (s * 0.42, 0.82), (s * 0.42, 0.93), (0, 0.84)], wing)
    pen.blob(mirrored([(0, -1), (r * 0.75, -0.82), (r, -0.5), (r, 0.3), (r * 0.6, 0.75), (0, 0.97)]), skin)
    pen.polygon([(-0.035, 0.5), (0.035, 0.5), (0.05, 0.96), (-0.05, 0.96)], trim)
    pen.polygon(mirrored([(0, -0.8), (r * 0.7, -0.72), (r * 0.5, -0.62)]), (0.2, 0.3, 0.42))
    return skin


def propeller_plane(pen: Sketch, dice: Dice) -> Colour:
    """Seen from the side, nose to the right."""
    paint = dice.colour((-8, 10), (42, 54), s=(0.75, 0.95), v=(0.8, 0.98))
    trim = dice.pick([WHITE, dice.colour((200, 230), s=(0.5, 0.85), v=(0.6, 0.9))])
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
    back = [(-0.95, -0.06), (-0.4, -fat * 0.62), (0.2, -fat), (0.68, -fat * 0.85)]
    pen.blob([*back, (0.8, 0), (0.68, fat * 0.9), (0.1, fat), (-0.5, fat * 0.45)], paint)
    pen.polygon([(-0.88, 0.0), (0.8, 0.0), (0.76, 0.1), (-0.8, 0.1)], trim)
    if biplane:
        pen.stroke([(-0.25, -0.55), (0.6, -0.55)], 0.15, dark(paint, 0.15))
        pen.stroke([(-0.3, 0.24), (0.5, 0.24)], 0.15, dark(paint, 0.3))
    else:
        pen.polygon([(0.38, 0.06), (0.02, 0.1), (-0.3, 0.46), (-0.02, 0.46)], dark(paint, 0.35))
    pen.polygon([(-0.9, -0.06), (-0.55, -0.06), (-0.68, 0.08), (-1.0, 0.08)], dark(paint, 0.2))
    pen.ellipse(0.87, 0, 0.05, dice.between(0.45, 0.6), light((0.55, 0.5, 0.45), 0.2))
    pen.ellipse(0.86, 0, 0.12, 0.1, trim)
    return paint
