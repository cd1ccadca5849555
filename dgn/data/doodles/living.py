"""Living things: tree, flower, mushroom, cactus, fish, bird, cat, butterfly. See made.py for the manner."""

import numpy as np

from dgn.data.doodles.pen import INK, WHITE, Colour, Dice, Sketch, arc, dark, light

ANY = ((0, 360),)


def broadleaf(pen: Sketch, dice: Dice) -> None:
    crown = dice.pick(
        [
            dice.colour((80, 140), s=(0.5, 0.85), v=(0.4, 0.75)),
            dice.colour((80, 140), s=(0.5, 0.85), v=(0.4, 0.75)),
            dice.colour((15, 50), s=(0.65, 0.9), v=(0.7, 0.95)),
        ]
    )
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


def conifer(pen: Sketch, dice: Dice) -> None:
    green = dice.colour((95, 170), s=(0.45, 0.8), v=(0.3, 0.6))
    bark = dice.colour((18, 34), s=(0.4, 0.65), v=(0.3, 0.5))
    pen.rect(-0.11, 0.6, 0.11, 0.98, bark)
    tiers = dice.whole(3, 4)
    wide, snow = dice.between(0.62, 0.78), dice.chance(0.25)
    for i in reversed(range(tiers)):
        top = -1.0 + 1.35 * i / tiers
        foot = -1.0 + 1.72 * (i + 1) / tiers
        half = wide * (0.5 + 0.5 * (i + 1) / tiers) * (0.75 if i == 0 else 1)
        pen.polygon(
            [
                (0, top),
                (half, foot),
                (half * 0.5, foot - 0.06),
                (0, foot + 0.03),
                (-half * 0.5, foot - 0.06),
                (-half, foot),
            ],
            dark(green, 0.12 * (i % 2)),
        )
        pen.polygon([(0, top), (half, foot), (half * 0.5, foot - 0.06), (0.02, foot + 0.03)], dark(green, 0.25))
        if snow:
            pen.polygon(
                [
                    (0, top),
                    (half * 0.45, (top + foot) / 2),
                    (0, top + (foot - top) * 0.35),
                    (-half * 0.45, (top + foot) / 2),
                ],
                WHITE,
            )


def palm(pen: Sketch, dice: Dice) -> None:
    green = dice.colour((80, 150), s=(0.55, 0.85), v=(0.4, 0.7))
    bark = dice.colour((22, 38), s=(0.4, 0.6), v=(0.45, 0.7))
    lean = dice.between(0.1, 0.4)
    x, y = 0.1, -0.4
    pen.stroke([(x - lean - 0.1, 0.95), (x - lean * 0.6, 0.35), (x, y)], 0.26, bark, 0.14)
    for t in (0.2, 0.4, 0.6, 0.8):
        at = (x - lean * 0.75 * t - 0.02, y + 1.3 * t)
        pen.stroke([(at[0] - 0.07, at[1]), (at[0] + 0.07, at[1] + 0.02)], 0.04, dark(bark, 0.35))
    for degrees in (-165, -15, -130, -50, -205, 25, -90):
        a = np.deg2rad(degrees + dice.between(-8, 8))
        dx, dy = 0.85 * np.cos(a), 0.55 * np.sin(a)
        droop = 0.34
        frond = [
            (x, y),
            (x + dx * 0.45, y + dy * 0.8 - 0.14),
            (x + dx, y + dy + droop * abs(np.cos(a))),
            (x + dx * 0.5, y + dy * 0.55 + 0.06),
        ]
        pen.blob(frond, dark(green, dice.between(0, 0.3)))
    for dx in (-0.1, 0.1):
        pen.circle(x + dx, y + 0.08, 0.1, (0.38, 0.22, 0.13))


