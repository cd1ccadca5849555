"""What the sessions of the toolbox share: networks, priors, methods, real images, and what was found for channels."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from dgn.am.method import Method
from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.language import parse_units
from dgn.am.setting import Setting
from dgn.attribution import Attribution, IntegratedGradients, Occlusion, reduced
from dgn.data.channels import in_words
from dgn.data.datamodule import ImageData
from dgn.data.doodles import draw
from dgn.data.reference import Reference
from dgn.errors import UserError
from dgn.inspection import Channel, main_layers
from dgn.inspection.activations import channel_of, channels_of
from dgn.networks.featurenet import FeatureNet
from dgn.prior import Prior
from dgn.report.heat import overlaid
from dgn.toolbox.live_search import Frame, search_live
from dgn.toolbox.turns import Turns
from dgn.visualization.attributions import seen
from dgn.visualization.channels import channel_objective, real_parts

LAST_EXAMPLE = 2**31 - 1
"""The largest number of a doodle."""

_AT_ONCE = 8
"""Real images that are looked at before others may compute, as the camera's picture."""


@dataclass(frozen=True)
class Asked:
    """What a person asks to be searched.

    Attributes:
        objective: The expression in the unit language.
        method: The method's name.
        prior: The prior's name; "" for methods that need none.
        seed: The seed.
        steps: The number of steps; None: the method's.
        strength: A factor of the size of the method's steps.
    """

    objective: str
    method: str
    prior: str = ""
    seed: int = 0
    steps: int | None = None
    strength: float = 1.0


MethodMaker = Callable[[int | None, float], Method]
"""Makes a method from the number of its steps (None: its own) and a factor of the size of its steps."""


@dataclass(frozen=True)
class Seen:
    """What the network sees in one image.

    Attributes:
        image: (3, H, W), as the network sees it.
        classes: (name, probability) of the most probable classes; () without a class layer.
        layers: {layer: its strongest channels, the strongest first}.
        activations: {layer: the activations of all its channels}.
        seconds: How long that took.
    """

    image: Tensor
    classes: Sequence[tuple[str, float]]
    layers: Mapping[str, Sequence[Channel]]
    activations: Mapping[str, Tensor]
    seconds: float


