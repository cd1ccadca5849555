"""Fits a top-k sparse autoencoder to a layer of a torchvision network, on photographs.

    python benchmarks/fit_autoencoder.py PHOTOS squeezenet1_0 DEFAULT features.12 sae.safetensors
    python visualize.py target=torchvision target.name=squeezenet1_0 target.weights=DEFAULT \
        'units=sae(sae.safetensors):0-99' method=pixels seeds=1

A last argument holds more of the network's settings as JSON: '{"input_size": 227}'.
"""

import json
import sys

import torch
from safetensors.torch import save_file
from torch import nn

from dgn.data.sources import image_folder
from dgn.networks.libraries import torchvision

LATENTS, KEPT, IMAGES, STEPS, BATCH = 256, 8, 300, 1500, 512

folder, name, weights, layer, file, *rest = sys.argv[1:]
settings = json.loads(rest[0]) if rest else {}
net = torchvision(name, weights=weights, **settings)
data = image_folder(folder, settings.get("input_size", 224), mirror=False)

torch.manual_seed(0)
with torch.no_grad():  # activations of all positions as rows: (images x positions, units)
    maps = [net(images, [layer])[layer].flatten(2) for images, _ in data.real_images(IMAGES)]
rows = torch.cat(maps).movedim(1, 2).flatten(0, 1)
scale = 1 / rows.norm(dim=1).mean()  # so that one step size serves every layer
rows *= scale

encoder, decoder = nn.Linear(rows.shape[1], LATENTS), nn.Linear(LATENTS, rows.shape[1])
with torch.no_grad():
    decoder.weight.copy_(nn.functional.normalize(encoder.weight.T, dim=0))
    decoder.bias.copy_(rows.mean(0))
optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=2e-3)
for _ in range(STEPS):
    x = rows[torch.randint(len(rows), (BATCH,))]
    before = encoder(x - decoder.bias)
    largest = before.topk(KEPT)
    latents = torch.zeros_like(before).scatter(1, largest.indices, largest.values.relu())
    loss = (decoder(latents) - x).square().sum(1).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(f"unexplained variance {loss.item() / rows.var(0).sum().item():.3f}")

weight, atoms = encoder.weight.T * scale, decoder.weight.T / scale  # they read unscaled activations
tensors = {"W_enc": weight, "b_enc": encoder.bias, "W_dec": atoms, "b_dec": decoder.bias / scale}
tensors = {key: value.detach().contiguous() for key, value in tensors.items()}
save_file(tensors, file, metadata={"architecture": "topk", "k": str(KEPT), "layer": layer})