def daisy(pen: Sketch, dice: Dice) -> None:
    petal = dice.pick(
        [
            WHITE,
            dice.colour((285, 365), s=(0.4, 0.8), v=(0.8, 1.0)),
            dice.colour((40, 55), s=(0.75, 0.95), v=(0.9, 1.0)),
            dice.colour((215, 285), s=(0.4, 0.75), v=(0.75, 0.98)),
        ]
    )
    eye = dice.pick([(0.98, 0.78, 0.2), (0.42, 0.25, 0.12), (0.95, 0.6, 0.15)])
    green = dice.colour((85, 140), s=(0.5, 0.8), v=(0.4, 0.7))
    bend = dice.between(-0.15, 0.15)
    x, y = 0.0, -0.32
    pen.stroke([(x, y), (bend, 0.35), (0, 1.0)], 0.1, green)
    for s in (-1, 1):
        at = dice.between(0.5, 0.75)
        pen.blob([(0, at + 0.1), (s * 0.25, at - 0.17), (s * 0.58, at - 0.2), (s * 0.35, at + 0.06)], dark(green, 0.15))
    petals, long = dice.whole(6, 11), dice.between(0.58, 0.68)
    width, turn = 1.15 * long * np.pi / petals / 2 + 0.02, dice.between(0, 60)
    for k in range(petals):
        a = 360 * k / petals + turn
        r = np.deg2rad(a)
        colour = petal if k % 2 else dark(petal, 0.1)
        pen.ellipse(x + long * 0.56 * np.cos(r), y + long * 0.56 * np.sin(r), long * 0.46, width, colour, a)
    size = dice.between(0.2, 0.28)
    pen.circle(x, y, size, dark(eye, 0.25))
    pen.circle(x - 0.02, y - 0.02, size * 0.8, eye)


def tulip(pen: Sketch, dice: Dice) -> None:
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
        pen.blob(
            [(0, foot), (s * w * 0.75, -0.1), (s * w, -0.45), (s * w * 0.92, -0.95), (s * w * 0.35, -0.55)],
            dark(petal, 0.08 + 0.06 * s),
        )
    pen.blob(
        [(0, foot), (w * 0.5, -0.2), (w * 0.4, -0.55), (0, -0.88), (-w * 0.4, -0.55), (-w * 0.5, -0.2)],
        light(petal, 0.15),
    )


def toadstool(pen: Sketch, dice: Dice) -> None:
    cap = dice.colour((-12, 22), s=(0.75, 0.95), v=(0.7, 0.95))
    stem = light(dice.colour((35, 50), s=(0.1, 0.3), v=(0.9, 1.0)), 0.3)
    w, top = dice.between(0.2, 0.28), dice.between(-0.9, -0.8)
    pen.blob(
        [(-w, 0.0), (w, 0.0), (w * 1.05, 0.5), (w * 1.5, 0.85), (0, 0.98), (-w * 1.5, 0.85), (-w * 1.05, 0.5)], stem
    )
    pen.polygon([(w * 0.3, 0), (w, 0), (w * 1.05, 0.5), (w * 1.4, 0.85), (w * 0.5, 0.93)], dark(stem, 0.18))
    pen.ellipse(0, 0.08, 0.88, 0.16, dark(stem, 0.22))
    if dice.chance(0.6):
        pen.polygon([(-w * 0.9, 0.24), (w * 0.9, 0.24), (w * 1.5, 0.42), (-w * 1.5, 0.42)], light(stem, 0.5))
    foot = 0.1
    pen.polygon(np.concatenate([arc(0, foot, 0.95, foot - top, 180, 360), arc(0, foot, 0.95, 0.1, 0, 180)]), cap)
    grow = dice.between(0.85, 1.15)
    for x, y, r in (
        (-0.1, -0.55, 0.16),
        (-0.58, -0.22, 0.13),
        (0.42, -0.4, 0.14),
        (0.05, -0.15, 0.14),
        (0.68, -0.05, 0.1),
        (-0.35, 0.02, 0.08),
    ):
        pen.ellipse(x, y, r * grow, r * grow * 0.9, WHITE)


def brown_mushrooms(pen: Sketch, dice: Dice) -> None:
    cap = dice.colour((16, 38), s=(0.4, 0.75), v=(0.4, 0.75))
    stem = light(dice.colour((32, 48), s=(0.2, 0.4), v=(0.85, 0.98)), 0.2)
    one, two = dice.between(-0.3, -0.22), dice.between(0.42, 0.52)
    for x, y, w, h, foot in ((two, 0.12, 0.45, 0.48, 0.9), (one, -0.28, 0.66, 0.62, 0.98)):
        pen.polygon([(x - w * 0.3, y), (x + w * 0.3, y), (x + w * 0.42, foot), (x - w * 0.42, foot)], stem)
        pen.polygon([(x + w * 0.05, y), (x + w * 0.3, y), (x + w * 0.42, foot), (x + w * 0.1, foot)], dark(stem, 0.2))
        pen.ellipse(x, y, w * 0.95, w * 0.2, light(stem, 0.3))
        for t in (-0.6, -0.3, 0.0, 0.3, 0.6):
            pen.stroke([(x + t * 0.5 * w, y), (x + t * w * 1.2, y + w * 0.16)], 0.025, dark(stem, 0.4))
        pen.polygon(np.concatenate([arc(x, y, w, h, 180, 360), arc(x, y, w, w * 0.06, 0, 180)]), cap)
        pen.ellipse(x - w * 0.35, y - h * 0.5, w * 0.28, h * 0.16, light(cap, 0.35), -35)


