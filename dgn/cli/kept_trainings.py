"""Networks that studies train: as train.py does, kept in the cache folder, resumed where a training was stopped."""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from hydra.utils import instantiate

from dgn.cli.config import check_complete, compose, plain
from dgn.cli.embedded import embedded_weights
from dgn.cli.networks import network
from dgn.cli.train_encoder import fit_encoder
from dgn.cli.train_prior import fit_prior
from dgn.data.datamodule import ImageData
from dgn.data.doodles import VERSION
from dgn.devices import placed
from dgn.errors import Interrupted, UserError
from dgn.files import cache_dir, sha256
from dgn.metrics.network_check import check_network
from dgn.networks.featurenet import FeatureNet
from dgn.prior import Prior
from dgn.records import read_json
from dgn.runs.folders import METRICS, result
from dgn.runs.ranks import alone
from dgn.studies.lab import Trained
from dgn.studies.page import minutes
from dgn.training.snapshots import snapshot

log = logging.getLogger(__name__)

_TRAINED_IMAGES = 512
"""Validation images on which the accuracy of snapshots is measured."""


class KeptTrainings:
    """Trains what studies ask for (`dgn.studies.lab.Trainings`).

    Args:
        config: of study.py.
        encoder: E.
        priors: priors that are given; one that inverts the wanted layer of E is used instead of a training.
        device: where networks compute.
    """

    def __init__(
        self, config: Mapping[str, Any], encoder: FeatureNet, priors: Sequence[Prior], device: torch.device
    ) -> None:
        self.config, self.encoder, self.given, self.device = config, encoder, list(priors), device
        self.encoder_steps: int = config["encoder_steps"]
        self.prior_steps: int = config["prior_steps"]
        self.used: list[str] = []

    def given_for(self, layer: str) -> Prior | None:
        """Returns the prior of `prior=` that inverts a layer of the encoder; None if there is none."""
        name = self.encoder.layer(layer).name
        inverting = [p for p in self.given if p.encoder_is(self.encoder) and self.encoder.layer(p.layer).name == name]
        return inverting[0] if inverting else None

    def prior(
        self,
        layer: str | None = None,
        seed: int = 0,
        steps: int | None = None,
        settings: Sequence[str] = (),
        data: Mapping[str, Any] | None = None,
        weights: str | None = None,
    ) -> Prior:
        """Returns a prior; one of `prior=` if it is the encoder's, and nothing but the layer is asked for."""
        asked = self.config["encoder"]["layer"] if layer is None else layer
        plain_prior = not settings and data is None and weights is None
        given = self.given_for(self.encoder.code_layer() if asked == "auto" else asked)
        if given is not None and plain_prior and steps is None:
            self._note(describe_prior(given))
            return given
        is_own = layer is None and plain_prior
        steps = steps or (self.config["own_prior_steps"] if is_own else self.prior_steps)
        name = asked if layer is None else self.encoder.layer(layer).name  # one training for a layer's two names
        encoder = {**self.config["encoder"], "layer": name}
        if weights is not None:
            encoder |= {"weights": weights, "container": None, "classes": "auto", "labels": None}
        values = self._values(["task=prior", "code_model=none", *self.config["prior_settings"], *settings], seed, steps)
        values |= {"encoder": encoder, "data": self._data(data, values)}
        path = self._run("prior", values, steps, fit_prior)
        prior = Prior.load(path, self.device)
        prior.offer(self.encoder)
        return prior

    def classifier(
        self,
        settings: Sequence[str] = (),
        seed: int = 0,
        steps: int | None = None,
        data: Mapping[str, Any] | None = None,
        snapshots: Sequence[int] = (),
    ) -> Trained:
        """Returns a network that was fitted to the images."""
        steps = steps or self.encoder_steps
        chooses = any(setting.startswith("encoder=") for setting in settings)
        values = self._values(["task=encoder", *self.config["encoder_settings"], *settings], seed, steps)
        own = {"seed": seed, "weights": None, "container": None, "classes": "data", "labels": None}
        encoder = (values["encoder"] if chooses else {**self.config["encoder"]}) | own
        values |= {"encoder": encoder, "data": self._data(data, values), "snapshots": list(snapshots)}
        path = self._run("encoder", values, steps, fit_encoder)
        images: ImageData = instantiate(values["data"])
        kept = {}
        for step in snapshots:
            net = self._load(encoder, snapshot(path.parent, step), images)
            kept[step] = (net, _accuracy(net, images))
        metrics = read_json(path.parent / METRICS, "run's metrics")
        return Trained(self._load(encoder, path, images), str(path), metrics, kept)

    def pretrained(self, settings: Sequence[str]) -> FeatureNet:
        """Returns a network with the weights that its settings name."""
        values = plain(compose("train", list(settings)))
        return placed(network(values["encoder"], instantiate(self.config["data"])), self.device)

    def untrained(self, seed: int) -> FeatureNet:
        """Returns the target, by default the encoder, with random weights."""
        target = self.config["target"]
        settings = target if target.get("_target_") else self.config["encoder"]
        random = {**settings, "weights": None, "container": None, "seed": seed}
        return placed(network(random, instantiate(self.config["data"])), self.device)

    def _load(self, encoder: Mapping[str, Any], path: Path, images: ImageData) -> FeatureNet:
        loaded = {**encoder, "weights": str(path), "container": None, "classes": "auto"}
        return placed(network(loaded, image_shape=images.image_shape), self.device)

    def _values(self, overrides: Sequence[str], seed: int, steps: int) -> dict[str, Any]:
        """Returns the config of a training; its encoder and images are set by the caller."""
        trained = [f"seed={seed}", f"trainer.max_steps={steps}", f"trainer.val_check_interval={steps}", "logger=none"]
        values = plain(compose("train", [*trained, *overrides]))
        if self.device.type == "cpu":
            values["trainer"] |= {"accelerator": "cpu", "precision": "32-true"}  # the same on every machine
        return values | {"threads": self.config["threads"]}

    def _data(self, given: Mapping[str, Any] | None, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the settings of the images of a training; what `given` wraps is the study's own data."""
        own = dict(self.config["data"])
        if values["task"]["_target_"].endswith("fit_encoder"):
            own["batch_size"] = max(own["batch_size"], self.config["encoder_batch"])
        own["seed"] = values["seed"]
        if given is None:
            return own
        return {**given, "data": own} if str(given["_target_"]).startswith("dgn.data.modified.") else dict(given)

    def _run(
        self, kind: str, values: dict[str, Any], steps: int, task: Callable[[Mapping[str, Any], Path], Path]
    ) -> Path:
        """Returns the file of a finished training with these settings, which it runs or resumes first."""
        check_complete(values, "study")
        encoder = values["encoder"]
        if encoder.get("weights") == "embedded":
            values["encoder"] = {**encoder, "weights": str(embedded_weights(encoder["_target_"]))}
        matters = {key: value for key, value in values.items() if key not in _WITHOUT_EFFECT}
        if Path(weights := str(values["encoder"].get("weights"))).is_file():  # another file may have its name later
            matters["encoder"] = {**values["encoder"], "weights": sha256(weights)}
        digest = hashlib.sha256(json.dumps([VERSION, matters], sort_keys=True, default=str).encode()).hexdigest()[:12]
        name = "-".join(filter(None, (kind, str(values["encoder"].get("layer") if kind == "prior" else ""), digest)))
        folder = cache_dir() / "studies" / name.replace(":", "-").replace("/", "-")
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            path = result(folder, steps)
            if path is None:
                log.info("Training for the study: %s, %d steps, kept in %s", kind, steps, folder)
                try:
                    with alone():
                        path = task(values, folder)
                except Interrupted as error:
                    message = "stopped during a training, which goes on when the same study is started again"
                    raise Interrupted(error.signal, message) from None
        metrics = read_json(folder / METRICS, "run's metrics")
        what = f"prior of {values['encoder'].get('layer')}" if kind == "prior" else "classifier"
        kinds = [str(values["data"][key]) for key in ("modification", "part") if key in values["data"]]
        of = f" ({', '.join(kinds)} of {str(values['data']['_target_']).rpartition('.')[2]})" if kinds else ""
        self._note(f"{what}{of}, seed {values['seed']}: {steps} steps in {minutes(metrics['fit_seconds'])}")
        return path

    def _note(self, text: str) -> None:
        if text not in self.used:
            self.used.append(text)


def describe_prior(prior: Prior) -> str:
    """Returns in words which training made a prior, and what it took."""
    metrics, command = prior.about.get("metrics") or {}, prior.about.get("command")
    text = f"{Path(prior.source).name}, the prior of {prior.layer}"
    if command:
        text += f" that `{command}` makes"
    if "steps" in metrics:
        text += f": {metrics['steps']} steps in {minutes(metrics.get('fit_seconds', 0.0))}"
    return text


_WITHOUT_EFFECT = ("resume", "threads", "logger", "metric", "comparison", "checkpoint", "runs", "callbacks")
"""Keys of a training's config on which its result does not depend."""


def _accuracy(net: FeatureNet, data: ImageData) -> float:
    """Returns the accuracy on validation images."""
    images, labels = zip(*data.real_images(_TRAINED_IMAGES, "val"), strict=True)
    found = check_network(net, torch.cat(images), torch.cat(labels), data.classes, try_others=False)
    if found is None:
        raise UserError(f"{net.name} has none of the classes of the images")
    return found.accuracy
