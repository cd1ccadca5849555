import copy
import functools
import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from dgn.errors import UserError
from dgn.networks.discriminator import GENERATED, REAL, Discriminator
from dgn.networks.doubling import Doubling
from dgn.networks.generator import UpconvGenerator, published_generator
from dgn.networks.precision import low_precision
from dgn.networks.zoo import mini_caffenet, mini_resnet
from dgn.prior.statistics import UnitStatistics
from dgn.training.gradients import add_gradients, parameter_groups, scale_rates
from dgn.training.inversion import Inversion, NonFiniteLoss
from dgn.training.loss_weights import LossWeights
from dgn.training.losses import feature_loss, image_loss
from dgn.training.networks import Networks
from dgn.training.settings import InversionSettings, Learning


def cross_entropy(logits: torch.Tensor, label: int) -> torch.Tensor:
    return F.cross_entropy(logits, torch.full((len(logits),), label))


class Steps:
    """Drives training_step without a Trainer: what Lightning would give it, and nothing else."""

    def __init__(self, monkeypatch, **settings) -> None:
        torch.manual_seed(0)
        device, dtype = settings.pop("device", "cpu"), settings.pop("dtype", torch.float32)
        encoder = mini_caffenet(classes=4)
        comparator = settings.pop("comparator", None)
        layers = ["layer1"] if comparator else ["pool5"]
        generator = UpconvGenerator((1024,), 64, width=0.03)
        discriminator = Discriminator(64, width=0.25, code_shape=settings.pop("code_shape", None), code_units=(8, 8))
        learning = Learning(
            settings.pop("optimizer", lambda groups: torch.optim.SGD(groups, lr=0.0)),
            lambda optimizer: torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0),
            accumulate=settings.pop("accumulate", 1),
        )
        ones = torch.ones(1024)
        statistics = UnitStatistics(0.5 * ones, ones, 0 * ones, 4 * ones, 10)
        self.module = Inversion(
            Networks(encoder, "fc6", generator, discriminator, comparator, layers, dict.fromkeys(layers, 10.0)),
            statistics,
            InversionSettings(learning, **settings),
        )
        self.module.to(device, dtype)
        made = self.module.configure_optimizers()
        monkeypatch.setattr(self.module, "optimizers", lambda use_pl_optimizer=True: made["optimizer"])
        monkeypatch.setattr(self.module, "lr_schedulers", lambda: made["lr_scheduler"])
        monkeypatch.setattr("dgn.training.inversion.log_step", lambda *a, **k: None)
        monkeypatch.setattr(Inversion, "global_step", 0)
        self.module.train()
        self.images = torch.rand(3, 3, 64, 64).to(device, dtype)

    def step(self) -> None:
        self.module.training_step((self.images, torch.zeros(3)), 0)


def test_a_step_leaves_the_papers_gradients_on_g_and_d(monkeypatch):
    """Recomputed from the definitions, with plain backward passes through separate graphs.

    In float64: in float32 a rectifier's input near zero may change its sign with the order of a sum.
    """
    steps = Steps(monkeypatch, weights=LossWeights(3e-6, 0.02, 50), dtype=torch.float64)
    module = steps.module
    module.discriminator.eval()  # without dropout
    monkeypatch.setattr(module.discriminator, "train", lambda mode=True: module.discriminator)
    steps.step()
    found = {n: p.grad.clone() for n, p in module.named_parameters() if p.grad is not None}

    x, e = steps.images, module.encoder
    y, real = e(x, ["fc6"])["fc6"], e(x, ["pool5"])
    generated = module.generator(y)
    loss = 3e-6 * image_loss(generated, x) + 0.02 * feature_loss(e(generated, ["pool5"]), real, {"pool5": 10.0})
    loss = loss + 50 * cross_entropy(module.discriminator(generated), REAL)
    module.zero_grad()
    loss.backward()
    for name, parameter in module.generator.named_parameters():
        torch.testing.assert_close(found[f"generator.{name}"], parameter.grad, rtol=1e-6, atol=1e-8)
    module.zero_grad()
    judged = module.discriminator(x), module.discriminator(generated.detach())
    (cross_entropy(judged[0], REAL) + cross_entropy(judged[1], GENERATED)).backward()
    for name, parameter in module.discriminator.named_parameters():
        torch.testing.assert_close(found[f"discriminator.{name}"], parameter.grad, rtol=1e-6, atol=1e-9)
    assert not any(name.startswith(("encoder", "comparator")) for name in found)


