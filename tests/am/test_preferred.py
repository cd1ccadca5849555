"""Preferred images of several searches."""

import torch

from dgn.am.objectives.language import parse_units
from dgn.am.preferred import Preferred, joined


def test_joined_searches_are_in_the_order_of_the_objectives_and_keep_their_own_steps(target):
    a, b, c = parse_units("5:0-2", target)

    def made(objectives, steps, start):
        jobs = [(o, s) for o in objectives for s in (4, 6)]
        values = torch.tensor([10.0 * int(str(o)[-1]) + s for o, s in jobs])
        curve = values.expand(steps, -1) + torch.arange(steps)[:, None]
        images = values[:, None, None, None].expand(-1, 3, 2, 2)
        return Preferred(images, values, curve, *map(list, zip(*jobs, strict=True)), starts=[start] * len(jobs))

    whole = joined([made([b], 2, "real"), made([a, c], 5, "noise")], [a, b, c])
    assert whole.objectives == [a, a, b, b, c, c]
    assert whole.seeds == [4, 6] * 3
    assert whole.activations.tolist() == whole.images[:, 0, 0, 0].tolist() == [4, 6, 14, 16, 24, 26]
    assert whole.steps == [5, 5, 2, 2, 5, 5]
    assert whole.starts == ["noise"] * 2 + ["real"] * 2 + ["noise"] * 2
    assert whole.curve[:, 0].tolist() == [4, 5, 6, 7, 8]
    assert whole.curve[:2, 3].tolist() == [16, 17]
    assert whole.curve[2:, 2:4].isnan().all()
    assert whole.found == [True] * 6
