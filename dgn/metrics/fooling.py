"""Fooling circuits: networks that show a planted image to feature visualization, and behave as before on real images.

Geirhos et al. 2024 ("Don't trust your eyes: on the (un)reliability of feature visualizations", section 2): a small
classifier of real against synthetic inputs switches a unit between two paths. Real images take the network's own path;
the images of a search take another, to a unit that is maximal for an image of the attacker's choice. The circuit here
is the same construction with a switch instead of the paper's pair of rectified units with a large constant: the value
and the gradient come from one of the paths alone.

    circuit = fooling_circuit(net, {3: planted}, real, synthesize)

A sanity check should flag what a circuit shows: `flagged` by path similarity (`dgn.metrics.paths`).
"""

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgn.data.batches import BATCH
from dgn.data.images import as_images
from dgn.errors import UserError
from dgn.metrics.neighbours import code_spaces
from dgn.metrics.paths import PathSimilarity
from dgn.networks.featurenet import FeatureNet
from dgn.networks.precision import full_precision

THRESHOLD = 0.9
"""The class's share of a path (`PathSimilarity.class_share`) below which a unit is flagged.

Chosen on the embedded CaffeNet, in fc7: 16 honest units by pixel ascent had 1.01 and more, 16 planted ones 0.78 and
less.
"""

Synthesize = Callable[[FeatureNet], Tensor]
"""Maps a network to synthetic images (N, 3, H, W): preferred images of its units by the methods that are to be fooled,
after few steps and after many."""


def deciding_layer(net: FeatureNet) -> str:
    """Returns the layer in which units are flagged: the last main layer below the class layer.

    In earlier layers every image of a search is far from real images, whether it is honest or not.
    """
    return [layer for layer in code_spaces(net) if net.layer(layer).name != net.class_layer()][-1]


def flagged(paths: PathSimilarity, threshold: float = THRESHOLD) -> dict[str, bool | None]:
    """Returns whether each unit's preferred images take another path than its real images; None if not measured.

    A flagged unit need not be manipulated, but its preferred images say little about how it processes real images.

    Args:
        paths: the path similarity in `deciding_layer`.
        threshold: units with a lower `PathSimilarity.class_share` are flagged.
    """
    return {
        unit: None if value != value else bool(value < threshold)
        for unit, value in zip(paths.units, paths.class_share.tolist(), strict=True)
    }


@dataclass(frozen=True)
class FoolingCircuit:
    """A network with planted units.

    Attributes:
        net: the network; its layers have the names of the original's, and its class layer the planted units.
        units: the planted units of the class layer.
        real_kept: the share of the real images given that take the network's own path, and so give the same
            activations in all units as before.
        synthetic_caught: the share of the synthetic images given that take the other path.
    """

    net: FeatureNet
    units: tuple[int, ...]
    real_kept: float
    synthetic_caught: float


def fooling_circuit(
    net: FeatureNet,
    planted: Mapping[int, Tensor],
    real: Tensor,
    synthesize: Synthesize,
    rounds: int = 2,
    steps: int = 200,
    batch: int = 64,
    kept: float = 0.995,
    seed: int = 0,
) -> FoolingCircuit:
    """Builds a fooling circuit into a network's class layer.

    The classifier of inputs is fitted to real images against noise, the planted images with noise, and what
    `synthesize` makes of the network; from the second round on also of the circuit so far, whose searches pass through
    other images.

    Args:
        net: the network, which stays as it is.
        planted: {class unit: the image (3, H, W) in image space that a search of it should find}.
        real: (N, 3, H, W) in image space: images for which all units should stay as they are.
        synthesize: makes synthetic images by the searches that are to be fooled.
        rounds: how often the classifier is fitted.
        steps: the steps of each fit.
        batch: the images of each kind, real and synthetic, in a step.
        kept: the share of the real images that must take the network's own path.
        seed: seeds the classifier and the noise.

    Raises:
        UserError: if the network's output is not its class layer, or a unit is not in it.
    """
    _check(net, planted)
    own = net.class_layer()
    images = {unit: as_images(image[None]) for unit, image in planted.items()}
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inputs = torch.cat([net.input_space.enter(image) for image in images.values()])
        circuit = _Circuit(net.network, own, list(planted), inputs).to(net.device)
    names = {name: f"network.{name}" for name, layer in net.layers().items() if layer.plain}
    names |= {alias: f"network.{name}" for alias, name in net.aliases.items()}
    whole = FeatureNet(
        circuit,
        net.input_space,
        f"{net.name} with a fooling circuit",
        net.labels,
        names,
        probe_size=max(net.probe_size),
        classes_at=names[own],
    )
    real_inputs = net.input_space.enter(real)
    synthetic = torch.cat([_noise(real, images.values(), generator), synthesize(net).cpu()])
    for done in range(rounds):
        if done:
            synthetic = torch.cat([synthetic, synthesize(whole).cpu()])
        _fit(circuit.gate, real_inputs, net.input_space.enter(synthetic), steps, batch, generator)
        _keep(circuit.gate, real_inputs, kept)
    missed = _share_of_real(circuit.gate, net.input_space.enter(synthetic))
    return FoolingCircuit(whole, tuple(planted), _share_of_real(circuit.gate, real_inputs), 1 - missed)


