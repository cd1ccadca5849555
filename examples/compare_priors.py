"""Compares priors of one network: python examples/compare_priors.py fc8:all PRIOR PRIOR."""

import sys

from dgn import Prior, dgn_am, parse_units
from dgn.data.sources import doodles
from dgn.metrics.ranking import RankingMetrics

units, *paths = sys.argv[1:]
data = doodles(cache="none")
real = list(data.real_images(200, "val"))
for path in paths:
    prior = Prior.load(path)
    target = prior.encoder_net()
    # Replace None with a judge that shares no weights with the target to measure recognition too.
    metrics = RankingMetrics(None, target, real, data.classes)
    preferred = dgn_am(prior, parse_units(units, target), seeds=range(4))
    print(path, prior.about["metrics"], metrics.measure(preferred.images, [o.wanted for o in preferred.objectives]))
