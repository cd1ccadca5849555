"""Images as Lightning's Trainer asks for them."""

from typing import Any

import pytorch_lightning as pl
from torch.utils.data import DataLoader

from dgn.data.datamodule import ImageData


class TrainerData(pl.LightningDataModule):
    """LightningDataModule of the images: the batches of the trainer's steps, for its process.

    Args:
        images: The images.
    """

    def __init__(self, images: ImageData) -> None:
        super().__init__()
        self.images = images

    def train_dataloader(self) -> DataLoader:
        trainer = self._trainer()
        return self.images.training_batches(
            trainer.global_step, trainer.max_steps, trainer.global_rank, trainer.world_size
        )

    def val_dataloader(self) -> DataLoader:
        trainer = self._trainer()
        return self.images.validation_batches(trainer.global_rank, trainer.world_size)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return self.images.prepared(batch)

    def teardown(self, stage: str) -> None:
        self.images.report_unreadable()

    def _trainer(self) -> pl.Trainer:
        assert self.trainer is not None  # the trainer requests the loaders
        return self.trainer
