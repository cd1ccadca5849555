"""Measures the cost of a forward pass up to a layer, in operations and time, as shares of the whole network's.

A FeatureNet stops at the deepest requested layer, so an early layer should cost a fraction of the whole.

    python benchmarks/depth.py [MODEL] [SIDE] [LAYER ...]     default: resnet50 224 conv1 layer1 layer2 layer3 layer4 fc
"""

import sys
import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from dgn.networks.libraries import torchvision


def main(name: str = "resnet50", side: str = "224", *layers: str) -> None:
    net = torchvision(name, input_size=int(side))
    layers = layers or ("conv1", "layer1", "layer2", "layer3", "layer4", "fc")
    images = torch.rand(4, 3, int(side), int(side))
    whole = net.class_layer()
    measured = dict.fromkeys([*layers, whole])
    flops = {layer: operations(net, images, layer) for layer in measured}
    # Layers take turns, and the best round counts, so that other work on the machine affects all alike.
    rounds = [{layer: seconds(net, images, layer) for layer in measured} for _ in range(7)]
    times = {layer: min(round_times[layer] for round_times in rounds) for layer in measured}
    print(f"{name}, {side} px, {len(images)} images: share of what {whole} costs")
    for layer in layers:
        share, time_taken = flops[layer] / flops[whole], times[layer] / times[whole]
        print(f"  {layer:24s} operations {share:6.1%}   time {time_taken:6.1%}")


def operations(net, images, layer: str) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(images, [layer])
    return counter.get_total_flops()


@torch.no_grad()
def seconds(net, images, layer: str) -> float:
    began = time.perf_counter()
    net(images, [layer])
    return time.perf_counter() - began


if __name__ == "__main__":
    main(*sys.argv[1:])