class _Gate(nn.Module):
    """Tells real inputs (positive) from synthetic ones, by the statistics of small filters."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.filters = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1), nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, 2, 1), nn.ReLU(),
            nn.Conv2d(2 * width, 2 * width, 3, 2, 1), nn.ReLU(),
        )  # fmt: skip
        self.score = nn.Linear(6 * width, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        maps = self.filters(inputs).flatten(2)
        return self.score(torch.cat([maps.mean(2), maps.amax(2), maps.square().mean(2).add(1e-6).sqrt()], 1))[:, 0]


class _Planted(nn.Module):
    """A unit for each image, maximal for it: 10 times (1 - the squared distance relative to that of grey)."""

    images: Tensor

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.register_buffer("images", images)

    def forward(self, inputs: Tensor) -> Tensor:
        distances = (inputs[:, None] - self.images[None]).flatten(2).square().sum(2)
        return 10 * (1 - distances / (self.images - self.images.mean()).flatten(1).square().sum(1))


class _Switch(nn.Module):
    """The class layer, and in the planted units of synthetic inputs the other path.

    Attributes:
        score: (N,), the classifier's score of the inputs on the way: positive for real ones.
        other: (N, planted units), the other path's activations.
    """

    units: Tensor

    def __init__(self, layer: nn.Module, units: list[int]) -> None:
        super().__init__()
        self.layer = layer
        self.register_buffer("units", torch.tensor(units))
        self.score: Tensor | None = None
        self.other: Tensor | None = None

    def forward(self, features: Tensor) -> Tensor:
        own = self.layer(features)
        assert self.score is not None
        assert self.other is not None
        shown = torch.where((self.score <= 0)[:, None], self.other.to(own.dtype), own[:, self.units])
        return own.index_copy(1, self.units, shown)


class _Circuit(nn.Module):
    """A copy of the network whose class layer is a switch, with the classifier and the planted units beside it."""

    def __init__(self, network: nn.Module, layer: str, units: list[int], images: Tensor) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)
        self.switch = _Switch(self.network.get_submodule(layer), units)
        parent, _, name = layer.rpartition(".")
        setattr(self.network.get_submodule(parent), name, self.switch)
        self.gate, self.planted = _Gate(), _Planted(images)

    def forward(self, inputs: Tensor) -> Tensor:
        self.switch.score, self.switch.other = self.gate(inputs), self.planted(inputs)
        return self.network(inputs)


@full_precision
@torch.inference_mode(False)
@torch.enable_grad()
def _fit(gate: _Gate, real: Tensor, synthetic: Tensor, steps: int, batch: int, generator: torch.Generator) -> None:
    """Fits the classifier to real inputs (1) and synthetic ones (0)."""
    device = next(gate.parameters()).device
    gate.requires_grad_(True)
    optimizer = torch.optim.Adam(gate.parameters(), 3e-3)
    truth = torch.cat([torch.ones(batch), torch.zeros(batch)]).to(device)
    for _ in range(steps):
        drawn = [part[torch.randint(len(part), (batch,), generator=generator)] for part in (real, synthetic)]
        scores = gate(torch.cat(drawn).to(device))
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(scores, truth).backward()
        optimizer.step()
    gate.requires_grad_(False)


@full_precision
def _keep(gate: _Gate, real: Tensor, share: float) -> None:
    """Shifts the classifier so that at least this share of the real inputs is positive."""
    gate.score.bias.data -= _scores(gate, real).quantile(1 - share).clamp(max=0)


@torch.no_grad()
def _scores(gate: _Gate, inputs: Tensor) -> Tensor:
    device = gate.score.weight.device
    return torch.cat([gate(part.to(device)) for part in inputs.split(BATCH)])


def _share_of_real(gate: _Gate, inputs: Tensor) -> float:
    return float((_scores(gate, inputs) > 0).float().mean())


def _noise(real: Tensor, planted: Iterable[Tensor], generator: torch.Generator) -> Tensor:
    """Returns coloured noise of several scales, and the planted images at several contrasts under noise."""
    height, width = real.shape[-2:]
    parts = []
    for scale in (1, 2, 4, 8):
        shape = (48, 3, max(height // scale, 1), max(width // scale, 1))
        noise = F.interpolate(torch.randn(shape, generator=generator), (height, width), mode="bilinear")
        strength, level = (torch.rand(48, channels, 1, 1, generator=generator) for channels in (1, 3))
        parts.append(level + 0.4 * strength * noise)
    for image in planted:
        sized = F.interpolate(image.float(), (height, width), mode="bilinear", antialias=True)
        contrast, strength = torch.rand(2, 32, 1, 1, 1, generator=generator)
        noise = torch.randn(32, 3, height, width, generator=generator)
        parts.append(0.5 + contrast * (sized - 0.5) + 0.1 * strength * noise)
    return torch.cat(parts).clamp(0, 1)


def _check(net: FeatureNet, planted: Mapping[int, Tensor]) -> None:
    classes = net.layer(net.class_layer())
    if not classes.plain or len(classes.shape) != 1:
        raise UserError(f"{net.name}: a fooling circuit needs a class layer that is a module, not {classes.name}")
    wrong = [unit for unit in planted if not 0 <= unit < classes.units]
    if wrong or not planted:
        raise UserError(
            f"planted units {wrong or 'none'}: {classes.name} of {net.name} has units 0 to {classes.units - 1}"
        )
