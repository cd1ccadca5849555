"""The parts of a visualize or compare config: priors, target, units, judge, real images."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from hydra.utils import instantiate

from dgn.am.objectives.diversity import Diversity
from dgn.cli.networks import network
from dgn.cli.remembered import with_remembered
from dgn.cli.renamed import refuse_former_keys
from dgn.data import sources
from dgn.data.datamodule import ImageData
from dgn.devices import placed
from dgn.errors import UserError
from dgn.metrics.similarity import Similarity
from dgn.networks.featurenet import FeatureNet
from dgn.networks.named_networks import NamedNetworks
from dgn.networks.usable import check, check_independent
from dgn.prior import Prior
from dgn.prior.hub import is_shared
from dgn.prior.location import find_prior
from dgn.visualization.settings import SearchSettings

log = logging.getLogger(__name__)


def named_code(config: Mapping[str, Any]) -> list[str]:
    """Returns the user's own code that a config names for custom generators: generator.model, a name or a list."""
    model = (config.get("generator") or {}).get("model")
    if model is None:
        return []
    return [model] if isinstance(model, str) else list(map(str, model))


def load_prior(
    where: str | None, device: torch.device | str = "cpu", key: str = "prior", code: Sequence[str] = ()
) -> Prior:
    """Loads the prior that one name of `prior=` means.

    Args:
        where: a prior file, a checkpoint, a run's folder, a shared one, or None for the newest.
        device: where it computes.
        key: the key that names it, for messages.
        code: the user's own code that may be run, if its generator is a custom one (`named_code`).
    """
    if is_shared(where):
        return Prior.load(where, device, code)
    # Absolute, as results name the prior by it and may be read elsewhere.
    path = find_prior(where, key).absolute()
    return (Prior.from_checkpoint if path.suffix == ".ckpt" else Prior.load)(path, device, code)


def load_priors(config: Mapping[str, Any], device: torch.device) -> list[Prior]:
    """Loads the priors that `prior=` means, one or a list.

    Where none is named and the target is another network, which methods on pixels can show without any: the newest, or
    none.
    """
    given = config["prior"]
    names = given if isinstance(given, list) else [given]
    if not names:
        raise UserError("prior=[] names no prior; give files or folders, or leave it out for the newest")
    if given is not None or config["target"].get("_target_") is None:
        return [load_prior(name, device, code=named_code(config)) for name in names]
    try:
        return [load_prior(None, device, code=named_code(config))]
    except UserError:
        return []


def load_target(
    settings: Mapping[str, Any], priors: Sequence[Prior], device: torch.device, data: ImageData | None = None
) -> FeatureNet:
    """Makes Phi: the network of `target=`, else the encoder of the first prior.

    If it is the encoder of a prior, what is not given of its settings is as it was for the prior.

    Args:
        settings: the `target` group of the config.
        priors: the priors.
        device: where it computes.
        data: the real images, for target.classes=data.
    """
    if settings.get("_target_") is None:
        target = placed(priors[0].encoder_net(), device)
    else:
        target = placed(named_network(settings, priors, data), device)
    target.classes_at = settings.get("layer")
    for prior in priors:  # share one network if it is the same
        prior.offer(target)
    return target


def with_named_targets(
    target: FeatureNet, settings: Mapping[str, Mapping[str, Any]], priors: Sequence[Prior], data: ImageData | None
) -> FeatureNet:
    """Returns the target together with the further networks of `targets=`, if there are any.

    Args:
        target: the target.
        settings: the settings of the others by name, each as the `target` group's.
        priors: the priors.
        data: the real images.
    """
    others = {}
    for name, network_settings in settings.items():
        others[name] = load_target(network_settings, priors, target.device, data)
    return NamedNetworks(target, others) if others else target


def named_network(
    settings: Mapping[str, Any], priors: Sequence[Prior], data: ImageData | None, role: str = "target"
) -> FeatureNet:
    """Makes the network of settings, with those of a prior's encoder that are not given if it is that network."""
    shape = priors[0].image_shape if priors else None
    classes: Sequence[str] = ()
    if data is None and priors:
        classes = (priors[0].about.get("data") or {}).get("classes") or ()
    for prior in priors:
        filled, keys = with_remembered(settings, prior.about["encoder"]["spec"])
        if keys:
            target = network(filled, data, shape, classes)
            if prior.encoder_is(target):
                log.info("%s: %s as for the prior, whose encoder it is", role, ", ".join(keys))
                return target
    return network(settings, data, shape, classes)


