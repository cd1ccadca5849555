from types import SimpleNamespace

import pytest
import torch

from dgn.errors import UserError
from dgn.networks.discriminator import GENERATED, REAL, Discriminator
from dgn.networks.generator import UpconvGenerator
from dgn.networks.zoo import mini_caffenet, mini_resnet
from dgn.statistics import UnitStatistics
from dgn.training.inversion import Inversion, LossWeights, Networks, NonFiniteLoss, add_gradients
from dgn.training.losses import adversarial_loss, discriminator_loss, feature_loss, image_loss


class Steps:
    """Drives training_step without a Trainer: what Lightning would give it, and nothing else."""

    def __init__(self, monkeypatch, **settings) -> None:
        torch.manual_seed(0)
        encoder = mini_caffenet(classes=4)
        comparator = settings.pop("comparator", None)
        layers = ["layer1"] if comparator else ["pool5"]
        generator = UpconvGenerator((1024,), 64, width=0.03)
        discriminator = Discriminator(64, width=0.25, code_shape=settings.pop("code_shape", None), code_units=(8, 8))
        ones = torch.ones(1024)
        statistics = UnitStatistics(0.5 * ones, ones, 0 * ones, 4 * ones, 10)
        self.module = Inversion(
            Networks(encoder, "fc6", generator, discriminator, comparator, layers, dict.fromkeys(layers, 10.0)),
            statistics,
            settings.pop("optimizer", lambda groups: torch.optim.SGD(groups, lr=0.0)),
            lambda optimizer: torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0),
            **settings,
        )
        made = self.module.configure_optimizers()
        monkeypatch.setattr(self.module, "optimizers", lambda: made["optimizer"])
        monkeypatch.setattr(self.module, "lr_schedulers", lambda: made["lr_scheduler"])
        monkeypatch.setattr("dgn.training.inversion.log_step", lambda *a, **k: None)
        monkeypatch.setattr(Inversion, "global_step", 0)
        self.module.train()
        self.images = torch.rand(3, 3, 64, 64)

    def step(self) -> None:
        self.module.training_step((self.images, torch.zeros(3)), 0)


def test_a_step_leaves_the_papers_gradients_on_g_and_d(monkeypatch):
    """Recomputed from the definitions, with plain backward passes through separate graphs."""
    steps = Steps(monkeypatch, weights=LossWeights(3e-6, 0.02, 50))
    module = steps.module
    module.discriminator.eval()  # without dropout
    monkeypatch.setattr(module.discriminator, "train", lambda mode=True: module.discriminator)
    steps.step()
    found = {n: p.grad.clone() for n, p in module.named_parameters() if p.grad is not None}

    x, e = steps.images, module.encoder
    y, real = e(x, ["fc6"])["fc6"], e(x, ["pool5"])
    generated = module.generator(y)
    loss = 3e-6 * image_loss(generated, x) + 0.02 * feature_loss(e(generated, ["pool5"]), real, {"pool5": 10.0})
    loss = loss + 50 * adversarial_loss(module.discriminator(generated))
    module.zero_grad()
    loss.backward()
    for name, parameter in module.generator.named_parameters():
        torch.testing.assert_close(found[f"generator.{name}"], parameter.grad, rtol=1e-4, atol=1e-4)
    module.zero_grad()
    judged = module.discriminator(x), module.discriminator(generated.detach())
    (discriminator_loss(judged[0], REAL) + discriminator_loss(judged[1], GENERATED)).backward()
    for name, parameter in module.discriminator.named_parameters():
        torch.testing.assert_close(found[f"discriminator.{name}"], parameter.grad, rtol=1e-4, atol=1e-6)
    assert not any(name.startswith(("encoder", "comparator")) for name in found)


