"""Damaged run folders, command lines, expressions of units, and answers of the hub and of W&B."""

import functools
import json
import shutil
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import yaml
from PIL import Image

from damaged.case import Case, kind
from damaged.mutations import BYTES, CLIMBS, NUMBERS, VALUES, dumped, of_json, of_text
from damaged.samples import prior_file
from dgn.am.objectives.language import parse_units
from dgn.cli.compare import compare
from dgn.cli.config import compose, plain, register_resolvers
from dgn.cli.run_command import training_command
from dgn.cli.run_folders import locate_runs, make_entry
from dgn.cli.run_names import name_runs, read_settings
from dgn.networks.featurenet import FeatureNet
from dgn.networks.zoo import mini_resnet
from dgn.prior import Prior, find_prior
from dgn.prior.hub import fetch
from dgn.runs.folders import finished, folder_to_resume, measured, multirun_to_resume, result
from dgn.visualization.search_store import SearchStore

_METRICS = {"steps": 8, "val/psnr": 17.2, "val/code_error": 0.7, "fit_seconds": 3.2, "parameters": 1000}
_RESULTS = {
    "settings": {"search_seconds": 1.5, "methods": [{"name": "dgn_am"}], "seed": 0, "partial": False},
    "results": [
        {"image": f"images/{i}.png", "label": "house", "objective": "fc8:0", "percentile": 0.5, "seed": i}
        for i in range(2)
    ],
}


@functools.cache
def _config(program: str) -> dict[str, Any]:
    register_resolvers()
    return plain(compose(program, []), resolve=False)


def _run(folder: Path, gallery: bool) -> dict[str, bytes]:
    """Writes a finished run, and returns the files of it that the programs read again."""
    program = "visualize" if gallery else "train"
    config = yaml.safe_dump(_config(program), sort_keys=False)
    files = {
        "config.yaml": f"# {program}.py seed=3\n{config}".encode(),
        ".hydra/hydra.yaml": yaml.safe_dump({"hydra": {"runtime": {"choices": {"encoder": "mini_caffenet"}}}}).encode(),
        ".hydra/overrides.yaml": b"- seed=3\n- encoder=mini_caffenet\n",
    }
    if gallery:
        files["results.json"] = dumped(_RESULTS)
        files["searches/run.json"] = dumped({"overrides": ["seed=3"], "priors": ["prior.safetensors"]})
    else:
        files["metrics.json"] = dumped(_METRICS)
        files["failed.json"] = dumped({"error": "no such layer", "traceback": ""})
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    if gallery:
        (folder / "images").mkdir()
        for i in range(2):
            Image.fromarray(np.full((8, 8, 3), 99 * i, np.uint8)).save(folder / f"images/{i}.png")
    return files


def _damage_file(content: bytes, name: str, random: Random) -> bytes:
    if random.random() < 0.3:
        return random.choice(BYTES)(content, random)
    if name.endswith(".json"):
        return dumped(of_json(json.loads(content), random))
    if random.random() < 0.5:
        tree = of_json(yaml.safe_load(content), random)
        return b"# train.py seed=3\n" + yaml.safe_dump(tree, allow_unicode=False).encode("utf-8", "surrogatepass")
    return of_text(content, random)


@kind("run folders, half-written ones too")
def _run_folders(folder: Path, random: Random) -> Case:
    gallery = random.random() < 0.5
    run = folder / "run"
    files = _run(run, gallery)
    if gallery and random.random() < 0.5:
        shutil.rmtree(run / "searches")
        del files["searches/run.json"]
    elif not gallery and random.random() < 0.7:
        (run / "failed.json").unlink()
        del files["failed.json"]
    for name in random.sample(sorted(files), random.choice((1, 1, 1, 2))):
        if random.random() < 0.1:
            (run / name).unlink()
        elif random.random() < 0.05:
            (run / name).unlink()
            (run / name).mkdir()
        else:
            (run / name).write_bytes(_damage_file(files[name], name, random))
    use = random.choice((_compared, _compared, _resumed, _command))
    return Case(lambda: use(run, gallery), (*(Path(name).name for name in files), "run"))