def _pot(pen: Sketch, dice: Dice, y: float, w: float) -> None:
    clay = dice.pick(
        [dice.colour((12, 25), s=(0.5, 0.75), v=(0.65, 0.85)), dice.colour((190, 420), s=(0.3, 0.7), v=(0.6, 0.95))]
    )
    pen.polygon([(-w, y), (w, y), (w * 0.74, 0.98), (-w * 0.74, 0.98)], clay)
    pen.polygon([(w * 0.3, y), (w, y), (w * 0.74, 0.98), (w * 0.2, 0.98)], dark(clay, 0.18))
    pen.rect(-w * 1.12, y - 0.08, w * 1.12, y + 0.1, light(clay, 0.12))


def saguaro(pen: Sketch, dice: Dice) -> None:
    green = dice.colour((95, 155), s=(0.45, 0.8), v=(0.4, 0.7))
    rib = dice.pick([light(green, 0.35), dark(green, 0.35)])
    w = dice.between(0.34, 0.42)
    top = -0.98 + w / 2
    arms = [(s, dice.between(0.05, 0.4), dice.between(-0.5, -0.2)) for s in (-1, 1)]
    for s, low, high in arms:
        x = s * dice.between(0.6, 0.7)
        pen.stroke([(0, low), (x * 0.75, low), (x, low - 0.2), (x, high)], w * 0.68, dark(green, 0.1))
        pen.stroke([(x * 0.5, low), (x * 0.78, low - 0.02), (x, low - 0.2), (x, high)], 0.04, rib)
    pen.stroke([(0, top), (0, 0.85)], w, green)
    pen.circle(0, top, w / 2, green)
    for dx in (-0.28, 0, 0.28):
        pen.stroke([(dx * w, top), (dx * w, 0.8)], 0.04, rib)
    if dice.chance(0.4):
        pen.circle(0, top - w / 2, 0.12, dice.colour((320, 400), s=(0.5, 0.8), v=(0.9, 1.0)))
    sand = dice.colour((30, 46), s=(0.35, 0.55), v=(0.75, 0.92))
    pen.sector(0, 0.95, 0.62, 0.2, 180, 360, sand)


def potted_cactus(pen: Sketch, dice: Dice) -> None:
    green = dice.colour((90, 160), s=(0.45, 0.8), v=(0.4, 0.72))
    w, h = dice.between(0.55, 0.66), dice.between(0.6, 0.72)
    y = 0.35 - h + 0.1
    pen.ellipse(0, y, w, h, dark(green, 0.15))
    for k, share in enumerate((0.78, 0.5, 0.2)):
        pen.ellipse(0, y, w * share, h, green if k % 2 == 0 else dark(green, 0.22))
    for x in (-0.64, -0.34, 0.0, 0.34, 0.64):
        for t in (-0.45, 0.0, 0.45):
            pen.polygon(
                [
                    (x * w - 0.05, y + t * h - 0.05),
                    (x * w + 0.01, y + t * h),
                    (x * w + 0.05, y + t * h - 0.06),
                    (x * w, y + t * h + 0.06),
                ],
                light(green, 0.75),
            )
    bloom = dice.colour((300, 410), s=(0.5, 0.85), v=(0.9, 1.0))
    if dice.chance(0.7):
        for a in (-150, -110, -70, -30):
            r = np.deg2rad(a)
            pen.ellipse(0.13 * np.cos(r), y - h + 0.02 + 0.13 * np.sin(r), 0.15, 0.08, bloom, a)
        pen.circle(0, y - h, 0.07, (1.0, 0.85, 0.3))
    _pot(pen, dice, 0.4, dice.between(0.48, 0.58))


def _eye(pen: Sketch, x: float, y: float, r: float) -> None:
    pen.circle(x, y, r, WHITE)
    pen.circle(x + r * 0.15, y, r * 0.6, INK)