def test_layers_with_more_inputs_than_the_limit_learn_at_a_smaller_rate():
    """Adam's first step moves every weight by its learning rate."""
    network = torch.nn.Sequential(
        torch.nn.Linear(8, 3), torch.nn.Conv2d(2, 3, 3), torch.nn.ConvTranspose2d(6, 2, 4, 2), Doubling(2, 1)
    )
    torch.nn.init.ones_(network[3].weight)
    inputs = {"0.weight": 8, "1.weight": 18, "2.weight": 24, "3.weight": 18, "0.bias": 1, "1.bias": 1, "2.bias": 1}
    for limit in (None, 12, 1000):
        optimizer = torch.optim.Adam(parameter_groups(network, [network[2]], limit), lr=1e-2, weight_decay=0)
        scale_rates(optimizer)
        before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
        for parameter in network.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        for name, parameter in network.named_parameters():
            rate = 1e-2 * min(1, (limit or 1000) / inputs[name])
            torch.testing.assert_close(before[name] - parameter.detach(), torch.full_like(parameter, rate))
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0, 0]


def test_gradients_lie_in_memory_as_their_parameters_do():
    """The fused Adam of a CPU takes both for flat: with a gradient laid out otherwise it moves the wrong weights."""
    network = torch.nn.Conv2d(4, 5, 3, bias=False).to(memory_format=torch.channels_last)
    before, slope = network.weight.detach().clone(), torch.randn(5, 4, 3, 3)
    add_gradients((network.weight.contiguous() * slope).sum(), network)
    assert torch.equal(network.weight.grad, slope)
    torch.optim.Adam(network.parameters(), lr=1e-3, fused=True).step()
    torch.testing.assert_close(network.weight.detach(), before - 1e-3 * slope.sign(), rtol=0, atol=1e-5)


def test_with_update_before_g_learns_from_the_updated_d(monkeypatch):
    """The published order, recomputed with plain backward passes: D steps first, and G's gradient and L_adv are of
    the D after its step."""
    rate = 0.5
    sgd = functools.partial(torch.optim.SGD, lr=rate)
    steps = Steps(monkeypatch, optimizer=sgd, discriminator_update="before", ema_decay=0, dtype=torch.float64)
    module = steps.module
    module.discriminator.eval()  # without dropout
    monkeypatch.setattr(module.discriminator, "train", lambda mode=True: module.discriminator)
    generator, discriminator = copy.deepcopy(module.generator), copy.deepcopy(module.discriminator)
    noted = {}
    monkeypatch.setattr(module, "note", lambda measured, half: noted.update(measured))
    steps.step()

    x, e = steps.images, module.encoder
    y, real = e(x, ["fc6"])["fc6"], e(x, ["pool5"])
    generated = generator(y)
    loss = cross_entropy(discriminator(x), REAL) + cross_entropy(discriminator(generated.detach()), GENERATED)
    loss.backward()
    with torch.no_grad():
        for p in discriminator.parameters():
            p -= rate * p.grad
    adversarial = cross_entropy(discriminator(generated), REAL)
    w = module.weights
    features = feature_loss(e(generated, ["pool5"]), real, {"pool5": 10.0})
    (w.image * image_loss(generated, x) + w.feature * features + w.adversarial * adversarial).backward()
    for name, p in discriminator.named_parameters():
        torch.testing.assert_close(module.discriminator.get_parameter(name), p, rtol=1e-6, atol=1e-9)
    for name, p in generator.named_parameters():
        # Gradients, not weights: a step of this rate is far larger than the weights themselves.
        torch.testing.assert_close(module.generator.get_parameter(name).grad, p.grad, rtol=1e-6, atol=1e-6)
    assert noted["loss_adversarial"] == pytest.approx(adversarial.item(), rel=1e-4)
    assert noted["loss_discriminator"] == pytest.approx(loss.item(), rel=1e-4)


