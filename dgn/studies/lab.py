"""What studies compute with: networks, images, trainings and searches."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from dgn.am.method import Method
from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.language import parse_units
from dgn.am.preferred import Preferred
from dgn.am.starts import Starts
from dgn.data.datamodule import ImageData
from dgn.data.reference import Reference
from dgn.errors import UserError
from dgn.metrics.features import extract_features
from dgn.metrics.neighbours import code_spaces
from dgn.metrics.recognition import Verdict, judge_images
from dgn.metrics.scorer import class_index
from dgn.networks.featurenet import FeatureNet
from dgn.prior import Prior
from dgn.prior.frechet import frechet
from dgn.visualization.approaches import Approach
from dgn.visualization.search import search
from dgn.visualization.settings import SearchSettings
from dgn.visualization.starts import near_real, start_images


class Trainings(Protocol):
    """Trains networks as train.py does, keeps them, and resumes what was interrupted.

    Attributes:
        encoder_steps: the steps of a classifier's training.
        prior_steps: the steps of a prior's training.
        used: what was trained, or was kept or given and used, in words.
    """

    encoder_steps: int
    prior_steps: int
    used: list[str]

    def given_for(self, layer: str) -> Prior | None:
        """Returns the prior of a layer that was given; None if there is none."""
        ...

    def prior(
        self,
        layer: str | None = None,
        seed: int = 0,
        steps: int | None = None,
        settings: Sequence[str] = (),
        data: Mapping[str, Any] | None = None,
        weights: str | None = None,
    ) -> Prior:
        """Returns the prior of a layer of the encoder (None: its own layer).

        Args:
            layer: the layer.
            seed: of the training.
            steps: of the training; None: `own_prior_steps` of the config for the encoder's own layer, else
                `prior_steps`. A prior that was given takes the place of a training if this is None.
            settings: further settings in the syntax of train.py.
            data: the settings of other images than the study's, with `dgn.data.modified`.
            weights: a file with other weights of the encoder.
        """
        ...

    def classifier(
        self,
        settings: Sequence[str] = (),
        seed: int = 0,
        steps: int | None = None,
        data: Mapping[str, Any] | None = None,
        snapshots: Sequence[int] = (),
    ) -> "Trained":
        """Fits a network with the encoder's architecture (or what `settings` choose) to the images.

        Args:
            settings: further settings in the syntax of train.py.
            seed: of the training.
            steps: of the training; None: `encoder_steps`.
            data: the settings of other images.
            snapshots: steps after which the weights are kept too.
        """
        ...

    def pretrained(self, settings: Sequence[str]) -> FeatureNet:
        """Returns a network that `settings` choose, with the weights that they name."""
        ...

    def untrained(self, seed: int) -> FeatureNet:
        """Returns the network whose units are shown, with random weights."""
        ...


@dataclass(frozen=True)
class Trained:
    """A classifier that was trained.

    Attributes:
        net: the network.
        path: its weights.
        metrics: of validation.
        snapshots: {step: the network after that step, and its accuracy}.
    """

    net: FeatureNet
    path: str
    metrics: Mapping[str, float]
    snapshots: Mapping[int, tuple[FeatureNet, float]]


@dataclass(frozen=True)
class Budget:
    """How much a study computes.

    Attributes:
        units: units for which preferred images are searched.
        steps: steps of a search; None: the method's own.
        images: real images that measures compare with.
        start: where searches start: noise, sample or real.
    """

    units: int = 8
    steps: int | None = None
    images: int = 512
    start: str = "noise"


class Lab:
    """What a study computes with.

    Args:
        data: the images.
        data_settings: how they were opened, for `Trainings`.
        encoder: E.
        target: the network whose units are shown; None: E.
        judge: classifies images; it shares no weights with the target.
        trainings: trains networks.
        methods: returns the method of a name, with a number of steps or its own.
        budget: how much is computed.
    """

    def __init__(
        self,
        data: ImageData,
        data_settings: Mapping[str, Any],
        encoder: FeatureNet,
        target: FeatureNet | None,
        judge: FeatureNet | None,
        trainings: Trainings,
        methods: Callable[[str, int | None], Method],
        budget: Budget,
    ) -> None:
        self.data, self.data_settings, self.encoder = data, dict(data_settings), encoder
        self.target, self._judge = target or encoder, judge
        self.trainings, self.methods, self.budget = trainings, methods, budget
        self._real: dict[str, tuple[Tensor, Tensor]] = {}
        self._features: Tensor | None = None

    @property
    def judge(self) -> FeatureNet:
        """The judge. Raises UserError if there is none."""
        if self._judge is None:
            raise UserError(
                "this study needs a judge, a network with the same labels as the target: name one, judge=..."
            )
        return self._judge

    @property
    def reference(self) -> Reference:
        """The real images that measures compare with."""
        return Reference(self.data, self.budget.images)

    def real(self, split: str = "val") -> tuple[Tensor, Tensor]:
        """Returns `budget.images` real images of a split in image space, (N, 3, H, W), and labels (N,)."""
        if split not in self._real:
            images, labels = zip(*self.data.real_images(self.budget.images, split), strict=True)
            self._real[split] = torch.cat(images), torch.cat(labels)
        return self._real[split]

    def units(self, net: FeatureNet | None = None, count: int | None = None) -> list[Objective]:
        """Returns class units at even distances over the classes, `budget.units` by default, or all if fewer."""
        net = net or self.target
        layer = net.class_layer()
        total = net.layer(layer).units
        count = min(total, count or self.budget.units)
        return parse_units([f"{layer}:{i * total // count}" for i in range(count)], net)

    def hidden_units(self, layer: str, count: int, seed: int = 0) -> list[Objective]:
        """Returns units of a layer, drawn at random by the seed: channels at the centre of maps."""
        total = self.target.layer(layer).units
        drawn = torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:count].sort().values
        return parse_units([f"{layer}:{i}" for i in drawn.tolist()], self.target)

    def maps(self, net: FeatureNet | None = None) -> list[str]:
        """Returns the main layers of a network, by default the target, that are maps, from the lowest."""
        net = net or self.target
        return [name for name in code_spaces(net) if len(net.layer(name).shape) == 3]

    def vectors(self, net: FeatureNet | None = None) -> list[str]:
        """Returns its main layers below the classes that are vectors; without any, the code layer."""
        net = net or self.target
        classes = net.layer(net.class_layer()).name
        names = [name for name in code_spaces(net) if len(net.layer(name).shape) == 1]
        return [name for name in names if net.layer(name).name != classes] or [net.code_layer()]

    def search(
        self,
        objectives: Sequence[Objective],
        seed: int,
        prior: Prior | None = None,
        target: FeatureNet | None = None,
        method: str = "dgn_am_short",
        steps: int | None = None,
        per_unit: int = 1,
        start: str | None = None,
    ) -> Preferred:
        """Searches `per_unit` preferred images of each objective; the seeds of different `seed` do not overlap."""
        target = target or self.target
        chosen = self.methods(method, steps or self.budget.steps)
        start = start or self.budget.start
        seeds = [seed * per_unit + i for i in range(per_unit)]
        approach = Approach(chosen, prior if chosen.searches_codes else None, "", start)
        settings = SearchSettings(seeds)
        starts = None
        if start == "real":
            places = start_images(target, objectives, self.reference)
            starts = near_real(target, approach.prior, places, settings.shifted_seeds, self.reference)
        return search(approach, target, objectives, settings, self.data, starts).preferred

    def search_from(
        self, starts: Starts, objectives: Sequence[Objective], seeds: Sequence[int], prior: Prior
    ) -> Preferred:
        """Searches preferred images that start at given codes: those of each objective, by the seed."""
        approach = Approach(self.methods("dgn_am_short", self.budget.steps), prior, "", "facets")
        return search(approach, self.target, objectives, SearchSettings(list(seeds)), self.data, starts).preferred

    def verdicts(
        self, images: Tensor, wanted: Sequence[Sequence[str]], judge: FeatureNet | None = None
    ) -> list[Verdict]:
        """Returns the judge's verdict on each image; wanted: the labels that each may have."""
        return judge_images(judge or self.judge, images, wanted)

    def recognized(self, preferred: Preferred, judge: FeatureNet | None = None) -> float:
        """Returns the share of preferred images whose unit's label is the judge's first."""
        verdicts = self.verdicts(preferred.images, [o.wanted for o in preferred.objectives], judge)
        return share([bool(v.top(1)) for v in verdicts])

    def frechet(self, images: Tensor, objectives: Sequence[Objective] = ()) -> float:
        """Returns the Frechet distance from real images of the objectives' classes, in the judge's features."""
        real, labels = self.real("val")
        classes = {class_index(o, self.data.classes) for o in objectives} - {None}
        if self._features is None:
            self._features = extract_features(self.judge, real)
        kept = torch.tensor([int(label) in classes for label in labels]) if classes else torch.ones(len(real)).bool()
        if kept.sum() < 2:
            kept = torch.ones(len(real)).bool()
        return frechet(extract_features(self.judge, images), self._features[kept])


def share(values: Sequence[bool]) -> float:
    """Returns the share of true values; NaN if there are none."""
    return sum(values) / len(values) if values else float("nan")
