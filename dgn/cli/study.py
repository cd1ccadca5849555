"""study.py: from a config to the page of a study, or to the report of all of them."""

import hashlib
import json
import logging
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml
from hydra.utils import instantiate

from dgn.am.method import Method
from dgn.cli.config import check_complete, compose, given_overrides, plain
from dgn.cli.kept_trainings import KeptTrainings
from dgn.cli.networks import network
from dgn.cli.remembered import with_remembered
from dgn.cli.roles import load_judge, load_prior, logger_makers, named_code, read_seeds
from dgn.cli.stages import read_method
from dgn.data.datamodule import ImageData
from dgn.devices import placed, select_device
from dgn.errors import UserError
from dgn.files import write_whole
from dgn.networks.featurenet import FeatureNet
from dgn.prior import Prior
from dgn.runs.folders import CONFIG, METRICS
from dgn.runs.loggers import check as check_loggers
from dgn.runs.programs import command, own_configs_flag, shared_command
from dgn.runs.threads import use_threads
from dgn.studies.base import Study
from dgn.studies.collection import Collection
from dgn.studies.lab import Budget, Lab
from dgn.studies.page import write_page
from dgn.studies.reproduction import Failed, write_report
from dgn.studies.running import Evidence, read_evidence, run_study
from dgn.studies.tracking import log_study

log = logging.getLogger(__name__)


def run(config: Mapping[str, Any], folder: Path) -> Path:
    """Runs or resumes the study of the config; returns the path of its page, or of the report of all studies."""
    check_complete(config, "study")
    check_loggers(config["logger"])
    config = {**config, "threads": use_threads(config["threads"])}
    overrides = given_overrides()
    chosen = instantiate(config["study"], _convert_="all")
    own = command("study", *own_configs_flag(), *_lasting(overrides))
    write_whole(folder / CONFIG, f"# {own}\n" + yaml.safe_dump(dict(config), sort_keys=False))
    if isinstance(chosen, Collection):
        path = _run_all(chosen, overrides, config, folder)
    else:
        path = _run_one(_name(config["study"]), chosen, config, folder, _command(overrides))
    write_whole(folder / METRICS, json.dumps({"studies": 1}) + "\n")
    return path


def _run_all(collection: Collection, overrides: Sequence[str], config: Mapping[str, Any], folder: Path) -> Path:
    """Runs every study of a collection with the same settings, and writes the report after each."""
    others = [o for o in overrides if o.split("=")[0] not in ("study", "resume", "logger")]
    others = [o for o in others if not o.startswith("study.")]  # keys of the collection
    given = {o.split("=")[0] for o in others}
    found: list[Evidence | Failed] = []
    whole = _command([o for o in overrides if not o.startswith("study.run=")])
    for name in collection.studies:
        settings = [s for s in collection.settings.get(name, []) if s.split("=")[0] not in given]
        mine = [f"study={name}", *settings, *others]
        values = plain(compose("study", mine)) | {"threads": config["threads"], "logger": config["logger"]}
        again = _command(mine)
        study = instantiate(values["study"], _convert_="all")
        try:
            if collection.run:
                _run_one(name, study, values, folder / name, again)
            found.append(read_evidence(folder / name) or Failed(name, study.claim, "it was not run yet", again))
        except UserError as error:
            log.error("study=%s: %s", name, error)
            found.append(Failed(name, study.claim, str(error), again))
        write_report(found, folder, Path(collection.document), whole)
    return Path(collection.document)


def _run_one(name: str, study: Study, config: Mapping[str, Any], folder: Path, again: str) -> Path:
    """Runs a study; writes its evidence and its page into the folder."""
    began = time.perf_counter()
    if config["target"].get("_target_") and not study.shows_target:
        log.warning("target= has no effect on study=%s: it looks at the encoder, or at networks that it trains", name)
    seeds = read_seeds(config["seeds"])
    settings = {key: value for key, value in config.items() if key not in _OF_A_SESSION}
    key = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:12]
    evidence = run_study(name, study, partial(_make_lab, config), seeds, folder, key, settings, again)
    evidence.save(folder)
    page = write_page(evidence, folder)
    log_study(logger_makers(config["logger"]), config, evidence, folder)
    log.info("Study %s: %s (%.0f s)", name, evidence.verdict, time.perf_counter() - began)
    return page


def _make_lab(config: Mapping[str, Any]) -> Lab:
    """Loads what a study computes with."""
    device = select_device(config["device"])
    data: ImageData = instantiate(config["data"])
    priors = _load_priors(config, device)
    config = {**config, "encoder": _encoder_settings(config["encoder"], priors)}
    encoder = placed(network(config["encoder"], data), device)
    for prior in priors:
        _check_inverts(prior, encoder)
        prior.offer(encoder)
    target = None
    if config["target"].get("_target_"):
        target = placed(network(config["target"], data), device)
        target.classes_at = config["target"].get("layer")
    judge = load_judge(config["judge"], None, target or encoder, data)
    budget = Budget(config["unit_count"], config["steps"], config["reference_images"], config["start"])
    trainings = KeptTrainings(config, encoder, priors, device)
    return Lab(data, config["data"], encoder, target, judge, trainings, _method, budget)


def _load_priors(config: Mapping[str, Any], device: torch.device) -> list[Prior]:
    given = config["prior"]
    names = given if isinstance(given, list) else [given] if given is not None else []
    return [load_prior(name, device, code=named_code(config)) for name in names]


def _encoder_settings(settings: Mapping[str, Any], priors: Sequence[Prior]) -> Mapping[str, Any]:
    """Returns the settings of E: an embedded network has the weights that a given prior was trained to invert.

    Embedded networks are fitted on each machine, so that their weights differ from those of a prior of elsewhere.
    """
    if settings.get("weights") != "embedded":
        return settings
    for prior in priors:
        known, keys = with_remembered({**settings, "weights": None}, prior.about["encoder"]["spec"] or {})
        in_a_file = prior.encoder_tensors and prior.source.endswith(".safetensors") and Path(prior.source).is_file()
        if keys and in_a_file:
            return {**known, "weights": prior.source, "container": "encoder"}
    return settings


def _check_inverts(prior: Prior, encoder: FeatureNet) -> None:
    """Raises UserError if a prior that is given inverts another network: no study would use it."""
    if not prior.encoder_is(encoder):
        raise UserError(
            f"prior={prior.source}: it inverts {prior.layer} of {prior.about['encoder']['name']}, and encoder= names "
            f"another network, or other weights ({encoder.name}): name the one that it inverts by encoder= and "
            "encoder.weights=, or leave prior= out, and priors are trained"
        )


def _method(name: str, steps: int | None) -> Method:
    return read_method(plain(compose("visualize", [f"method={name}"]))["method"], steps)


def _name(settings: Mapping[str, Any]) -> str:
    """Returns the name of a study: of the module of its class."""
    return str(settings["_target_"]).split(".")[-2]


def _command(overrides: Sequence[str]) -> str:
    """Returns the command for pages."""
    return shared_command("study", *own_configs_flag(), *_lasting(overrides))


def _lasting(overrides: Sequence[str]) -> list[str]:
    return [o for o in overrides if not o.startswith("resume=")]


_OF_A_SESSION = ("resume", "threads", "logger", "seeds", "runs", "device")
"""Keys on which what a seed measures does not depend."""
