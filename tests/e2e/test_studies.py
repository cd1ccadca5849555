"""Every study at toy size, as a user runs it: its page, its evidence, and the report of several."""

import json
from pathlib import Path

import pytest

from dgn.cli.config import compose, keys_without_value, plain
from dgn.cli.config_folders import choices
from dgn.studies.running import read_evidence

pytestmark = pytest.mark.e2e

TINY = (
    *("encoder.weights=null", "device=cpu"),
    *("data.train_images=160", "data.val_images=64", "data.batch_size=8", "encoder_batch=8", "reference_images=64"),
    *("prior_steps=2", "own_prior_steps=2", "encoder_steps=2", "unit_count=2", "steps=2"),
    'prior_settings=["generator.width=0.05","statistics.images=32","statistics.axes=0"]',
)
TOY = ("judge=mini_resnet", "judge.weights=null", "judge.width=8", *TINY)
SMALLER = {
    "layers": ["study.shuffled_images=16", "study.convolutional=[conv5]", "study.connected=[fc6]"],
    "hidden": ["study.other_steps=2", "study.tasks=2", "study.per_layer=2", "study.layers=[conv5,fc6]"],
    "detectors": ["study.images=32", "study.count=2"],
    "modified": ["study.images=24", "study.modifications=[brg]"],
    "canonical": ["study.images=16", "study.per_unit=2"],
    "snapshots": ["study.at=[0,1]", "study.overfit_images=16"],
    "pairs": ["study.members=3"],
    "lookalikes": ["study.pairs=1"],
    "memorization": ["study.of_class=4"],
    "methods": ["study.steps=5", "study.others=[pixels,mfv2016]", "study.tasks=2"],
    "facets": ["study.per_layer=2", "study.parts=8", "study.layers=[conv2,fc6]", "study.most=3"],
    "inversion": ["study.images=16", "study.steps=2"],
    "interpolation": ["study.pairs=2", "study.between=2"],
    "architectures": [
        "~study.targets",
        "+study.targets.brief={settings:['encoder=mini_resnet','encoder.width=8'],steps:2,seed:3}",
        "+study.targets.random={settings:['encoder.weights=null','encoder.seed=4'],steps:0,seed:0}",
    ],
}
STUDIES = [name for name in choices("study") if name != "all"]


@pytest.fixture(scope="module")
def someone(new_user, tmp_path_factory):
    return new_user(tmp_path_factory.mktemp("studies"))


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_a_study_writes_its_page_and_what_its_verdict_rests_on(someone, name):
    out, _ = someone.run("study.py", f"study={name}", "seeds=1", f"hydra.run.dir={name}", *TOY, *SMALLER.get(name, []))
    folder = someone.folder / name
    assert Path(out.strip().splitlines()[-1]) == folder / "index.html"
    evidence = read_evidence(folder)
    assert evidence is not None
    assert evidence.verdict == "too few seeds to tell"
    page = (folder / "index.html").read_text()
    assert evidence.claim.split(":")[0].replace("'", "&#39;") in page
    assert evidence.statements
    for statement in evidence.statements:
        assert statement["outcome"] == "unclear"
        assert statement["values"] != [None], f"{statement['text']} has no value"
    for figure in evidence.figures:
        assert (folder / figure["file"]).stat().st_size > 1000
        assert figure["file"] in page


def test_there_is_a_study_for_every_experiment():
    collection = plain(compose("study", ["study=all"]))["study"]["studies"]
    assert sorted(collection) == STUDIES
    assert len(STUDIES) == 15


def test_a_stopped_study_goes_on_with_the_seeds_that_are_missing(someone):
    command = ("study.py", "study=interpolation", *TOY, "study.pairs=2", "study.between=1")
    someone.run(*command, "seeds=2", "hydra.run.dir=stopped")
    folder = someone.folder / "stopped"
    first, second = (folder / "kept" / f"seed-{seed}.json" for seed in (0, 1))
    kept = json.loads(first.read_text())
    first.write_text(json.dumps(kept | {"numbers": kept["numbers"] | {"kept/frechet": 1.0}}))
    for path in (second, folder / "evidence.json", folder / "metrics.json"):
        path.unlink()
    someone.run(*command, "seeds=2", "resume=stopped")
    assert dict(read_evidence(folder).table)["kept"]["frechet"][0] == 1.0, "the first seed was measured again"
    assert second.is_file()


def test_a_study_is_of_the_network_that_its_prior_inverts(someone):
    someone.run("train.py", *someone.tiny, "encoder.seed=5", "trainer.max_steps=2", "hydra.run.dir=prior")
    own = [setting for setting in TOY if setting != "encoder.weights=null"]
    command = ("study.py", "study=snapshots", *own, *SMALLER["snapshots"], "seeds=1", "prior=prior")
    _, err = someone.run(*command, "hydra.run.dir=own")
    assert "The embedded encoder" not in err, "the embedded network was fitted instead"
    trained = read_evidence(someone.folder / "own").settings["prior"]
    assert trained == "prior"
    _, err = someone.run(*command, "encoder.weights=null", "encoder.seed=6", "hydra.run.dir=another", status=2)
    assert "it inverts fc6 of mini_caffenet, and encoder= names another network, or other weights" in err


def test_all_studies_make_a_report_and_say_what_did_not_run(someone):
    out, _ = someone.run(
        *("study.py", "study=all", "study.studies=[memorization,pairs]", "study.document=docs/report.md"),
        *("hydra.run.dir=all", "seeds=1", *TINY, "judge=none"),
    )
    assert out.strip().splitlines()[-1] == "docs/report.md"
    text = (someone.folder / "docs" / "report.md").read_text()
    assert "study.py study=memorization seeds=1" in text
    assert (someone.folder / "docs" / "report" / "memorization.jpg").is_file()
    assert "Did not run: this study needs a judge" in text


@pytest.mark.parametrize("name", [*STUDIES, "all"])
def test_a_study_composes_with_imagenet_and_caffenet(name):
    config = plain(
        compose("study", [f"study={name}", "data=imagenet", "encoder=caffenet", "data.root=R", "encoder.weights=W"])
    )
    assert not keys_without_value(config)
    assert config["data"]["name"] == "imagenet"
