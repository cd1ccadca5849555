"""accumulate and gradient_clip: k batches a step are one of k times the size."""

import copy
from functools import partial

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import nn

from dgn.data.datamodule import ImageData
from dgn.networks.discriminator import Discriminator
from dgn.networks.dropout import SharedDropout
from dgn.networks.generator import UpconvGenerator
from dgn.networks.zoo import mini_caffenet
from dgn.prior.code_prior import CodeAutoencoder
from dgn.prior.statistics import UnitStatistics
from dgn.training.accumulation import clip_gradients, parts
from dgn.training.augmentation import Augmentation
from dgn.training.balance import Balance
from dgn.training.classification import Classification
from dgn.training.denoising import CodeData, Denoising
from dgn.training.inversion import Inversion
from dgn.training.loss_weights import LossWeights
from dgn.training.networks import Networks
from dgn.training.settings import InversionSettings, Learning
from dgn.training.trainer_data import TrainerData

STEPS = 3


class Pictures(torch.utils.data.Dataset):
    """Random images, which an augmentation of their own may change."""

    classes = ("a", "b", "c", "d")

    def __init__(self) -> None:
        self.images = torch.randint(0, 256, (40, 3, 32, 32), dtype=torch.uint8, generator=torch.manual_seed(1))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.images[index], index % 4


class Logged(pl.loggers.logger.Logger):
    """Keeps what is logged, by step."""

    name, version = "logged", 0

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, list[float]] = {}

    def log_hyperparams(self, *args, **kwargs) -> None:
        pass

    def log_metrics(self, metrics, step=None) -> None:
        for name, value in metrics.items():
            self.rows.setdefault(name, []).append(value)


def sgd(groups):
    """Adam makes a whole step of a gradient that is nothing but rounding; plain descent shows the gradient as it is.
    The rates move each network by a thousandth of its weights' norm or more, far above float32's rounding."""
    rates = [1e-6, 1e-6, 1.0, 1.0] if len(groups) == 4 else [0.1]  # of G, whose loss is in the paper's units, and D
    return torch.optim.SGD([group | {"lr": rate} for group, rate in zip(groups, rates, strict=True)], lr=0.1)


def constant(optimizer):
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)


DESCENT = {"make_optimizer": sgd, "make_schedule": constant}


def inversion(**learning) -> Inversion:
    torch.manual_seed(0)
    generator = UpconvGenerator((1024,), 32, width=0.03)
    discriminator = Discriminator(32, width=0.25, code_shape=(1024,), code_units=(8, 8))
    ones = torch.ones(1024)
    encoder = mini_caffenet(classes=4)
    networks = Networks(encoder, "fc6", generator, discriminator, None, ["pool5"], {"pool5": 10.0})
    statistics = UnitStatistics(0.5 * ones, ones, 0 * ones, 4 * ones, 10)
    weights = LossWeights(2e-6, 0.01, 100)
    settings = InversionSettings(Learning(**DESCENT | learning), weights=weights, ema_decay=0.9)
    return Inversion(networks, statistics, settings)


def classification(**learning) -> Classification:
    torch.manual_seed(0)
    augmentation = Augmentation(rotation=10, shift=0.1, blur=1.0, light=0.2)
    return Classification(mini_caffenet(classes=4), Learning(**DESCENT | learning), augmentation=augmentation)


def denoising(**learning) -> Denoising:
    torch.manual_seed(0)
    return Denoising(CodeAutoencoder((16,), 0.1, rectified=False), Learning(**DESCENT | learning))


def fitted(module: pl.LightningModule, data: ImageData, steps: int = STEPS) -> Logged:
    logged = Logged()
    trainer = pl.Trainer(
        max_steps=steps,
        accelerator="cpu",
        logger=logged,
        log_every_n_steps=1,
        limit_val_batches=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, TrainerData(data))
    assert trainer.global_step == steps
    return logged


LEARNING = {
    "inversion": ["generator", "discriminator", "average"],
    "classification": ["net"],
    "denoising": ["autoencoder"],
}


def _weights(module: pl.LightningModule, network: str) -> torch.Tensor:
    parameters = [p.detach().flatten() for n, p in module.named_parameters() if n.startswith(f"{network}.")]
    return torch.cat(parameters)


def data_of(kind: str, batch_size: int) -> ImageData:
    if kind == "denoising":
        codes = torch.randn(64, 16, generator=torch.manual_seed(2))
        return CodeData(codes, codes[:8], batch_size)
    return ImageData(Pictures(), Pictures(), 32, batch_size=batch_size, val_images=8)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [inversion, classification, denoising])