def test_gradients_lie_in_memory_as_their_parameters_do():
    """The fused Adam of a CPU takes both for flat: with a gradient laid out otherwise it moves the wrong weights."""
    network = torch.nn.Conv2d(4, 5, 3, bias=False).to(memory_format=torch.channels_last)
    before, slope = network.weight.detach().clone(), torch.randn(5, 4, 3, 3)
    add_gradients((network.weight.contiguous() * slope).sum(), network)
    assert torch.equal(network.weight.grad, slope)
    torch.optim.Adam(network.parameters(), lr=1e-3, fused=True).step()
    torch.testing.assert_close(network.weight.detach(), before - 1e-3 * slope.sign(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("separate", [False, True])
def test_every_network_runs_no_more_often_than_the_step_needs(monkeypatch, separate):
    comparator = mini_resnet(classes=4, width=8) if separate else None
    steps = Steps(monkeypatch, comparator=comparator)
    module = steps.module
    module.encoder.layers()
    if comparator:
        comparator.layers()
    counts = {"encoder": 0, "comparator": 0, "discriminator": 0, "generator": 0}
    networks = dict(encoder=module.encoder.network[0], discriminator=module.discriminator, generator=module.generator)
    if comparator:
        networks["comparator"] = comparator.network[0]
    for name, network in networks.items():
        network.register_forward_hook(lambda *_, name=name: counts.update({name: counts[name] + 1}))
    steps.step()
    assert counts["generator"] == 1
    assert counts["discriminator"] == 2  # real, generated
    assert counts["encoder"] == (1 if separate else 2)  # real (codes and features together), generated
    assert counts["comparator"] == (2 if separate else 0)


@pytest.mark.parametrize("frozen", ["generator", "discriminator"])
def test_whoever_is_frozen_does_not_move_and_the_other_learns(monkeypatch, frozen):
    steps = Steps(monkeypatch, optimizer=lambda groups: torch.optim.Adam(groups, lr=1e-3, weight_decay=0.1))
    module = steps.module
    steps.step()  # so that Adam has moments to go on with
    setattr(module.balance, f"{frozen}_learns", False)
    setattr(module.balance, "discriminator_learns" if frozen == "generator" else "generator_learns", True)
    before = {n: p.clone() for n, p in module.named_parameters()}
    steps.step()
    for name, parameter in module.named_parameters():
        if name.startswith(frozen) and parameter.requires_grad:
            assert torch.equal(parameter, before[name])
    learner = "discriminator" if frozen == "generator" else "generator"
    assert any(not torch.equal(p, before[n]) for n, p in module.named_parameters() if n.startswith(learner))


def test_the_encoder_is_unchanged_to_the_bit_and_in_evaluation_mode(monkeypatch):
    steps = Steps(monkeypatch, optimizer=lambda groups: torch.optim.Adam(groups, lr=1e-2))
    before = steps.module.encoder.fingerprint()
    for _ in range(3):
        steps.step()
    assert steps.module.encoder.fingerprint() == before
    assert not steps.module.encoder.network.training


def test_the_average_is_the_exponential_one(monkeypatch):
    steps = Steps(monkeypatch, optimizer=lambda groups: torch.optim.SGD(groups, lr=1e-12), ema_decay=0.9)
    module = steps.module
    name = next(n for n, _ in module.generator.named_parameters())
    weights, expected = [], None
    for t in range(12):
        with torch.no_grad():
            module.generator.get_parameter(name).add_(1e-3 * t)
        steps.step()
        weights.append(module.generator.get_parameter(name).detach().clone())
        decay = min(0.9, (1 + t) / (10 + t))
        expected = weights[0] if t == 0 else decay * expected + (1 - decay) * weights[-1]
    torch.testing.assert_close(module.average.module.get_parameter(name), expected)
    assert module.best_generator is module.average.module


def test_weight_decay_is_not_for_upconvolutions_and_biases(monkeypatch):
    module = Steps(monkeypatch, optimizer=lambda groups: torch.optim.Adam(groups, weight_decay=0.1)).module
    groups = module.configure_optimizers()["optimizer"].param_groups
    spared = {id(p) for group in groups if group.get("weight_decay") == 0.0 for p in group["params"]}
    for m in (*module.generator.modules(), *module.discriminator.modules()):
        for name, p in m.named_parameters(recurse=False):
            assert (id(p) in spared) == (name == "bias" or isinstance(m, torch.nn.ConvTranspose2d))


def test_a_loss_that_is_not_finite_names_the_step_and_the_terms(monkeypatch):
    module = Steps(monkeypatch).module
    with pytest.raises(NonFiniteLoss, match="step 0: loss_image=1, loss_feature=nan"):
        module.note({"image": 1.0, "feature": float("nan"), "adversarial": 1.0, "discriminator": 1.0})


def test_a_checkpoint_leaves_the_fixed_networks_out_and_keeps_the_rest(monkeypatch):
    module = Steps(monkeypatch).module
    module.balance.generator_learns = False
    checkpoint = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(checkpoint)
    assert not any(name.startswith(("encoder", "comparator")) for name in checkpoint["state_dict"])
    other = Steps(monkeypatch).module
    other.on_load_checkpoint(checkpoint)
    assert other.balance == module.balance
    assert SimpleNamespace(**vars(other.statistics)).count == 10


@pytest.mark.parametrize(
    "weights", [{"image": -1.0}, {"feature": float("nan")}, dict(image=0, feature=0, adversarial=0)]
)
def test_wrong_weights_are_the_users_error(weights):
    with pytest.raises(UserError, match="loss"):
        LossWeights(**weights)
