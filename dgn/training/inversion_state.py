"""The state of an inversion: its networks and settings, the optimizer, the checkpoints, and the prior that it trains.

The algorithm is in `dgn.training.inversion`.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

import pytorch_lightning as pl
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor

from dgn.networks.generator_base import Generator
from dgn.prior import Prior
from dgn.prior.statistics import UnitStatistics
from dgn.training.code_buffer import CodeBuffer
from dgn.training.gradients import parameter_groups, scale_rates
from dgn.training.networks import Networks
from dgn.training.readback import Readback
from dgn.training.settings import InversionSettings, Learning
from dgn.training.weight_average import WeightAverage


class InversionState(pl.LightningModule):
    """The networks, settings and state of a training.

    Args:
        networks: E, G, D and C.
        statistics: Statistics of the codes over real images, saved in every checkpoint.
        settings: How G and D are trained.
        about: The metadata of the prior (`dgn.prior.Prior`), saved in every checkpoint, so that each is a prior too.
        encoder_tensors: The weights of E if the prior carries them, saved in every checkpoint too.
    """

    code_std: Tensor
    codes: CodeBuffer | None = None
    held_out_codes: CodeBuffer | None = None
    code_cache: Callable[..., tuple[Tensor, dict[str, Tensor]]] | None = None
    """Gives codes and features for rows of views (`dgn.training.code_cache.CodeCache`); None: they are computed."""
    strict_loading = False  # E and C are frozen, and not in the checkpoints.

    def __init__(
        self,
        networks: Networks,
        statistics: UnitStatistics,
        settings: InversionSettings,
        about: Mapping[str, Any] | None = None,
        encoder_tensors: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.settings = settings
        self.about, self.encoder_tensors = dict(about or {}), dict(encoder_tensors or {})
        self.encoder, self.layer = networks.encoder, networks.layer
        self.comparator, self.comparator_layers = networks.comparator, list(networks.comparator_layers)
        self.feature_scales, self.half_factors = dict(networks.feature_scales), dict(networks.half_factors)
        self.generator = networks.generator
        self.weights, self.half_weights = settings.weights.fresh(), settings.weights.fresh()
        self.balance = self.weights.balance
        self.discriminator = networks.discriminator if self.weights.adversarial > 0 else None
        judged_layers = () if self.discriminator is None else self.discriminator.layers
        self.feature_layers = list(dict.fromkeys([*self.comparator_layers, *judged_layers]))
        self.statistics = statistics
        self.register_buffer("code_std", statistics.std.clone(), persistent=False)
        self.rectified = statistics.rectified
        self.generator.set_code_statistics(statistics.mean, statistics.std)
        self.average = WeightAverage(self.generator, settings.ema_decay) if settings.ema_decay else None
        if settings.compile:  # in place, so that the names in a checkpoint stay the same
            for network in filter(None, (self.generator, self.discriminator)):
                network.compile()
        self.readback = Readback()

    @property
    def learning(self) -> Learning:
        """How weights are learned from gradients."""
        return self.settings.learning

    @property
    def half_scales(self) -> dict[str, float]:
        """The scales of the feature loss at half the side."""
        return {layer: scale * self.half_factors[layer] for layer, scale in self.feature_scales.items()}

    def keep_codes(self, count: int) -> None:
        """Keeps the last `count` codes for a code model, and those of validation, if principal axes are known.

        They are saved in every checkpoint.
        """
        axes = self.statistics.principal
        if axes is not None and count:
            self.codes, self.held_out_codes = CodeBuffer(axes, count), CodeBuffer(axes, count, of_all=False)

    @property
    def best_generator(self) -> Generator:
        """The generator of the prior: the averaged one, or the current one if there is no average."""
        return cast(Generator, self.average.module) if self.average is not None else self.generator

    def configure_optimizers(self) -> OptimizerLRScheduler:
        groups = [
            *parameter_groups(self.generator, self.generator.upconvolutions(), self.settings.fan_in_limit),
            *parameter_groups(self.discriminator, fan_in_limit=self.settings.fan_in_limit),
        ]
        optimizer = self.settings.learning.make_optimizer(groups)
        scale_rates(optimizer)
        return {"optimizer": optimizer, "lr_scheduler": self.settings.learning.make_schedule(optimizer)}

    def prior(self) -> Prior:
        """Returns the prior trained so far."""
        return Prior(self.best_generator, self.statistics, self.about, self.encoder_tensors)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {k: v for k, v in state.items() if not k.startswith(("encoder.", "comparator."))}
        checkpoint["balance"] = self.balance.state_dict() if self.balance else {}
        checkpoint["loss"], checkpoint["loss_half"] = self.weights.state_dict(), self.half_weights.state_dict()
        checkpoint["code_statistics"] = vars(self.statistics)
        checkpoint["feature_scales"] = self.feature_scales
        if self.codes is not None:
            checkpoint["codes"] = self.codes.coordinates
        checkpoint["prior"] = {
            "about": self.about,
            "generator": self.generator.spec(),
            "encoder_tensors": self.encoder_tensors,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["state_dict"]
        if "average.n_averaged" in state:  # the name in older checkpoints, of torch's AveragedModel
            state["average._extra_state"] = state.pop("average.n_averaged")
        if self.balance is not None:
            self.balance.load_state_dict(checkpoint["balance"])
        self.weights.load_state_dict(checkpoint.get("loss", {}))
        self.half_weights.load_state_dict(checkpoint.get("loss_half", {}))
        self.statistics = UnitStatistics(**checkpoint["code_statistics"])
        self.code_std.copy_(self.statistics.std)
        self.rectified = self.statistics.rectified
        self.feature_scales = checkpoint["feature_scales"]
        if self.codes is not None and "codes" in checkpoint:  # older checkpoints have none
            self.codes.coordinates = checkpoint["codes"]