@pytest.mark.parametrize(("frozen", "passes"), [(None, 4), ("generator", 4), ("discriminator", 2)])
def test_update_before_judges_again_where_d_learns_and_freezes_as_jointly(monkeypatch, frozen, passes):
    adam = functools.partial(torch.optim.Adam, lr=1e-3)
    steps = Steps(monkeypatch, optimizer=adam, discriminator_update="before")
    module, calls = steps.module, []
    steps.step()  # so that Adam has moments
    if frozen:
        setattr(module.balance, f"{frozen}_learns", False)
    module.discriminator.register_forward_hook(lambda *_: calls.append(1))
    before = {name: p.clone() for name, p in module.named_parameters()}
    steps.step()
    assert len(calls) == passes
    for network in ("generator", "discriminator"):
        moved = [not torch.equal(p, before[n]) for n, p in module.named_parameters() if n.startswith(network)]
        assert any(moved) == (network != frozen)


def test_update_before_takes_the_whole_batch_at_once(monkeypatch):
    with pytest.raises(UserError, match=r"accumulate=2 with discriminator\.update=before"):
        Steps(monkeypatch, discriminator_update="before", accumulate=2)


def test_another_update_is_a_user_error(monkeypatch):
    with pytest.raises(UserError, match=r"discriminator.update=after: give joint or before"):
        Steps(monkeypatch, discriminator_update="after")


@pytest.mark.parametrize("normalize", [True, False])
def test_a_conditional_d_sees_codes_as_g_does(monkeypatch, normalize):
    steps = Steps(monkeypatch, code_shape=(1024,))
    module, seen = steps.module, []
    module.generator.normalize_codes = normalize
    module.discriminator.register_forward_pre_hook(lambda _, args: seen.append(args[1]))
    steps.step()
    codes, _ = module.encode(steps.images)
    mean, scale = (0.5, 1.0) if normalize else (0.0, 1.0)  # of the statistics of `Steps`
    for given in seen:
        torch.testing.assert_close(given, (codes - mean) * scale)
    assert len(seen) == 2


def test_with_a_shift_c_sees_both_images_moved_alike_and_e_the_image_as_it_is(monkeypatch):
    steps = Steps(monkeypatch, comparator_shift=3)
    module, seen = steps.module, []
    forward = module.encoder.forward
    monkeypatch.setattr(
        module.encoder, "forward", lambda images, layers, half=False: (seen.append(images), forward(images, layers))[1]
    )
    steps.step()
    encoded, real, generated = seen
    assert torch.equal(encoded, steps.images)
    moves = [(r, c) for r in range(4) for c in range(4) if torch.equal(real, steps.images.roll((r, c), (2, 3)))]
    assert len(moves) == 1
    assert moves != [(0, 0)]  # of this seed
    made = module.generator(module.encode(steps.images)[0])
    torch.testing.assert_close(generated, made.roll(moves[0], (2, 3)))


