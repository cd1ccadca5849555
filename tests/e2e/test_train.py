import csv
import json
import math
import re
import signal
import time

import pytest
import torch
import yaml
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import dgn.training.code_statistics
from dgn.prior import Prior
from dgn.training.inversion import Inversion

pytestmark = pytest.mark.e2e


def test_the_last_line_is_the_priors_path_and_everything_is_beside_it(trained):
    user, path, out = trained
    path = user.folder / path
    assert path.name == "prior.safetensors"
    run = path.parent
    assert run.parent == user.folder / "outputs" / "train"
    assert (run / "checkpoints" / "last.ckpt").is_file()
    assert yaml.safe_load((run / "config.yaml").read_text())["trainer"]["max_steps"] == 8
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["steps"] == 8
    assert all(math.isfinite(metrics[f"val/{name}"]) for name in ("psnr", "feature_distance", "code_error"))
    assert sorted(p.name for p in (run / "reconstructions").iterdir()) == ["step_000004.png", "step_000008.png"]
    assert Image.open(run / "reconstructions" / "step_000008.png").size[0] > 8 * 64
    assert not list(user.folder.glob("*_logs"))  # Lightning's own folders
    lines = [line for line in out.splitlines() if line.startswith("  step ")]
    assert [line.split()[1] for line in lines] == ["2/8", "4/8", "6/8", "8/8"]
    for word in ("PSNR", "feature distance", "adversarial", "discriminator", "images/s", "left"):
        assert all(word in line for line in lines)
    assert "Traceback" not in out


def test_the_metrics_have_their_names(trained):
    user, path, _ = trained
    rows = list(csv.DictReader((user.folder / path).parent.joinpath("metrics.csv").open()))
    names = {name for row in rows for name, value in row.items() if value}
    expected = {f"train/loss_{n}" for n in ("image", "feature", "adversarial", "discriminator")}
    expected |= {"train/psnr", "train/feature_distance"}
    expected |= {"val/psnr", "val/feature_distance", "val/code_error"}
    expected |= {f"weights/{n}" for n in ("image", "feature", "adversarial")}
    assert expected <= names


def test_the_same_seed_gives_the_same_prior_and_another_seed_another(user, trained):
    _, path, _ = trained
    first = Prior.load(trained[0].folder / path).generator.state_dict()
    for seed, same in ((0, True), (1, False)):
        out, _ = user.run("train.py", *user.tiny, "trainer.max_steps=8", "trainer.val_check_interval=4", f"seed={seed}")
        again = Prior.load(user.folder / out.strip().splitlines()[-1]).generator.state_dict()
        equal = all(torch.equal(first[k], again[k]) for k in first if not k.startswith("code_"))
        assert equal == same


@pytest.mark.slow
def test_a_killed_run_resumes_to_bit_identical_weights(user):
    """Ends a real run three times, by each signal; the resumed run ends in what the uninterrupted run ends in."""
    settings = [*user.tiny, "trainer.max_steps=60", "trainer.val_check_interval=25", "checkpoint.every_n_steps=5"]
    settings += ["progressive.until=0.4", "progressive.ramp=0.4"]
    whole, broken = user.folder / "whole", user.folder / "broken"
    user.run("train.py", *settings, f"hydra.run.dir={whole}")
    assert (
        "at 32 px until step 24, both sides in turn until step 48, then at 64 px" in (whole / "train.log").read_text()
    )
    arguments = [*settings, f"hydra.run.dir={broken}"]
    for number in (signal.SIGKILL, signal.SIGINT, signal.SIGTERM):
        process = user.start("train.py", *arguments)
        assert stop_after_a_checkpoint(process, broken, number)
        _, err = process.communicate(timeout=200)
        assert "Traceback" not in err
        if number == signal.SIGKILL:
            assert process.returncode == -number
        else:
            assert process.returncode == 128 + number, err
            assert f"resume={broken}" in err
        arguments = [f"resume={broken}"]
    out, _ = user.run("train.py", f"resume={broken}")
    assert out.strip().endswith("prior.safetensors")
    ends = [torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in (whole, broken)]
    assert ends[0]["global_step"] == ends[1]["global_step"] == 60
    assert_same(ends[0]["state_dict"], ends[1]["state_dict"])
    assert_same(ends[0]["optimizer_states"], ends[1]["optimizer_states"])
    assert ends[0]["balance"] == ends[1]["balance"]
    assert ends[0]["loss_half"]["norms"]
    assert [end["loss_half"] for end in ends] == [ends[0]["loss_half"]] * 2
    assert (whole / "prior.safetensors").read_bytes()[-4096:] == (broken / "prior.safetensors").read_bytes()[-4096:]


def stop_after_a_checkpoint(process, run, number) -> bool:
    """Sends a signal once the run has written another checkpoint; returns whether it still ran."""
    checkpoint = run / "checkpoints" / "last.ckpt"
    before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
    deadline = time.monotonic() + 200
    while process.poll() is None and time.monotonic() < deadline:
        if checkpoint.exists() and checkpoint.stat().st_mtime_ns > before:
            process.send_signal(number)
            return True
        time.sleep(0.01)
    return False


