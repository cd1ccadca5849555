"""A preferred image by the newest prior; trains one if none is there: python examples/example.py [STEPS IMAGES]."""

import sys

from dgn import Prior, UserError, maximize, train_prior, unit
from dgn.data.doodles import CLASSES
from dgn.data.sources import doodles
from dgn.networks.zoo import mini_caffenet
from dgn.prior import find_prior

try:
    prior = Prior.load(find_prior(None))
except UserError:
    steps, images = map(int, sys.argv[1:] or (200, 2000))
    encoder = mini_caffenet(labels=CLASSES)  # with random weights; weights="FILE": trained ones
    prior = train_prior(encoder, doodles(train_images=images), "fc6", steps, progress=True)
    prior.save("outputs/train/example/prior.safetensors")
preferred = maximize(prior.encoder_net(), unit("fc8", 0), prior)
print(*preferred.save("preferred"), f"activation {preferred.activations[0]:.2f}")
