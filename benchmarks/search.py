"""Measures how fast searches are: `python benchmarks/search.py [--turns N] [--steps N]`.

Image-steps a second of `method=olah2017`, against the loop that lucent publishes (`lucent.optvis.render.render_vis`,
its defaults), in the same process, on the same target, unit and size, in turns. The target is torchvision's ResNet-18
with random weights, the unit a channel of layer2, the image 128 px. Lucent enlarges images below 224 px before the
network; it is measured so, and with `fixed_image_size` at 128. The loop is written out here from lucent 0.1.8, which
needs kornia: its rotations and shifts are torch's `grid_sample` and `roll`. Then: units from 1 to 1,000 of a small
network, one image each. Prints medians over the turns, and the ratio with its range.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import resnet18
from torchvision.transforms import Normalize

from dgn import methods
from dgn.networks.featurenet import FeatureNet
from dgn.networks.libraries import torchvision
from dgn.networks.zoo import mini_caffenet

SIZE, CHANNEL = 128, 12
COLOUR = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.0, -0.05], [0.27, -0.09, 0.03]])


def lucent(model: nn.Module, layer: nn.Module, batch: int, steps: int, fixed: int) -> None:
    """`render_vis(model, objectives.channel(layer, CHANNEL), lambda: param.image(SIZE, batch=batch))`."""
    frequencies = np.sqrt(np.fft.fftfreq(SIZE)[:, None] ** 2 + np.fft.fftfreq(SIZE)[: SIZE // 2 + 1] ** 2)
    scale = torch.tensor(1 / np.maximum(frequencies, 1 / SIZE)).float()[None, None, ..., None]
    spectrum = (torch.randn(batch, 3, SIZE, SIZE // 2 + 1, 2) * 0.01).requires_grad_(True)
    correlation = COLOUR / COLOUR.norm(dim=0).max()
    optimizer = torch.optim.Adam([spectrum], lr=5e-2)
    normalize = Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
    seen: list[Tensor] = []
    chance = np.random.default_rng(0)
    # Lucent hooks every module of the network, and keeps what each gives.
    handles = [
        m.register_forward_hook(lambda m, _, out: seen.append(out) if m is layer else None) for m in model.modules()
    ]

    def image() -> Tensor:
        pixels = torch.fft.irfftn(torch.view_as_complex(scale * spectrum), s=(SIZE, SIZE), norm="ortho") / 4
        colours = pixels.permute(0, 2, 3, 1) @ correlation.T
        return torch.sigmoid(colours.permute(0, 3, 1, 2))

    def transformed(x: Tensor) -> Tensor:
        x = torch.roll(F.pad(x, [12] * 4, value=0.5), tuple(chance.choice(8, 2).tolist()), (2, 3))
        factor = chance.choice([1 + (i - 5) / 50.0 for i in range(11)])
        side = int(np.ceil(factor * x.shape[-1]))
        margin = max(0, int(np.ceil((x.shape[-1] - side) / 2)))
        x = F.pad(F.interpolate(x, (side, side), mode="bilinear", align_corners=True), [margin] * 4)
        angle = np.deg2rad(chance.choice([*range(-10, 11), *([0] * 5)]))
        turn = torch.tensor([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0]]).float()
        x = F.grid_sample(x, F.affine_grid(turn.expand(len(x), 2, 3), list(x.shape), False), align_corners=False)
        x = torch.roll(x, tuple(chance.choice(4, 2).tolist()), (2, 3))
        x = torch.stack([normalize(one) for one in x])
        return F.interpolate(x, (fixed, fixed), mode="bilinear", align_corners=True)

    for _ in range(steps):
        optimizer.zero_grad()
        seen.clear()
        model(transformed(image()))
        (-seen[-1][:, CHANNEL].mean()).backward()
        optimizer.step()
    for handle in handles:
        handle.remove()


def rate(images: int, steps: int, work: Callable[[], object]) -> float:
    """Image-steps a second."""
    began = time.perf_counter()
    work()
    return images * steps / (time.perf_counter() - began)


def against_lucent(turns: int, steps: int) -> None:
    torch.manual_seed(0)
    model = resnet18().eval()
    targets = {size: torchvision(name="resnet18", weights=None, seed=0, input_size=size) for size in (224, SIZE)}
    unit = f"layer2:{CHANNEL}@mean"
    print(f"| images at once | network sees | dgn | lucent | ratio (range of {turns} turns) |\n|{'---|' * 5}")
    for batch in (1, 16):
        count = steps if batch > 1 else 4 * steps
        for size, target in targets.items():

            def ours(number: int, target: FeatureNet = target, batch: int = batch) -> object:
                return methods.olah2017(
                    target, unit, seeds=batch, steps=number, batch_size=batch, canvas_size=SIZE, start="noise"
                )

            def theirs(number: int, size: int = size, batch: int = batch) -> None:
                lucent(model, model.layer2, batch, number, size)

            pairs = []
            for turn in range(turns + 1):
                pair = rate(batch, count, lambda: ours(count)), rate(batch, count, lambda: theirs(count))  # noqa: B023
                pairs += [pair] if turn else []  # the first turn loads what it needs
            ratios = [a / b for a, b in pairs]
            cells = [f"{statistics.median(column):.1f} /s" for column in zip(*pairs, strict=True)]
            cells.append(f"{statistics.median(ratios):.1f} ({min(ratios):.1f} .. {max(ratios):.1f})")
            print(f"| {batch} | {size} px | {' | '.join(cells)} |", flush=True)


def with_units(steps: int) -> None:
    print("\n| units | image-steps a second | seconds |\n|---|---|---|")
    target = mini_caffenet(classes=1000)
    for units in (1, 10, 100, 1000):
        began = time.perf_counter()
        found = rate(units, steps, lambda: methods.pixels(target, f"fc8:0-{units - 1}", steps=steps))  # noqa: B023
        print(f"| {units:,} | {found:.0f} | {time.perf_counter() - began:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    against_lucent(options.turns, options.steps)
    with_units(options.steps)


if __name__ == "__main__":
    main()