def slim_fish(pen: Sketch, dice: Dice) -> None:
    skin = dice.colour((0, 55), (170, 230), (340, 360), s=(0.45, 0.85), v=(0.6, 0.95))
    fin = dice.pick([dark(skin, 0.25), dice.colour((0, 60), (340, 360), s=(0.6, 0.9), v=(0.7, 0.95))])
    h = dice.between(0.36, 0.46)
    pen.polygon([(-0.5, 0), (-1.0, -0.46), (-0.84, 0), (-1.0, 0.46)], fin)
    pen.blob([(-0.2, -h * 0.7), (0.0, -h - 0.26), (0.35, -h * 0.8), (0.1, -h * 0.5)], fin)
    pen.blob([(-0.1, h * 0.6), (-0.22, h + 0.2), (0.18, h * 0.8)], fin)
    body = [
        (-0.66, 0),
        (-0.25, -h * 0.75),
        (0.3, -h),
        (0.8, -h * 0.55),
        (1.0, 0.03),
        (0.8, h * 0.55),
        (0.3, h),
        (-0.25, h * 0.75),
    ]
    pen.blob(body, skin)
    pen.blob(
        [(-0.6, 0.04), (0.2, h * 0.35), (0.92, 0.14), (0.76, h * 0.58), (0.3, h * 0.95), (-0.25, h * 0.72)],
        light(skin, 0.55),
    )
    if dice.chance(0.5):
        for x in (-0.3, -0.02, 0.26):
            pen.stroke([(x, -h * 0.72), (x - 0.07, 0), (x - 0.02, h * 0.5)], 0.1, dark(skin, 0.3))
    else:
        for x, y in ((-0.3, -0.1), (-0.08, -0.2), (-0.1, 0.06), (0.14, -0.1), (0.14, 0.16)):
            pen.sector(x, y, 0.1, 0.1, 90, 270, dark(skin, 0.25))
    pen.stroke([(0.46, -h * 0.6), (0.38, 0), (0.46, h * 0.6)], 0.045, dark(skin, 0.45))
    pen.blob([(0.3, 0.04), (-0.02, 0.12), (0.0, 0.3), (0.22, 0.2)], fin)
    _eye(pen, 0.68, -0.1, 0.12)


def round_fish(pen: Sketch, dice: Dice) -> None:
    skin = dice.colour((15, 60), (180, 300), s=(0.5, 0.9), v=(0.65, 0.98))
    band = dice.pick([WHITE, INK, dark(skin, 0.5), light(skin, 0.7)])
    fin = dice.pick([skin, dark(skin, 0.2), dice.colour((15, 60), s=(0.7, 0.9), v=(0.85, 1.0))])
    h = dice.between(0.62, 0.7)
    pen.polygon([(-0.4, 0), (-0.95, -0.36), (-0.88, 0), (-0.95, 0.36)], fin)
    for s in (-1, 1):
        pen.blob(
            [(0.3, s * h * 0.7), (-0.05, s * (h + 0.2)), (-0.5, s * (h + 0.3)), (-0.35, s * h * 0.55)], dark(fin, 0.15)
        )
    pen.blob(
        [
            (-0.6, 0),
            (-0.3, -h * 0.75),
            (0.15, -h),
            (0.6, -h * 0.6),
            (0.92, 0.02),
            (0.6, h * 0.6),
            (0.15, h),
            (-0.3, h * 0.75),
        ],
        skin,
    )
    for x, k in ((-0.22, 0.8), (0.22, 0.94)):
        pen.polygon(
            [
                (x - 0.1, -h * k),
                (x + 0.1, -h * (k + 0.02)),
                (x + 0.04, 0),
                (x + 0.1, h * (k + 0.02)),
                (x - 0.1, h * k),
                (x - 0.16, 0),
            ],
            band,
        )
    pen.ellipse(0.93, 0.04, 0.08, 0.06, dark(skin, 0.35))
    _eye(pen, 0.58, -0.14, 0.14)
    pen.blob([(0.24, 0.08), (-0.1, 0.02), (-0.06, 0.26)], dark(fin, 0.3))