def _compared(run: Path, gallery: bool) -> None:
    runs = locate_runs([str(run), str(run)])
    entries = [make_entry(location) for location in runs]
    settings = [read_settings(location.path) for location in runs]
    name_runs([location.name for location in runs] * 2, settings * 2)
    if entries[0].status == "finished":
        config = plain(compose("compare", [])) | {"runs": [str(run)], "judge": {"_target_": None}, "device": "cpu"}
        with mock.patch("dgn.cli.compare.load_judge", return_value=None):
            compare(config, run.parent / "comparison")


def _resumed(run: Path, gallery: bool) -> None:
    program = "visualize" if gallery else "train"
    folder_to_resume(str(run), program)
    if gallery:
        from dgn.cli.stopped import begin_or_resume

        config = _config("visualize") | {"resume": str(run)}
        hydra = SimpleNamespace(get=lambda: SimpleNamespace(mode=None))
        with mock.patch("dgn.cli.stopped.HydraConfig", hydra), mock.patch("dgn.cli.stopped.given_overrides", list):
            begin_or_resume(config, run)
        SearchStore(run / "searches" / "0").load([], 0)
    elif finished(run):
        result(run, 8)
        measured(run, "val/psnr")
    else:
        from dgn.cli.job import _recorded_threads

        _recorded_threads(run)


def _command(run: Path, gallery: bool) -> None:
    training_command(run)
    find_prior(str(run))


@kind("records of multiruns")
def _multiruns(folder: Path, random: Random) -> Case:
    tree = {"hydra": {"overrides": {"task": ["seed=1,2"]}, "job": {"name": "train"}}, "seed": 1}
    path = folder / "outputs/multirun/x/multirun.yaml"
    path.parent.mkdir(parents=True)
    path.write_bytes(_damage_file(yaml.safe_dump(tree).encode(), "multirun.yaml", random))

    def read() -> None:
        with mock.patch("dgn.runs.folders.OUTPUTS", folder / "outputs"):
            multirun_to_resume("auto", ["seed=1,2"], "train")

    return Case(read, ("multirun.yaml",))


@functools.cache
def _target() -> FeatureNet:
    return mini_resnet(classes=4, labels=["house", "tree", "a, b", "+"], width=8)


_ATOMS = ("fc:3", "fc:house", "fc:'a, b'", "fc:0-3", "layer1:2@mean", "layer1:2@1,1", "layer2:all", "3", "house",
          "layer1:0@9,9", "fc:99", "fc:-1", "nope:1", "fc:", ":", "fc:0-", "fc:3-0", "fc:0-9999999999", "fc:9e9",
          "layer1:1@999999999999999999999,0", "fc:1.5", "fc:NaN", "\u202efc:3", "layer1:1@nan,nan")  # fmt: skip
_CALLS = ("softmax({})", "log_softmax({})", "level({},2.5)", "sum({})", "dream(layer1)", "dream({})", "match(fc,{})",
          "direction(fc,{{0:1,1:-2}})", "direction(fc,{{0:nan}})", "direction(fc,{})", "region({},mask.png)",
          "function(fc,{})", "function(images,x.py:f)", "sae({},layer=fc):1", "dict({},layer=fc):0-9", "-{}", "({})",
          "{}*{}", "{}+0.5*{}", "{}-{}", "{}/{}", "{}-1e999*{}", "level({},nan)", "level({},1e400)")  # fmt: skip


def expression(random: Random, depth: int = 3) -> str:
    """An expression of the unit language, mostly a wrong one."""
    if depth == 0 or random.random() < 0.3:
        return random.choice((*_ATOMS, *_ATOMS, *CLIMBS, *map(str, NUMBERS)))
    form = random.choice(_CALLS)
    return form.format(*(expression(random, depth - 1) for _ in range(form.count("{}"))))