def test_log_lines_are_readable(monkeypatch):
    """PSNR and relative feature distance of the step's images, from their definitions."""
    steps, logged = Steps(monkeypatch), {}
    module = steps.module

    def log_step(module, step, metrics, shown=False):
        logged.update({name: (value, shown) for name, value in metrics.items()})

    monkeypatch.setattr("dgn.training.inversion.log_step", log_step)
    generated = module.generator(module.encode(steps.images)[0])
    steps.step()
    mse = (generated.detach() - steps.images).double().square().mean()
    assert logged["train/psnr"] == (pytest.approx(-10 * math.log10(mse), abs=1e-4), True)
    ours, real = (module.encoder(images, ["pool5"])["pool5"].flatten(1) for images in (generated, steps.images))
    distance = ((ours - real).norm(dim=1) / real.norm(dim=1)).mean()
    assert logged["train/feature_distance"] == (pytest.approx(distance.item(), rel=1e-4), True)
    assert {n for n, (_, shown) in logged.items() if shown} == {
        *("train/psnr", "train/feature_distance", "train/loss_adversarial", "train/loss_discriminator")
    }
    assert {"train/loss_image", "train/loss_feature", "train/lr", "balance/ratio"} <= set(logged)


class HostReads(TorchDispatchMode):
    """Notes the operations for which the host waits for a GPU, were the tensors there: reading a value, copying a
    value that Python made, and results whose shape depends on values."""

    waiting = ("_local_scalar_dense", "lift_fresh", "nonzero", "masked_select")

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.overloadpacket.__name__ in self.waiting:
            self.noted.append(str(function))
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("update", ["joint", "before"])
def test_a_step_reads_no_value_that_a_gpu_would_have_to_give(monkeypatch, update):
    adam = functools.partial(torch.optim.Adam, lr=1e-3, fused=True)
    steps = Steps(monkeypatch, optimizer=adam, discriminator_update=update)
    steps.step()  # makes Adam's state
    with HostReads() as reads:
        steps.step()
        assert reads.noted == []
        steps.module.generator.code_scale.item()
        assert len(reads.noted) == 1  # what is noted at all


@pytest.mark.gpus(1)
@pytest.mark.parametrize("update", ["joint", "before"])
@pytest.mark.parametrize("precision", [None, torch.bfloat16])
def test_a_step_on_a_gpu_never_makes_the_host_wait(monkeypatch, update, precision):
    """But for the one event that the losses are read back behind, which is not counted as a synchronization."""
    adam = functools.partial(torch.optim.Adam, lr=1e-3, fused=True)
    steps = Steps(monkeypatch, optimizer=adam, discriminator_update=update, device="cuda")
    with low_precision(precision):
        for _ in range(3):  # what is cached at first use, Adam's state and cuDNN's plans
            steps.step()
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(3):
                steps.step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert steps.module.average.updates == 6
    assert all(p.isfinite().all() for p in steps.module.generator.parameters())


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
def test_a_frozen_network_does_not_change_and_the_other_learns(monkeypatch, frozen):
    steps = Steps(monkeypatch, optimizer=lambda groups: torch.optim.Adam(groups, lr=1e-3, weight_decay=0.1))
    module = steps.module
    steps.step()  # so that Adam has moments
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
    resumed = Steps(monkeypatch, ema_decay=0.9).module
    resumed.load_state_dict(module.state_dict())
    assert resumed.average.updates == 12


def test_a_checkpoint_of_torchs_averaged_model_is_resumed_with_its_count(monkeypatch):
    module = Steps(monkeypatch).module
    checkpoint = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(checkpoint)
    del checkpoint["state_dict"]["average._extra_state"]
    checkpoint["state_dict"]["average.n_averaged"] = torch.tensor(7)
    module.on_load_checkpoint(checkpoint)
    module.load_state_dict(checkpoint["state_dict"], strict=False)
    assert module.average.updates == 7


def without_decay(module: Inversion) -> set[int]:
    """The ids of the parameters that the module's optimizer does not decay."""
    groups = module.configure_optimizers()["optimizer"].param_groups
    return {id(p) for group in groups if group.get("weight_decay") == 0.0 for p in group["params"]}


def decaying(groups):
    return torch.optim.Adam(groups, weight_decay=0.1)