def duck(pen: Sketch, dice: Dice) -> None:
    down = dice.pick(
        [dice.colour((42, 56), s=(0.6, 0.9), v=(0.9, 1.0)), WHITE, dice.colour((20, 40), s=(0.35, 0.6), v=(0.5, 0.75))]
    )
    head = dice.pick([down, down, dice.colour((130, 165), s=(0.6, 0.85), v=(0.3, 0.5))])
    bill = dice.colour((15, 40), s=(0.8, 0.95), v=(0.9, 1.0))
    x, y = dice.between(0.4, 0.48), dice.between(-0.56, -0.48)
    pen.blob([(x + 0.22, y - 0.06), (x + 0.58, y + 0.0), (x + 0.6, y + 0.12), (x + 0.25, y + 0.2)], bill)
    body = [
        (-0.98, -0.12),
        (-0.6, 0.06),
        (-0.1, -0.02),
        (0.25, -0.1),
        (0.6, 0.1),
        (0.7, 0.42),
        (0.4, 0.76),
        (-0.3, 0.8),
        (-0.8, 0.45),
    ]
    pen.polygon([(x - 0.26, y), (x + 0.24, y + 0.1), (0.66, 0.3), (0.1, 0.2)], head)
    pen.circle(x, y, 0.33, head)
    pen.blob(body, down)
    if head is not down:
        pen.stroke([(0.12, -0.08), (0.4, 0.0), (0.6, 0.06)], 0.09, WHITE)
    pen.blob([(-0.62, 0.16), (-0.1, 0.12), (0.28, 0.28), (0.05, 0.56), (-0.4, 0.5)], dark(down, 0.2))
    _eye(pen, x + 0.1, y - 0.08, 0.09)


def penguin(pen: Sketch, dice: Dice) -> None:
    coat = dark(dice.colour((200, 260), s=(0.2, 0.6), v=(0.25, 0.5)), dice.between(0.1, 0.4))
    beak = dice.colour((20, 42), s=(0.8, 0.95), v=(0.9, 1.0))
    w = dice.between(0.48, 0.58)
    for s in (-1, 1):
        pen.ellipse(s * 0.24, 0.9, 0.22, 0.1, beak)
        lift = dice.between(0.05, 0.3)
        pen.blob(
            [(s * w * 0.7, -0.25), (s * (w + 0.1 + lift), 0.15), (s * (w + 0.1 + lift), 0.38), (s * w * 0.9, 0.2)],
            dark(coat, 0.2),
        )
    pen.blob(
        [
            (0, -0.98),
            (0.33, -0.86),
            (0.4, -0.5),
            (w, 0.05),
            (w * 0.95, 0.6),
            (0.3, 0.9),
            (-0.3, 0.9),
            (-w * 0.95, 0.6),
            (-w, 0.05),
            (-0.4, -0.5),
            (-0.33, -0.86),
        ],
        coat,
    )
    pen.blob(
        [
            (0, -0.3),
            (0.3, -0.2),
            (w * 0.7, 0.2),
            (w * 0.65, 0.6),
            (0, 0.86),
            (-w * 0.65, 0.6),
            (-w * 0.7, 0.2),
            (-0.3, -0.2),
        ],
        WHITE,
    )
    for s in (-1, 1):
        pen.ellipse(s * 0.15, -0.62, 0.16, 0.19, WHITE)
        pen.circle(s * 0.14, -0.63, 0.075, INK)
    pen.polygon([(-0.15, -0.5), (0.15, -0.5), (0, -0.3)], beak)
    if dice.chance(0.35):
        scarf = dice.colour(*ANY, s=(0.7, 0.9), v=(0.7, 0.95))
        pen.stroke([(-0.38, -0.3), (0, -0.2), (0.38, -0.3)], 0.15, scarf)
        pen.stroke([(0.2, -0.25), (0.26, 0.1)], 0.14, dark(scarf, 0.15))


def _fur(dice: Dice) -> Colour:
    return dice.pick(
        [
            dice.colour((18, 36), s=(0.55, 0.8), v=(0.75, 0.95)),
            dice.colour((20, 40), s=(0.05, 0.15), v=(0.45, 0.7)),
            dice.colour((220, 280), s=(0.1, 0.3), v=(0.2, 0.32)),
            dice.colour((28, 40), s=(0.15, 0.35), v=(0.85, 0.97)),
            dice.colour((18, 30), s=(0.45, 0.65), v=(0.4, 0.55)),
        ]
    )


def _whiskers(pen: Sketch, x: float, y: float, long: float, colour: Colour) -> None:
    for s in (-1, 1):
        for tilt in (-0.12, 0.02, 0.16):
            pen.stroke([(x + s * 0.22 * long, y + tilt * 0.3), (x + s * long, y + tilt)], 0.03, colour)