@dataclass
class Workbench:
    """The networks that all sessions share. One computes at a time, as a running network is hooked; they take turns.

    Attributes:
        target: The network that is looked into.
        priors: Priors by name, for searches and codes.
        methods: How methods are made, by name.
        attributions: Methods of attribution by name.
        data: Real images that methods measure.
        reference: Real images whose parts are shown.
        folder: Where galleries are exported.
        command: Returns the command that searches what was asked for.
        channels: How many channels of each layer are shown.
        view_layers: The layers that are shown; None: `main_layers`.
        lock: Is held by whoever computes.
        examples: What `example` gives, in words.
        preferred: The ends of the searches for channels, by the channel's name, so that none is searched twice.
    """

    target: FeatureNet
    priors: Mapping[str, Prior]
    methods: Mapping[str, MethodMaker]
    attributions: Mapping[str, Attribution]
    data: ImageData | None
    reference: Reference | None
    folder: Path
    command: Callable[[Asked], str] = lambda asked: ""
    channels: int = 8
    view_layers: Sequence[str] | None = None
    lock: Turns = field(default_factory=Turns, repr=False)
    preferred: dict[str, Frame] = field(default_factory=dict, repr=False)
    examples: str = field(default="doodle", init=False)
    _parts: dict[str, list[Tensor]] = field(default_factory=dict, repr=False)
    _reading: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        channels = self.target.input_space.image_channels
        if channels != 3:
            self.examples = "real image"
            if self.reference is None:
                takes = f"{self.target.name} takes images of {in_words(channels)}, and doodles are RGB"
                raise UserError(f"{takes}; give images with data= and reference_images=N")
        self.layers = list(self.view_layers or main_layers(self.target))
        for name in self.layers:
            self.target.layer(name)  # raises UserError for a name that is none
        self.classes = None if self.target.headless else self.target.class_layer()

    @torch.no_grad()
    def look(self, image: Tensor) -> Seen:
        """Returns the activations of all layers for an image (3, H, W)."""
        with self.lock:
            began = time.perf_counter()
            image = seen(self.target, image)
            names = dict.fromkeys([*self.layers, *([self.classes] if self.classes else [])])
            found = self.target(image[None], list(names))
        activations = {layer: found[layer][0].cpu() for layer in self.layers}
        layers = {
            layer: channels_of(layer, own, self.target.layer_labels(layer), self.channels)
            for layer, own in activations.items()
        }
        classes: list[tuple[str, float]] = []
        if self.classes:
            shares = found[self.classes][0].softmax(0)
            labels = self.target.layer_labels(self.classes)
            best = shares.topk(min(5, len(shares)))
            pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
            classes = [(labels[i] if labels else f"{self.classes}:{i}", share) for i, share in pairs]
        return Seen(image.cpu(), classes, layers, activations, time.perf_counter() - began)

    def parts(self, channel: Channel) -> list[Tensor]:
        """Returns the parts of real images that excite a channel most; [] without real images."""
        if self.reference is None:
            return []
        if channel.name not in self._parts:
            with self._reading:
                self.reference.labels()  # which reads the images, once, while others compute
            with self.lock:
                found = real_parts(self.target, [channel], self.reference, 6, self._in_turns())
            self._parts |= found
        return self._parts[channel.name]

    def attribute(self, image: Tensor, channel: Channel, method: str) -> Tensor:
        """Returns an image (3, H, W) with the attribution of a channel over it."""
        objective = Objective(((1.0, channel.unit),))
        with self.lock, self._giving_way(self.attributions[method]), torch.enable_grad():
            attributed = self.attributions[method](self.target, objective, image[None].to(self.target.device))
        return overlaid(image, reduced(attributed, self.attributions[method].channels)[0].cpu())

    def objective(self, text: str) -> Objective:
        """Returns the one objective of an expression. Raises UserError for none or several."""
        with self.lock:
            objectives = parse_units(text, self.target)
        if len(objectives) != 1:
            raise UserError(f"{text!r} names {len(objectives)} objectives; write one, as in fc8:0 or conv5:12@mean")
        return objectives[0]

    def channel_objective(self, channel: Channel) -> Objective:
        """Returns what a channel's preferred image maximizes."""
        return channel_objective(self.target, channel.layer, channel.index)

    def search(self, asked: Asked) -> Iterator[Frame]:
        """Yields the frames of a search from noise.

        Raises:
            UserError: For an unknown method or unit, and for a method that searches codes without a prior.
        """
        if asked.method not in self.methods:
            raise UserError(f"no method {asked.method!r} here; there are {', '.join(self.methods)}")
        objective = self.objective(asked.objective)
        method = self.methods[asked.method](asked.steps, asked.strength)
        prior = self.priors.get(asked.prior) if method.searches_codes else None
        with self.lock:
            setting = Setting(self.target, prior, images=self._real_images if self.data is not None else None)
            stages = list(method.starting("noise").stages(setting))
        return search_live(self.target, objective, stages, asked.seed, self.lock)

    def example(self, index: int) -> Tensor:
        """Returns an image (C, H, W) to look at: a doodle of the validation split.

        Where doodles do not enter the network, as it does not take RGB, it is a real image; after the last the first
        comes again.

        Raises:
            UserError: For a number below 0 or above `LAST_EXAMPLE`.
        """
        if not 0 <= index <= LAST_EXAMPLE:
            raise UserError(f"{self.examples} {index:.12g}: give a number from 0 to {LAST_EXAMPLE}")
        if self.examples != "doodle":
            assert self.reference is not None  # __post_init__
            place = index % self.reference.count
            with self.lock:
                return self.reference.images_at([place])[place]
        size = min(max(max(self.target.probe_size), 32), 256)
        return torch.from_numpy(draw(0, "val", index, size).image).permute(2, 0, 1).float().div(255)

    def find_channel(self, found: Seen, layer: str, index: int) -> Channel | None:
        """Returns a channel in an image, whether or not it is among the strongest; None if there is no such channel."""
        own = found.activations.get(layer)
        if own is None or not 0 <= index < self.target.layer(layer).units:
            return None
        return channel_of(layer, own, self.target.layer_labels(layer), index)

    @contextmanager
    def _giving_way(self, method: Attribution) -> Iterator[None]:
        """Lets others compute between the passes of a method that takes many, and leaves the network as it is."""
        mine = threading.get_ident()

        def pass_on(*_: object) -> None:
            if threading.get_ident() == mine:
                self.lock.pass_on()

        many = isinstance(method, Occlusion | IntegratedGradients)
        hook = self.target.register_forward_pre_hook(pass_on) if many else None
        try:
            yield
        finally:
            if hook is not None:
                hook.remove()

    def _in_turns(self) -> Iterator[Tensor]:
        """Yields the images of the reference in small batches, between which others compute."""
        assert self.reference is not None
        for batch in self.reference.images():
            for part in batch.split(_AT_ONCE):
                yield part
                self.lock.pass_on()

    def _real_images(self, count: int) -> Iterator[Tensor]:
        assert self.data is not None
        return (images for images, _ in self.data.real_images(count))
