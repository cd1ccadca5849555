"""Metrics of training steps: what `log_step` leaves for the loggers is what logging every step leaves."""

import csv

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from dgn.training.callbacks import Throughput
from dgn.training.step_log import log_step


class Both(pl.LightningModule):
    """Reports one number in both ways. manual: it steps its optimizer itself, as Inversion does."""

    def __init__(self, manual: bool) -> None:
        super().__init__()
        self.automatic_optimization = not manual
        self.layer = nn.Linear(1, 1)
        self.calls = 0

    def log(self, name, *args, **kwargs):
        self.calls += name == "ours"
        super().log(name, *args, **kwargs)

    def training_step(self, batch, batch_idx):
        loss = self.layer(batch[0]).square().mean()
        done = self.global_step + 1
        if not self.automatic_optimization:
            self.optimizers().step()
            assert done == self.global_step
        self.log("plain", 100.0 + done, batch_size=1)
        log_step(self, done, {"ours": 100.0 + done}, shown=True)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.mark.parametrize("manual", [False, True])
@pytest.mark.parametrize(("every", "steps"), [(1, [1, 2, 3, 4, 5, 6, 7]), (3, [3, 6]), (0, []), (50, [])])
def test_loggers_get_what_logging_every_step_gives_them(tmp_path, manual, every, steps):
    module = Both(manual)
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(14, 1)), batch_size=2)
    trainer = pl.Trainer(
        max_steps=7,
        logger=pl.loggers.CSVLogger(tmp_path, name="", version=""),
        callbacks=[Throughput(every, lines=False)],
        log_every_n_steps=every,
        accelerator="cpu",
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )
    trainer.fit(module, data)
    path = tmp_path / "metrics.csv"
    rows = list(csv.DictReader(path.open())) if path.is_file() else []
    assert [float(row["ours"]) for row in rows] == [100.0 + step for step in steps]
    assert [row["ours"] for row in rows] == [row["plain"] for row in rows]
    assert module.calls == len(steps)  # not one for each step
    assert ("ours" in trainer.progress_bar_metrics) == bool(steps)