@kind("expressions of units")
def _units(folder: Path, random: Random) -> Case:
    text = expression(random, random.randint(0, 4))
    for _ in range(random.choice((0, 0, 1, 4))):
        at = random.randrange(len(text) + 1)
        text = text[:at] + random.choice("()[]{}':,@+-*/\\ \n\t\x00=#~é") + text[at + random.randrange(2) :]
    if random.random() < 0.02:
        text = random.choice(("(" * 50_000, "-" * 50_000 + "fc:1", "fc:1+" * 5_000 + "fc:1", "fc:" + "9" * 10_000))
    units: Any = [text, text] if random.random() < 0.2 else text
    if random.random() < 0.03:
        units = random.choice(VALUES)
        text = str(units)
    return Case(lambda: parse_units(units, _target()), ("",))


class _Answer(Exception):
    pass


@kind("answers of the hub and of W&B")
def _answers(folder: Path, random: Random) -> Case:
    repository = random.choice(("user/name", "user/name@main", "../x", "a/b/c", "user/" + "x" * 3000, "", "user/nä"))
    if random.random() < 0.5:
        return _hub_answer(folder, random, f"hf:{repository}")
    return _wandb_answer(folder, random, f"wandb:team/project/{random.choice(('name', 'name:v3', '../../x', ''))}")


def _error(random: Random) -> Exception:
    return random.choice((
        _Answer("502 Bad Gateway\n<html>"), ValueError(""), ConnectionError("reset"), TimeoutError(), KeyError("x"),
        OSError(28, "No space left on device"), RuntimeError("\n\n  two\nlines"), RecursionError(),
        UnicodeDecodeError("utf-8", b"", 0, 1, "x"),
        json.JSONDecodeError("x", "doc", 0), AttributeError("'NoneType' object has no attribute 'x'"),
    ))  # fmt: skip


def _prior_of_answer(folder: Path, random: Random) -> Path:
    path = folder / "prior.safetensors"
    path.write_bytes(random.choice(BYTES)(prior_file(), random) if random.random() < 0.8 else prior_file())
    return path


def _hub_answer(folder: Path, random: Random, name: str) -> Case:
    import huggingface_hub

    path: Any = _prior_of_answer(folder, random)
    given = random.choice((path, path, str(path), None, 3, folder / "absent", _error(random)))

    def download(*_: Any, **__: Any) -> Any:
        if isinstance(given, Exception):
            raise given
        return given

    def read() -> None:
        with (
            mock.patch.object(huggingface_hub, "hf_hub_download", download),
            mock.patch("dgn.prior.hub.unreachable", return_value=None),
        ):
            fetch(name)
            Prior.load(name)

    return Case(read, (name,))


def _wandb_answer(folder: Path, random: Random, name: str) -> Case:
    import wandb

    source = _prior_of_answer(folder, random)
    digest = random.choice(("abc", "../../../climbed", None, "x" * 500, "a/b", 7, ""))
    failing = random.choice((None, None, None, "artifact", "download"))

    def download(root: str) -> Any:
        if failing == "download":
            raise _error(random)
        Path(root).mkdir(parents=True)
        shutil.copy(source, Path(root) / random.choice(("prior.safetensors", "prior.safetensors", "other.bin")))
        return random.choice((root, root, root, None, 5))

    def artifact(*_: Any, **__: Any) -> Any:
        if failing == "artifact":
            raise _error(random)
        return random.choice((SimpleNamespace(digest=digest, download=download),) * 8 + (None, {}))

    def read() -> None:
        with (
            mock.patch.object(wandb, "Api", return_value=SimpleNamespace(artifact=artifact)),
            mock.patch("dgn.prior.hub.cache_dir", return_value=folder / "cache"),
        ):
            Prior.load(name)

    return Case(read, (name,))