def assert_same(a, b) -> None:
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list | tuple):
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert a == b


class Crash(BaseException):
    """Ends a run in the middle of a step; as no Exception, it is reported by nobody."""


def test_resume_auto_finds_the_unfinished_run_and_loggers_hold_each_step_once(user, monkeypatch):
    def crashing(self, *arguments):
        if self.global_step == 16:  # six steps after the checkpoint are logged, which come again
            raise Crash
        training_step(self, *arguments)

    settings = [*user.tiny, "trainer.max_steps=400", "checkpoint.every_n_steps=10", "logger=[csv,tensorboard]"]
    training_step = Inversion.training_step
    with monkeypatch.context() as patched:
        patched.setattr(Inversion, "training_step", crashing)
        with pytest.raises(Crash):
            user.run("train.py", *settings)
    (run,) = user.folder.glob("outputs/train/*")
    step = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
    assert step == 10
    logged = [int(row["step"]) for row in csv.DictReader((run / "metrics.csv").open())]
    assert max(logged) > step
    out, _ = user.run("train.py", "resume=auto", f"trainer.max_steps={step + 3}")
    assert str(run.relative_to(user.folder)) in out.strip().splitlines()[-1]
    assert json.loads((run / "metrics.json").read_text())["steps"] == step + 3
    command = Prior.load(run / "prior.safetensors").about["command"]  # that which makes this prior from nothing
    assert f"trainer.max_steps={step + 3}" in command
    assert "trainer.max_steps=400" not in command
    assert "resume" not in command
    assert "data.train_images=96" in command
    rows = list(csv.DictReader((run / "metrics.csv").open()))
    board = EventAccumulator(str(run / "tensorboard")).Reload()
    for name, steps in (("train/loss_image", list(range(1, step + 3, 2))), ("val/psnr", [step + 2])):
        assert [int(row["step"]) for row in rows if row[name]] == steps
        assert [event.step for event in board.Scalars(name)] == steps


def test_a_resumed_run_takes_the_statistics_of_its_checkpoint(user, monkeypatch):
    """It continues with its settings; no checkpoint before the end is asked for, and none is written."""
    measured = []
    measure = dgn.training.code_statistics.measure
    monkeypatch.setattr(
        "dgn.training.code_statistics.measure", lambda *a, **kw: measured.append(a) or measure(*a, **kw)
    )
    settings = [*user.tiny, "trainer.precision=32-true", "checkpoint.every_n_steps=0", "statistics.split=val"]
    out, _ = user.run("train.py", *settings, "trainer.max_steps=2", "hydra.run.dir=run")
    assert len(measured) == 1
    first = Prior.load(user.folder / out.strip().splitlines()[-1])
    assert first.statistics.count == 32
    user.run("train.py", "resume=run", "trainer.max_steps=4")
    assert len(measured) == 1
    second = Prior.load(user.folder / out.strip().splitlines()[-1])
    assert second.about["metrics"]["steps"] == 4
    for name in ("mean", "std", "min", "max", "axes", "axes_std"):
        assert torch.equal(getattr(first.statistics, name), getattr(second.statistics, name))