def test_weight_decay_is_not_for_biases_nor_from_the_first_upconvolution_on(monkeypatch):
    module = Steps(monkeypatch, optimizer=decaying).module
    spared, seen_upconvolution = without_decay(module), False
    for layer in module.generator.layers:
        seen_upconvolution = seen_upconvolution or isinstance(layer, torch.nn.ConvTranspose2d)
        for name, p in layer.named_parameters(recurse=False):
            assert (id(p) in spared) == (name == "bias" or seen_upconvolution)
    assert any(isinstance(layer, torch.nn.Conv2d) for layer in module.generator.upconvolutions())
    for layer in module.discriminator.modules():
        assert all((id(p) in spared) == (name == "bias") for name, p in layer.named_parameters(recurse=False))


@pytest.mark.parametrize(("layer", "count"), [("fc6", 9), ("pool5", 9), ("conv3", 10)])
def test_the_published_generators_decay_none_of_their_upconvolutional_layers(layer, count):
    """fc6: nine are upconvolutional, six that double and three 3x3 ones, and only its three fc layers are decayed."""
    with torch.device("meta"):
        generator = published_generator(layer)
    spared = generator.upconvolutions()
    assert len(spared) == count
    others = [m for m in generator.layers if hasattr(m, "weight") and not any(m is one for one in spared)]
    if layer == "fc6":
        assert all(isinstance(m, torch.nn.Linear) for m in others)
    assert len(others) == 3


def test_repeated_pixels_and_a_convolution_are_decayed_as_any_convolution():
    generator = UpconvGenerator((16,), 32, width=0.03, upconvolution="interpolated")
    assert generator.upconvolutions() == []


def test_a_loss_that_is_not_finite_names_the_step_and_the_terms(monkeypatch):
    module = Steps(monkeypatch).module
    with pytest.raises(NonFiniteLoss, match="step 0: loss_image=1, loss_feature=nan"):
        module.note({"loss_image": 1.0, "loss_feature": float("nan"), "feature_distance": 1.0})


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
def test_wrong_weights_are_a_user_error(weights):
    with pytest.raises(UserError, match="loss"):
        LossWeights(**weights)


def test_a_rehearsal_runs_all_passes_and_changes_no_weight_and_no_gradient(monkeypatch):
    steps = Steps(monkeypatch, weights=LossWeights(3e-6, 0.02, 50))
    before = {name: parameter.clone() for name, parameter in steps.module.named_parameters()}
    encoded: list[int] = []
    forward = steps.module.encoder.forward
    monkeypatch.setattr(steps.module.encoder, "forward", lambda *a, **k: encoded.append(1) or forward(*a, **k))
    steps.module.rehearse((steps.images,))
    assert len(encoded) == 2  # of the images, and of what is generated
    for name, parameter in steps.module.named_parameters():
        assert torch.equal(parameter, before[name])
        assert parameter.grad is None


def test_codes_and_features_that_are_kept_are_not_computed_again(monkeypatch):
    plain = Steps(monkeypatch, weights=LossWeights(3e-6, 0.02, 50))
    plain.step()
    expected = {name: p.grad.clone() for name, p in plain.module.named_parameters() if p.grad is not None}
    steps = Steps(monkeypatch, weights=LossWeights(3e-6, 0.02, 50))
    module = steps.module
    codes, features = module.encode(steps.images)
    asked = []
    module.code_cache = lambda rows, device: (
        asked.append(rows) or (codes[rows], {n: f[rows] for n, f in features.items()})
    )
    encoded = []
    forward = module.encoder.forward
    monkeypatch.setattr(module.encoder, "forward", lambda *a, **k: encoded.append(1) or forward(*a, **k))
    module.training_step((steps.images, torch.zeros(3), torch.arange(3)), 0)
    assert len(asked) == 1
    assert len(encoded) == 1  # of the generated images alone
    for name, gradient in expected.items():
        assert torch.equal(gradient, dict(module.named_parameters())[name].grad), name
