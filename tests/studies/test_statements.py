"""The rules of verdicts: numbers as the claim says hold, the contrary ones do not."""

import pytest

from dgn.studies.architectures import ITSELF, Architectures
from dgn.studies.base import Numbers
from dgn.studies.canonical import Canonical
from dgn.studies.layers import Layers
from dgn.studies.lookalikes import Lookalikes
from dgn.studies.memorization import Memorization
from dgn.studies.methods import Methods
from dgn.studies.modified import Modified
from dgn.studies.verdicts import verdict

CLAIMED = {
    Layers(): {
        "map codes/repetition": 0.6,
        "map codes/coherence": 0.2,
        "vector codes/repetition": 0.3,
        "vector codes/coherence": 0.8,
    },
    Modified(modifications=("brg",)): {
        "brg: regular units/taken for modified": 0.1,
        "brg: modified units/taken for modified": 0.9,
        "brg: prior, regular images/taken for modified": 0.2,
    },
    Canonical(): {
        "upright classes/turned": 0.1,
        "upright classes/spread": 0.3,
        "varied classes/turned": 0.7,
        "varied classes/spread": 1.9,
    },
    Lookalikes(): {
        f"{name}/{figure}": value
        for name, value in (("logit", 0.1), ("softmax", 0.9))
        for figure in ("margin", "told apart", "difference")
    },
    Memorization(): {"pixels/ratio": 1.3, "fc6/ratio": 1.2},
    Methods(others=("pixels", "olah2017")): {
        "dgn_am_short/recognized": 0.9,
        "dgn_am_short/frechet": 20.0,
        "pixels/recognized": 0.1,
        "pixels/frechet": 90.0,
        "olah2017/recognized": 0.3,
        "olah2017/frechet": 70.0,
    },
    Architectures(targets=()): {
        f"{row}/{figure}": value
        for row, values in ((ITSELF, (0, 10, 0.9)), ("near", (0.2, 30, 0.6)), ("far", (0.6, 50, 0.1)))
        for figure, value in zip(("distance", "frechet", "recognized"), values, strict=True)
    },
}


def seeds(numbers: dict[str, float], sign: float) -> Numbers:
    """Three seeds of numbers that vary a little; sign -1: with every difference between them reversed."""
    largest = {name.rpartition("/")[2]: 0.0 for name in numbers}
    for name, value in numbers.items():
        figure = name.rpartition("/")[2]
        largest[figure] = max(largest[figure], value)
    changed = {
        name: value if sign > 0 or name.endswith("distance") else 1.1 * largest[name.rpartition("/")[2]] - value
        for name, value in numbers.items()
    }
    return Numbers([{name: value * (1 + 0.001 * seed) for name, value in changed.items()} for seed in range(3)])


@pytest.mark.parametrize("study", CLAIMED, ids=lambda study: type(study).__name__)
def test_numbers_as_claimed_give_holds_and_contrary_ones_do_not(study):
    assert verdict(study.statements(seeds(CLAIMED[study], 1))) == "holds"
    assert verdict(study.statements(seeds(CLAIMED[study], -1))) == "does not hold"
