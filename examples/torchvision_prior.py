"""Trains a prior for a torchvision network: python examples/torchvision_prior.py [STEPS IMAGES]."""

import sys

from dgn import train_prior
from dgn.data.sources import doodles
from dgn.networks.libraries import torchvision

steps, images = map(int, sys.argv[1:] or (2400, 16000))

encoder = torchvision("resnet18", weights=None, input_size=64)  # weights="DEFAULT": downloads the published ones
data = doodles(image_size=64, train_images=images)  # or image_folder(FOLDER, image_size=64)
prior = train_prior(encoder, data, layer="layer4", steps=steps, progress=True)
prior.save("resnet18.safetensors")
print(prior.about["metrics"])
