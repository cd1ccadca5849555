"""Measures the training step against the sum of its networks' passes, an earlier recipe, and a plain step.

    python benchmarks/step.py [--overrides KEY=VALUE ...] [--turns 5]
    python benchmarks/step.py --recipe short --earlier paper --only step earlier half plain --steps 1 --turns 2 \
        --overrides encoder=caffenet encoder.weights=null generator.width=1 data.image_size=228 data.batch_size=64 \
        data.train_images=256 data.val_images=64 statistics.images=64

Prints milliseconds of a step, images/s, and ratios, for the default task (or the overrides'):

step         `Inversion.training_step` of recipe=short (--recipe)
earlier      the same with recipe=paper_short (--earlier)
half         the step of --recipe at half the side (progressive.until)
... codes    the first two with data.cache=codes
passes       the forward and backward passes that a step cannot do without, each timed alone: E on x; C on G(y) and back
             to the image; G and back to its weights; D and back to its weights and its input; Adam
plain        a step as published PyTorch trainings of DeePSiM write it, with the networks of --earlier: E and C keep
             their graphs, E(x) and C(x) are separate passes, D sees x, G(y) detached and G(y) again, an optimizer for
             each network, losses read by .item() one by one

All take turns in one process, so that other work on the machine affects all of them alike.
"""

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from unittest import mock

import torch
import torch.nn.functional as F

from dgn.cli import train_prior
from dgn.cli.config import compose, plain
from dgn.networks.precision import low_precision
from dgn.training import inversion
from dgn.training.inversion import Inversion

KINDS = ("step", "earlier", "half", "codes", "passes", "plain")


class Kept(Exception):
    """Ends a run when its module is built."""


def build(overrides: list[str]) -> tuple[Inversion, torch.Tensor]:
    """Returns the module of a training and a batch of its images, without training."""
    kept = {}

    def keep(trainer: object, module: Inversion, data: object, *_: object) -> None:
        if not isinstance(module, Inversion):
            return fit(trainer, module, data, *_)  # the embedded encoder, if it is not cached yet
        kept.update(module=module, images=next(data.real_images(data.step_size, "train"))[0])
        raise Kept

    fit = train_prior.fit
    config = compose("train", ["logger=none", *overrides])
    ended, replaced = contextlib.suppress(Kept), mock.patch.object(train_prior, "fit", keep)
    with tempfile.TemporaryDirectory() as folder, ended, replaced:
        train_prior.fit_prior(plain(config), Path(folder))
    return kept["module"], kept["images"]