def cat_face(pen: Sketch, dice: Dice) -> None:
    fur = _fur(dice)
    iris = dice.colour((45, 150), (190, 210), s=(0.55, 0.85), v=(0.75, 0.98))
    lift, out = dice.between(0.0, 0.08), dice.between(0.72, 0.8)
    for s in (-1, 1):
        pen.polygon([(s * 0.18, -0.55), (s * out, -1.0 + lift), (s * 0.86, -0.05)], fur)
        pen.polygon([(s * 0.34, -0.55), (s * (out - 0.05), -0.82 + lift), (s * 0.74, -0.25)], (0.92, 0.62, 0.62))
    pen.blob(
        [
            (0, -0.66),
            (0.5, -0.58),
            (0.86, -0.15),
            (0.92, 0.25),
            (0.6, 0.68),
            (0, 0.84),
            (-0.6, 0.68),
            (-0.92, 0.25),
            (-0.86, -0.15),
            (-0.5, -0.58),
        ],
        fur,
    )
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


def sitting_cat(pen: Sketch, dice: Dice) -> None:
    fur = _fur(dice)
    iris = dice.colour((45, 150), s=(0.55, 0.85), v=(0.8, 0.98))
    tip = dice.between(-0.2, 0.15)
    pen.stroke([(0.1, 0.82), (0.62, 0.82), (0.82, 0.45), (0.68, 0.15), (0.84, tip)], 0.2, dark(fur, 0.15), 0.14)
    w = dice.between(0.44, 0.54)
    pen.blob(
        [
            (0, -0.35),
            (0.3, -0.15),
            (w, 0.4),
            (w, 0.85),
            (0.25, 0.96),
            (-0.25, 0.96),
            (-w, 0.85),
            (-w, 0.4),
            (-0.3, -0.15),
        ],
        fur,
    )
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


def open_butterfly(pen: Sketch, dice: Dice) -> None:
    wing = dice.colour(*ANY, s=(0.55, 0.9), v=(0.7, 1.0))
    edge = dice.pick([INK, dark(wing, 0.5), dark(wing, 0.65)])
    spot = dice.pick([WHITE, light(wing, 0.7), dice.colour(*ANY, s=(0.6, 0.9), v=(0.85, 1.0))])
    up, low = dice.between(0.85, 1.0), dice.between(0.62, 0.75)
    for s in (-1, 1):
        fore = np.array([(0.04, -0.12), (0.4, -0.72), (0.85, -0.85), (up, -0.5), (0.75, -0.05), (0.3, 0.1)]) * (s, 1)
        hind = np.array([(0.04, 0.02), (0.45, 0.0), (low + 0.08, 0.3), (low - 0.1, 0.75), (0.32, 0.8), (0.1, 0.4)]) * (
            s,
            1,
        )
        for shape, colour in ((hind, dark(wing, 0.18)), (fore, wing)):
            pen.blob(shape, edge)
            pen.blob((shape - shape.mean(0)) * 0.76 + shape.mean(0) - (s * 0.05, 0), colour)
        pen.circle(s * 0.64, -0.46, 0.14, spot)
        pen.circle(s * 0.44, 0.42, 0.12, spot)
        pen.circle(s * 0.34, -0.22, 0.08, spot)
        pen.stroke([(0, -0.4), (s * 0.12, -0.72), (s * 0.3, -0.92)], 0.04, INK)
        pen.circle(s * 0.3, -0.92, 0.05, INK)
    pen.ellipse(0, 0.08, 0.09, 0.52, dark(edge, 0.4))
    pen.circle(0, -0.42, 0.11, dark(edge, 0.4))


def folded_butterfly(pen: Sketch, dice: Dice) -> None:
    """Seen from the side, head to the right, wings held up together."""
    wing = dice.colour(*ANY, s=(0.55, 0.9), v=(0.7, 1.0))
    edge = dice.pick([INK, dark(wing, 0.5), dark(wing, 0.65)])
    spot = dice.pick([WHITE, light(wing, 0.7), dice.colour(*ANY, s=(0.6, 0.9), v=(0.85, 1.0))])
    fore = np.array([(0.3, 0.5), (0.42, -0.2), (0.3, -0.85), (-0.1, -1.0), (-0.35, -0.6), (-0.15, 0.1)])
    hind = np.array([(0.15, 0.55), (0.05, 0.0), (-0.4, -0.3), (-0.85, -0.15), (-0.9, 0.3), (-0.45, 0.6)])
    fore[:, 0] += dice.between(-0.1, 0.1)
    for shape, colour in ((fore, wing), (hind, light(wing, 0.18))):
        pen.blob(shape, edge)
        pen.blob((shape - shape.mean(0)) * 0.78 + shape.mean(0) + (0.03, 0.03), colour)
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