def head_on_pixels(user) -> bool:
    state = torch.load(user.folder / "run/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    return any(re.match(r"discriminator\.of_pixels\.\d\.layers", name) for name in state)


def test_the_shares_of_the_losses_follow_what_codes_say_of_pixels_and_are_kept_at_a_resume(user):
    settings = [*user.tiny, "loss.explained=1", "data.train_images=240", "statistics.images=240"]
    out, _ = user.run("train.py", *settings, "trainer.max_steps=2", "hydra.run.dir=run")
    told = re.search(r"Codes explain (\d+)% of the variance of pixels", out)
    explained = Prior.load(user.folder / out.strip().splitlines()[-1]).about["training"]["explained"]
    assert told is not None
    assert int(told[1]) == round(100 * explained) < 100
    assert head_on_pixels(user)  # as the adversarial loss has the largest share
    again, _ = user.run("train.py", "resume=run", "trainer.max_steps=4")
    assert told[0] in again
    assert Prior.load(user.folder / out.strip().splitlines()[-1]).about["training"]["explained"] == explained


@pytest.mark.parametrize(("settings", "expected"), [([], False), (["discriminator.pixels=4"], True)])
def test_there_is_a_head_on_pixels_only_where_it_is_asked_for_or_the_adversarial_loss_leads(user, settings, expected):
    user.run("train.py", *user.tiny, *settings, "trainer.max_steps=1", "hydra.run.dir=run")
    assert head_on_pixels(user) == expected


def test_a_finished_run_has_nothing_left_to_do(trained):
    user, path, _ = trained
    before = (user.folder / path).read_bytes()
    out, _ = user.run("train.py", f"resume={(user.folder / path).parent}")
    assert "finished" in out
    assert out.strip().endswith("prior.safetensors")
    assert (user.folder / path).read_bytes() == before


def test_a_loss_that_is_not_finite_stops_the_run_and_says_where(user):
    settings = [
        *user.tiny,
        "trainer.max_steps=50",
        "checkpoint.every_n_steps=1",
        "optimizer.lr=1e20",
        "schedule.warmup=null",
    ]
    _, err = user.run("train.py", *settings, status=2)
    assert "not finite at step" in err
    assert "loss_image=" in err
    assert "checkpoint" in err
    assert "Traceback" not in err
    (checkpoint,) = user.folder.glob("outputs/train/*/checkpoints/last.ckpt")
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert all(tensor.isfinite().all() for tensor in state.values())


@pytest.mark.parametrize(
    "settings",
    [
        ["loss.adversarial=0", "ema_decay=0"],
        ["discriminator.conditional=false", "discriminator.update=before", "encoder.layer=conv3"],
        ["recipe=paper_short", "discriminator.conditional=true", "discriminator.update=before", "generator.width=0.05"],
        ["recipe=paper"],
        ["recipe=gpu", "compile=false", "generator.width=0.05", "data.batch_size=8", "trainer.max_steps=3"],
        ["loss.explained=null", "discriminator.pixels=0", "data.image_size=32"],
        ["recipe=none", "loss=shares"],
        ["adversarial=relativistic", "discriminator.augment=[color,translation,cutout]"],
        ["discriminator=conv", "discriminator.augment=[cutout]", "adversarial=relativistic", "adversarial.penalty=2"],
        ["discriminator.layers=[conv3,fc6]", "comparator.layers=[pool5,fc7]", "code_noise=0"],
        [
            "encoder.layer=pool5",
            "comparator=mini_resnet",
            "comparator.weights=null",
            "comparator.layers=[layer1,layer2]",
        ],
        ["encoder.layer=fc8", "data.image_size=32", "generator.normalize_codes=false"],
    ],
)
def test_every_layer_and_loss_trains(user, settings):
    out, _ = user.run("train.py", *user.tiny, "trainer.max_steps=3", *settings)
    prior = Prior.load(user.folder / out.strip().splitlines()[-1])
    assert prior.decode(prior.sample(2)).shape == (2, 3, prior.image_size, prior.image_size)


def test_an_encoder_can_be_fitted_and_inverted(user):
    small = ["data.train_images=96", "data.val_images=32", "trainer.accelerator=cpu", "trainer.precision=32-true"]
    out, _ = user.run("train.py", "task=encoder", *small, "trainer.max_steps=4", "hydra.run.dir=fitted")
    assert out.strip().splitlines()[-1] == str(user.folder / "fitted" / "encoder.safetensors")
    assert "val/accuracy" in json.loads((user.folder / "fitted" / "metrics.json").read_text())
    settings = [s for s in user.tiny if not s.startswith("encoder.weights")]
    weights = user.folder / "fitted" / "encoder.safetensors"
    user.run("train.py", *settings, f"encoder.weights={weights}", "trainer.max_steps=2", "hydra.run.dir=prior")
    prior = Prior.load(user.folder / "prior" / "prior.safetensors")
    assert prior.encoder_net().labels[0] == "house"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["encoder.layer=fc9"], "no layer 'fc9' in mini_caffenet"),
        (["trainer.max_step=5"], "did you mean trainer.max_steps"),
        (["data=photos"], "doodles"),
        (["resume=nowhere"], "nowhere"),
        (["loss.image=-1"], "loss.image=-1"),
        (["loss=deepsim"], "loss=short"),
        (["discriminator.update=after"], "joint or before"),
        (["statistics.split=test"], "train or val"),
        (["checkpoint.every_n_steps=-1"], "checkpoint.every_n_steps=-1"),
        (["loss=paper", "loss.balance.generator_wins=0.2"], "generator_wins=0.2"),
        (["code_noise=-1"], "code_noise=-1 must be a number >= 0"),
        (["discriminator.augment=[blur]"], "color, translation, cutout"),
        (["discriminator.layers=[fc9]"], "no layer 'fc9'"),
        (["recipe=long"], "paper_short"),
        (["encoder.weights=missing.pt"], "missing.pt"),
        (["data.image_size=500"], "500"),
        (["trainer.max_steps=0"], "trainer.max_steps=0"),
    ],
)
def test_user_errors_are_reported_in_one_line(user, arguments, says):
    _, err = user.run(
        "train.py", *user.tiny[1:], *(["encoder.weights=null"] * ("weights" not in arguments[0])), *arguments, status=2
    )
    lines = [line for line in err.splitlines() if line.strip()]
    assert len(lines) == 1, err
    assert says in lines[0]


@pytest.mark.parametrize(("arguments", "says"), [([], "data.root"), (["data.root=/nowhere"], "/nowhere")])
def test_a_missing_folder_is_reported_in_one_line(user, arguments, says):
    settings = ["data=image_folder", "encoder.weights=null", "encoder.classes=4"]
    _, err = user.run("train.py", *settings, *arguments, status=2)
    assert len(err.strip().splitlines()) == 1
    assert says in err


def test_help_explains_the_keys_with_examples(user):
    out, _ = user.run("train.py", "--help")
    for key in ("encoder.layer", "loss.adversarial", "resume", "trainer.max_steps", "train.py [KEY=VALUE ...]"):
        assert key in out