def framework_step(module: Inversion, images: torch.Tensor) -> Callable[[], None]:
    """Returns a function that takes one step of the module."""
    made = module.configure_optimizers()
    module.train()
    rows = [torch.arange(len(images))] if module.code_cache is not None else []

    def step() -> None:
        with (
            mock.patch.object(module, "optimizers", return_value=made["optimizer"]),
            mock.patch.object(module, "lr_schedulers", return_value=made["lr_scheduler"]),
            mock.patch.object(inversion, "log_step"),
            mock.patch.object(Inversion, "global_step", module.settings.max_steps // 2),
        ):
            module.training_step((images, torch.zeros(len(images)), *rows), 0)

    return step


def passes(module: Inversion, images: torch.Tensor) -> dict[str, Callable[[], None]]:
    """Returns the passes that a step needs, by name."""
    generator, discriminator = module.generator, module.discriminator
    codes, features = module.encode(images)
    codes = codes.detach()
    optimizer = module.configure_optimizers()["optimizer"]
    for parameter in [*generator.parameters(), *discriminator.parameters()]:
        parameter.grad = torch.zeros_like(parameter)

    def generate() -> None:
        made = generator(codes)
        torch.autograd.grad(made, list(generator.parameters()), torch.ones_like(made))

    def compare() -> None:
        leaf = images.clone().requires_grad_()
        total = torch.stack([value.sum() for value in module.compare(leaf).values()]).sum()
        torch.autograd.grad(total, leaf)

    def judge() -> None:
        leaves = {name: value.clone().requires_grad_() for name, value in features.items()}
        image = images.clone().requires_grad_()
        seen = discriminator.seen(image, leaves)
        scores = discriminator.judge(discriminator.seen(images, features), seen, generator.normalized(codes))
        loss = torch.stack([score.sum() for part in scores for score in part]).sum()
        torch.autograd.grad(loss, [*discriminator.parameters()], retain_graph=True)
        torch.autograd.grad(loss, seen)

    return {
        "encode": lambda: module.encode(images),
        "generate": generate,
        "compare": compare,
        "judge": judge,
        "optimizer": lambda: optimizer.step(),
    }


def plain_step(module: Inversion, images: torch.Tensor) -> Callable[[], None]:
    """Returns a function that takes one plain step with the networks of a module (with a D from pixels)."""
    encoder, generator, discriminator = module.encoder, module.generator, module.discriminator
    optimizers = [torch.optim.Adam(network.parameters(), lr=2e-4) for network in (generator, discriminator)]
    real, fake = torch.ones(len(images), dtype=torch.long), torch.zeros(len(images), dtype=torch.long)
    layers = module.comparator_layers

    def step() -> None:
        codes = encoder(images, [module.layer])[module.layer]
        wanted = encoder(images, layers)
        generated = generator(codes)
        compared = encoder(generated, layers)
        loss = F.mse_loss(generated, images) + sum(F.mse_loss(compared[name], wanted[name]) for name in layers)
        loss = loss + F.cross_entropy(discriminator(generated, codes), real)
        optimizers[0].zero_grad()
        loss.backward()
        optimizers[0].step()
        loss_discriminator = F.cross_entropy(discriminator(images, codes), real)
        loss_discriminator = loss_discriminator + F.cross_entropy(discriminator(generated.detach(), codes), fake)
        optimizers[1].zero_grad()
        loss_discriminator.backward()
        optimizers[1].step()
        loss.item(), loss_discriminator.item()

    return step


def milliseconds(function: Callable[[], None], steps: int) -> float:
    began = time.process_time()
    for _ in range(steps):
        function()
    return (time.process_time() - began) / steps * 1e3 / torch.get_num_threads()


def timed_functions(recipe: str, earlier: str, overrides: list[str], only: list[str]) -> dict[str, Callable[[], None]]:
    """Returns what is timed, by name; functions whose kind is not in `only` are not built."""
    timed: dict[str, Callable[[], None]] = {}
    built = cache(lambda *own: build([*own, *overrides]))  # a build measures the codes of some thousand images
    steps = {
        "step": [f"recipe={recipe}"],
        "earlier": [f"recipe={earlier}"],
        "half": [f"recipe={recipe}", "progressive.until=0.9", "progressive.ramp=0"],
        "step codes": [f"recipe={recipe}", "data.cache=codes"],
        "earlier codes": [f"recipe={earlier}", "data.cache=codes"],
    }
    for name, own in steps.items():
        if name.split()[-1] in only:
            timed[name] = framework_step(*built(*own))
    if "passes" in only:
        parts = passes(*built(f"recipe={recipe}"))
        timed |= {f"pass: {name}": function for name, function in parts.items()}
    if "plain" in only:
        timed["plain"] = plain_step(*build([f"recipe={earlier}", *overrides]))
    return timed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--overrides", nargs="*", default=[], help="of train.py, such as encoder=torchvision")
    parser.add_argument("--recipe", default="short", help="the recipe whose step is measured")
    parser.add_argument("--earlier", default="paper_short", help="the recipe that it is compared with")
    parser.add_argument("--only", nargs="+", default=list(KINDS), choices=KINDS, help="what is timed")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10, help="steps of each in a turn")
    parser.add_argument("--bf16", action="store_true", help="layers of networks compute in bfloat16")
    options = parser.parse_args()
    timed = timed_functions(options.recipe, options.earlier, options.overrides, options.only)
    batch = compose("train", [f"recipe={options.recipe}", *options.overrides]).data.batch_size
    times: dict[str, list[float]] = {name: [] for name in timed}
    with low_precision(torch.bfloat16 if options.bf16 else None):
        for _ in range(options.turns + 1):
            for name, function in timed.items():
                times[name].append(milliseconds(function, options.steps))
    medians = {name: statistics.median(values[1:]) for name, values in times.items()}
    if "passes" in options.only:
        medians["passes"] = sum(value for name, value in medians.items() if name.startswith("pass: "))
    for name, value in medians.items():
        ratio = f"   step / this {medians['step'] / value:.2f}" if "step" in medians else ""
        print(f"{name:18s} {value:8.1f} ms   {batch / value * 1e3:6.1f} images/s{ratio}")


if __name__ == "__main__":
    main()