def test_k_batches_a_step_are_one_batch_of_k_times_the_size(make):
    """Dropout, augmentation and noise included: weights, and losses as logged."""
    modules, logs = [], []
    for accumulate in (1, 4):
        module = make(accumulate=accumulate)
        data = data_of(make.__name__, 12 // accumulate)
        data.accumulate = accumulate
        logs.append(fitted(module, data))
        modules.append(module)
    start, networks = make(), LEARNING[make.__name__]
    for network in networks:
        before, whole, accumulated = (_weights(module, network) for module in (start, *modules))
        moved = (whole - before).norm()
        assert moved > 1e-4 * before.norm()
        assert (accumulated - whole).norm() < 1e-5 * whole.norm()
        assert (accumulated - whole).norm() < 1e-2 * moved
    losses = [name for name in logs[0].rows if name.startswith(("train/loss", "balance/"))]
    assert losses
    for name in losses:
        # Parts are summed in another order. Adam divides gradients by their size, so that rounding grows with the steps
        # and by how much depends on the processor (1e-4 was seen); a lost part or another mask changes losses by 1e-2.
        assert logs[1].rows[name] == pytest.approx(logs[0].rows[name], rel=1e-3)
        assert len(logs[1].rows[name]) == STEPS


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("frozen", ["generator", "discriminator"])
def test_the_balance_decides_once_a_step(frozen):
    whole, accumulated = inversion(), inversion(accumulate=3)
    for module, size in ((whole, 6), (accumulated, 2)):
        module.balance = Balance(**{f"{frozen}_learns": False})
        data = data_of("inversion", size)
        data.accumulate = 6 // size
        fitted(module, data, steps=1)
    assert whole.balance == accumulated.balance
    start = inversion()
    for network in LEARNING["inversion"]:
        moved = (_weights(whole, network) - _weights(start, network)).norm()
        assert bool(moved == 0) == (network == frozen or (frozen, network) == ("generator", "average"))
        assert (_weights(accumulated, network) - _weights(whole, network)).norm() <= 1e-2 * moved


def test_parts_draw_the_mask_of_the_whole_batch_and_leave_nothing_behind():
    dropout, x = SharedDropout(0.5).train(), torch.ones(6, 50)
    torch.manual_seed(3)
    expected = dropout(x), dropout(x)
    torch.manual_seed(3)
    found = [(dropout(part), dropout(part)) for (part,) in parts((x,), 3)]
    for which in (0, 1):
        assert torch.equal(torch.cat([masks[which] for masks in found]), expected[which])
    assert SharedDropout.part == (0, 1)
    with pytest.raises(ValueError, match="does not divide into 4"):
        next(parts((x,), 4))


def test_the_stream_of_images_is_the_same_in_the_same_order_and_goes_on_in_the_middle():
    def images(data: ImageData, first: int = 0) -> torch.Tensor:
        return torch.cat([batch for batch, _ in data.training_batches(first, 4)])

    whole, accumulated = data_of("", 12), data_of("", 4)
    accumulated.accumulate = 3
    expected = images(whole)
    assert torch.equal(images(accumulated), expected)
    assert torch.equal(images(accumulated, 2), expected[24:])


def test_gradients_are_clipped_to_their_norm_and_smaller_ones_left():
    network = nn.Linear(3, 2)
    F.mse_loss(network(torch.ones(4, 3)), 100 * torch.ones(4, 2)).backward()
    before = copy.deepcopy([p.grad for p in network.parameters()])
    norm = torch.cat([g.flatten() for g in before]).norm()
    clip_gradients(network.parameters(), None)
    clip_gradients(network.parameters(), float(2 * norm))
    assert all(torch.equal(p.grad, g) for p, g in zip(network.parameters(), before, strict=True))
    clip_gradients(network.parameters(), float(norm / 10))
    for parameter, gradient in zip(network.parameters(), before, strict=True):
        torch.testing.assert_close(parameter.grad, gradient / 10, rtol=1e-4, atol=0)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [inversion, classification, denoising])
def test_a_step_is_at_most_as_long_as_the_clipped_gradient(make):
    """With a rate of 1, each network moves by its gradient, which is longer than 1e-2 in all of them."""
    descent = partial(torch.optim.SGD, lr=1.0)
    module, start = make(make_optimizer=descent, gradient_clip=1e-2, accumulate=2), make()
    data = data_of(make.__name__, 4)
    data.accumulate = 2
    fitted(module, data, steps=1)
    for network in set(LEARNING[make.__name__]) - {"average"}:
        moved = _weights(module, network) - _weights(start, network)
        assert float(moved.norm()) == pytest.approx(1e-2, rel=1e-3)