def read_units(units: Any, target: FeatureNet) -> str | list[Any]:
    """Returns the value of `units=` for `parse_units`."""
    if units == "all":
        return f"{target.class_layer()}:all"
    return units if isinstance(units, list) else str(units)


def read_seeds(seeds: Any) -> list[int]:
    """Returns the seeds of `seeds=`, a number of seeds or a list. Raises UserError for no or invalid seeds."""
    values: list[Any] = []
    if isinstance(seeds, int):
        values = list(range(seeds))
    elif not isinstance(seeds, str | float | None):
        values = list(seeds)
    if not values or not all(isinstance(seed, int) for seed in values):
        raise UserError(f"seeds={seeds} asks for no image; give a number of at least 1, or a list")
    return values


def read_search(config: Mapping[str, Any], seeds: Sequence[int]) -> SearchSettings:
    """Reads how the searches of a visualize or compare config run. Raises UserError for a former key."""
    refuse_former_keys(config)
    size, diversity = config["canvas_size"], config["diversity"]
    return SearchSettings(
        seeds=list(seeds),
        seed=config["seed"],
        batch_size=config["batch_size"],
        canvas_size=tuple(size) if isinstance(size, list) else size,
        diversity=Diversity(diversity, config["diversity_layer"]) if diversity else None,
        code_prior=config["code_prior"],
    )


def logger_makers(loggers: Mapping[str, Any]) -> list[Any]:
    """Returns a function without arguments for each logger of `logger=`, which returns it."""
    return [instantiate(logger, _partial_=True) for logger in loggers.values()]


def load_judge(
    settings: Mapping[str, Any], prior: Prior | None, target: FeatureNet, data: ImageData | None
) -> FeatureNet | None:
    """Makes the network of `judge=`; for auto, the judge of the data set of the real images, if it has one.

    Args:
        settings: the `judge` group of the config.
        prior: the prior; the judge gets its image size if it has none.
        target: the network whose units are maximized.
        data: the real images.
    """
    if settings.get("_target_"):
        judge = network(settings, data, prior.image_shape if prior else None)
        judge.classes_at = settings.get("layer")
    elif settings.get("auto") and data is not None and data.judge is not None:
        judge = network(data.judge)
        try:
            check_independent(judge, target)
        except UserError:
            log.info("No judge: the embedded one is the target itself; name another with judge=")
            return None
    else:
        return None
    if target.labels and judge.labels and judge.labels != target.labels:
        log.info("The judge %s has other labels than the target: `recognized` compares names", judge.name)
    placed(judge, target.device)
    check(judge, "judge", [judge.class_layer()])
    return judge


def load_similarity(
    settings: Mapping[str, Any], judge: FeatureNet | None, target: FeatureNet, prior: Prior | None
) -> Similarity | None:
    """Makes the similarity of `similarity=`; None if there is none, or no judge in whose features it is computed.

    Raises:
        UserError: If the similarity shares weights with the target.
    """
    if settings.get("_target_") is None:
        return None
    if settings.get("net") is not None:
        net = placed(network(settings["net"], image_shape=prior.image_shape if prior else None), target.device)
        similarity = instantiate({key: value for key, value in settings.items() if key != "net"}, net=net)
    elif settings.get("_partial_"):
        if judge is None:
            log.info("Without a judge, predictive power (2AFC, MIS) is not measured; name one, or give similarity=")
            return None
        similarity = instantiate(settings)(judge)
    else:
        similarity = instantiate(settings, device=str(target.device))
    check_independent(similarity, target, "similarity")
    return similarity


def open_data(prior: Prior | None, settings: Mapping[str, Any] | None) -> ImageData | None:
    """Opens real images to measure on: those of `data=`, else those that the prior was trained on, if available.

    Args:
        prior: the prior.
        settings: the `data` group of the config.
    """
    if settings:
        given: ImageData = instantiate(settings)
        return given
    if prior is None:
        log.info("No real images to compare with: name some with data=doodles, or data=image_folder data.root=FOLDER")
        return None
    data, why = own_data(prior)
    if data is None:
        log.info("No real images to compare with: %s", why)
    return data


def own_data(prior: Prior) -> tuple[ImageData | None, str]:
    """The images that a prior was trained on, or None and why they are not available."""
    try:
        data = sources.known(prior.about.get("data") or {})
    except UserError as error:
        return None, f"those that the prior was trained on are not available ({error})"
    return data, "" if data is not None else "the prior does not say what images it was trained on"
