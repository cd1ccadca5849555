import os
import re
import signal
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from dgn.errors import Interrupted
from dgn.training.callbacks import Checkpoints, Interruption, Progress, Throughput


def around(folder, interruption, step, last=10):
    saved = []
    trainer = SimpleNamespace(global_step=step, max_steps=last, save_checkpoint=lambda path: saved.append(path))
    module = SimpleNamespace(parameters=lambda: [])
    return Checkpoints(folder, 4, "python train.py resume=here", interruption), trainer, module, saved


def test_a_signal_is_noted_and_afterwards_what_was_before_is_back():
    before = signal.getsignal(signal.SIGINT)
    with Interruption() as interruption:
        os.kill(os.getpid(), signal.SIGINT)
        assert interruption.received == signal.SIGINT
    assert signal.getsignal(signal.SIGINT) is before


def test_a_handler_of_submitits_for_sigterm_stays():
    def handler(number, frame):
        pass

    before = signal.signal(signal.SIGTERM, handler)
    try:
        with Interruption():
            assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("step", [3, 10])
def test_an_interrupted_run_saves_a_checkpoint_and_prints_how_to_resume(tmp_path, step):
    interruption = Interruption()
    interruption.received = signal.SIGTERM
    checkpoints, trainer, module, saved = around(tmp_path, interruption, step)
    with pytest.raises(Interrupted, match=f"stopped at step {step}; resume with: python train.py resume=here") as end:
        checkpoints.on_train_batch_end(trainer, module)
    assert end.value.signal == signal.SIGTERM
    assert len(saved) == 1


def test_ctrl_c_in_the_last_validation_prints_how_to_resume(tmp_path):
    interruption = Interruption()
    checkpoints, trainer, module, saved = around(tmp_path, interruption, 10)
    checkpoints.on_train_batch_end(trainer, module)
    assert len(saved) == 1  # before the validation, with everything that was learned
    interruption.received = signal.SIGINT
    with pytest.raises(Interrupted, match="stopped at step 10"):
        checkpoints.on_validation_end(trainer, module)


def test_a_validation_during_the_run_does_not_end_it(tmp_path):
    interruption = Interruption()
    interruption.received = signal.SIGINT
    checkpoints, trainer, module, _ = around(tmp_path, interruption, 5)
    checkpoints.on_validation_end(trainer, module)


class Logging(pl.LightningModule):
    """One weight, and losses logged as trainings log theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def training_step(self, batch, batch_idx):
        loss = self.layer(batch[0]).square().mean()
        self.log("train/psnr", 12.345678, batch_size=1, prog_bar=True)
        self.log("train/loss_adversarial", 0.5, batch_size=1, prog_bar=True)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def test_the_bar_of_a_terminal_shows_losses_and_images_a_second(tmp_path, capsys):
    bar, module = Progress(), Logging()
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(8, 1)), batch_size=2)
    quiet = dict(logger=False, enable_checkpointing=False, enable_model_summary=False, accelerator="cpu")
    ours = [bar, Throughput(2, lines=False)]
    trainer = pl.Trainer(max_steps=4, default_root_dir=tmp_path, callbacks=ours, log_every_n_steps=2, **quiet)
    trainer.fit(module, data)
    shown = bar.get_metrics(trainer, module)
    assert set(shown) == {"PSNR", "adversarial", "images/s"}
    assert "Training" in capsys.readouterr().out


def test_without_a_terminal_every_log_step_prints_a_line_of_progress(tmp_path, capsys):
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(12, 1)), batch_size=2)
    quiet = dict(logger=False, enable_checkpointing=False, enable_model_summary=False, accelerator="cpu")
    quiet |= dict(enable_progress_bar=False, default_root_dir=tmp_path, log_every_n_steps=2)
    pl.Trainer(max_steps=6, callbacks=[Throughput(2, lines=True)], **quiet).fit(Logging(), data)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  step")]
    assert [line.split()[1] for line in lines] == ["2/6", "4/6", "6/6"]
    for line in lines:
        assert re.fullmatch(r"  step \d/6  PSNR 12.3  adversarial 0.5  \d+ images/s  \d+:\d\d:\d\d left", line)


def test_every_0_steps_means_a_checkpoint_at_the_end_alone(tmp_path):
    for step, count in ((4, 0), (10, 1)):
        checkpoints, trainer, module, saved = around(tmp_path, Interruption(), step)
        checkpoints.every_n_steps = 0
        checkpoints.on_train_batch_end(trainer, module)
        assert len(saved) == count
