"""Dictionaries as layers: published forms against their own formulas, in numpy, and files that are wrong."""

import json
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.optimize import lsq_linear
from torch import nn

from dgn.am.objectives import parse_units
from dgn.errors import UserError
from dgn.networks.dictionaries import abbreviated, dictionary_at, least_squares, open_encoder
from dgn.networks.dictionaries.files import read_dictionary
from dgn.networks.featurenet import FeatureNet
from dgn.networks.inputs import InputSpace

D, N = 6, 15
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(9, D)).astype(np.float32)
W_ENC, W_DEC = (RANDOM.normal(size=shape).astype(np.float32) for shape in ((D, N), (N, D)))
B_ENC, B_DEC = (0.5 * RANDOM.normal(size=size).astype(np.float32) for size in (N, D))
PRE, CENTERED = X @ W_ENC + B_ENC, (X - B_DEC) @ W_ENC + B_ENC
CLOSE = {"rtol": 1e-4, "atol": 1e-5}  # of float32 with sums over 6 units


def relu(x):
    return np.maximum(x, 0)


def largest(x, k):
    """The k largest numbers of each row; 0 elsewhere."""
    return np.where(x >= np.sort(x, -1)[:, -k, None], x, 0)


def tensors(**arrays):
    return {key: torch.from_numpy(np.asarray(array)).clone() for key, array in arrays.items()}


GATED = {key: RANDOM.normal(size=N).astype(np.float32) for key in ("r_mag", "b_gate", "b_mag")}
WEIGHTS = {"W_enc": W_ENC, "b_enc": B_ENC, "W_dec": W_DEC, "b_dec": B_DEC}


def saev(path, header, **more):
    with path.open("wb") as file:
        file.write(json.dumps(header).encode() + b"\n")
        torch.save(tensors(**WEIGHTS, **more), file)
    return path


def latents(text, x=X):
    encoder, _ = open_encoder(dictionary_at(text)[0])
    return encoder(torch.from_numpy(np.asarray(x))).numpy()


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({"d_vit": D, "exp_factor": 2, "sparsity_coeff": 1e-4}, relu(CENTERED)),
        ({"schema": 1, "cls": "Relu", "cfg": {"d_vit": D}}, relu(CENTERED)),
        ({"schema": 1, "cls": "TopK", "cfg": {"d_vit": D, "top_k": 4}}, largest(CENTERED, 4)),
        ({"schema": 2, "cfg": {"activation": {"cls": "TopK", "params": {"top_k": 12}}}}, largest(PRE, 12)),
        ({"schema": 2, "cfg": {"activation": {"cls": "BatchTopK", "params": {"top_k": 3}}}}, largest(PRE, 3)),
        ({"schema": 2, "cfg": {"activation": {"cls": "Relu", "params": {}}}}, relu(PRE)),
    ],
)
def test_saev(tmp_path, header, expected):
    """b_dec is subtracted up to schema 1; the k largest keep their sign (12 of 15: some are negative)."""
    np.testing.assert_allclose(latents(f"sae({saev(tmp_path / 'sae.pt', header)})"), expected, **CLOSE)


@pytest.mark.parametrize("threshold", [0.4, 0.0, -1.0])
def test_batch_topk_of_saev_is_evaluated_with_its_threshold(tmp_path, threshold):
    """And as ReLU if the threshold is not positive, as saev's own module does."""
    header = {"schema": 5, "cfg": {"activation": {"cls": "BatchTopK", "params": {"top_k": 3}}}}
    file = saev(tmp_path / "sae.pt", header, **{"activation.threshold": np.float32(threshold)})
    np.testing.assert_allclose(latents(f"sae({file})"), np.where(max(threshold, 0) < PRE, PRE, 0), **CLOSE)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"schema": 2, "cfg": {"activation": 5}}, "activation 5; an object with cls and params is expected"),
        ({"schema": 2, "cfg": [1]}, r"cfg \[1\]; an object is expected"),
        ({"schema": "q", "cfg": {}}, "schema 'q'; a number is expected"),
        ({"schema": 2, "cfg": {"activation": {"params": {}}}}, r"activation\.cls None"),
        ({"schema": 2, "cfg": {"activation": {"cls": "TopK", "params": [3]}}}, r"activation\.params \[3\]"),
        ({"activation": 5}, "activation 5; a name such as relu is expected"),
    ],
)
def test_a_configuration_that_cannot_be_read_is_no_relu(tmp_path, header, message):
    with pytest.raises(UserError, match=message):
        latents(f"sae({saev(tmp_path / 'sae.pt', header)})")


def test_the_configuration_inside_a_checkpoint(tmp_path):
    """As Prisma saves it; a JSON beside the file replaces what it says."""
    config = {"normalize_activations": "layer_norm", "activation_fn_str": "topk", "activation_fn_kwargs": {"k": 4}}
    torch.save({"cfg": config, "state_dict": tensors(**WEIGHTS)}, tmp_path / "sae.pt")
    normed = (X - X.mean(1, keepdims=True)) / (X.std(1, keepdims=True, ddof=1) + 1e-5)
    pre = (normed - B_DEC) @ W_ENC + B_ENC
    np.testing.assert_allclose(latents(f"sae({tmp_path / 'sae.pt'})"), relu(largest(pre, 4)), **CLOSE)
    (tmp_path / "sae.json").write_text(json.dumps({"activation_fn_str": "relu"}))
    np.testing.assert_allclose(latents(f"sae({tmp_path / 'sae.pt'})"), relu(pre), **CLOSE)


def test_saelens(tmp_path):
    folder = tmp_path / "blocks.9.hook_resid_post"
    folder.mkdir()

    def found(config, **more):
        save_file(tensors(**WEIGHTS, **more), folder / "sae_weights.safetensors")
        (folder / "cfg.json").write_text(json.dumps({"d_in": D, "d_sae": N} | config))
        return latents(f"sae({folder})")

    np.testing.assert_allclose(found({"architecture": "standard"}), relu(CENTERED), **CLOSE)
    plain = {"architecture": "standard", "apply_b_dec_to_input": False}
    np.testing.assert_allclose(found(plain), relu(PRE), **CLOSE)
    normed = (X - X.mean(1, keepdims=True)) / (X.std(1, keepdims=True, ddof=1) + 1e-5)
    expected = relu((normed - B_DEC) @ W_ENC + B_ENC)
    np.testing.assert_allclose(found({"normalize_activations": "layer_norm"}), expected, **CLOSE)
    unit = X * D**0.5 / np.linalg.norm(X, axis=1, keepdims=True)
    expected = relu(unit @ W_ENC + B_ENC)
    np.testing.assert_allclose(found(plain | {"normalize_activations": "constant_norm_rescale"}), expected, **CLOSE)
    scaled = CENTERED * np.linalg.norm(W_DEC, axis=1)
    config = {"architecture": "topk", "k": 5, "rescale_acts_by_decoder_norm": True}
    np.testing.assert_allclose(found(config), relu(largest(scaled, 5)), **CLOSE)
    threshold = np.linspace(0, 2, N).astype(np.float32)
    jumped = np.where(threshold < CENTERED, relu(CENTERED), 0)
    np.testing.assert_allclose(found({"architecture": "jumprelu"}, threshold=threshold), jumped, **CLOSE)
    zeros = found({"architecture": "jumprelu"}, threshold=0 * threshold)
    np.testing.assert_allclose(zeros, relu(CENTERED), **CLOSE)
    with pytest.raises(UserError, match=r"expected_average_only_in.*scale=0\.2"):
        found({"normalize_activations": "expected_average_only_in"})
    found = latents(f"sae({folder},scale=0.5)")
    np.testing.assert_allclose(found, relu((0.5 * X - B_DEC) @ W_ENC + B_ENC), **CLOSE)


def test_overcomplete(tmp_path):
    path = tmp_path / "sae.pt"
    linear = {"encoder.final_block.0.weight": W_ENC.T, "encoder.final_block.0.bias": B_ENC}
    shared = linear | {"dictionary._weights": W_DEC, "dictionary.multiplier": np.float32(0)}

    def found(options="", **more):
        torch.save(tensors(**shared, **more), path)
        return latents(f"sae({path}{options})")

    with pytest.raises(
        UserError, match=r"do not say the activation function: .*top_k=32\).*threshold=.*activation=relu"
    ):
        found()
    np.testing.assert_allclose(found(",activation=relu"), relu(PRE), **CLOSE)
    np.testing.assert_allclose(found(",top_k=4"), largest(relu(PRE), 4), **CLOSE)
    np.testing.assert_allclose(found(",threshold=0.7"), np.where(PRE > 0.7, PRE, 0), **CLOSE)
    thresholds = np.linspace(-2, 0.5, N).astype(np.float32)
    np.testing.assert_allclose(found(thresholds=thresholds), np.where(np.exp(thresholds) < PRE, relu(PRE), 0), **CLOSE)
    gain, shift, mean = (RANDOM.normal(size=N).astype(np.float32) for _ in range(3))
    variance = np.linspace(0.1, 3, N).astype(np.float32)
    norm = {"encoder.final_block.1.weight": gain, "encoder.final_block.1.bias": shift}
    layer_norm = (PRE - PRE.mean(1, keepdims=True)) / np.sqrt(PRE.var(1, keepdims=True) + 1e-5) * gain + shift
    np.testing.assert_allclose(found(",activation=relu", **norm), relu(layer_norm), **CLOSE)
    norm |= {"encoder.final_block.1.running_mean": mean, "encoder.final_block.1.running_var": variance}
    batch_norm = (PRE - mean) / np.sqrt(variance + 1e-5) * gain + shift
    np.testing.assert_allclose(found(",activation=relu", **norm), relu(batch_norm), **CLOSE)
    with pytest.raises(UserError, match="several layers"):
        found(**{"encoder.mlp_blocks.0.0.weight": W_ENC})


@pytest.mark.parametrize("relaxed", [False, True])
def test_an_encoder_that_overcomplete_ties_to_its_dictionary(tmp_path, relaxed):
    candidates, mixture = (RANDOM.random(size).astype(np.float32) for size in ((8, D), (N, 8)))
    parts = {"W": mixture, "C": candidates, "Relax": W_DEC} if relaxed else {"_weights": W_DEC}
    atoms = mixture @ candidates + W_DEC if relaxed else W_DEC
    tied = {f"{place}.{key}": array for place in ("dictionary", "encoder.tied_to") for key, array in parts.items()}
    tied |= {"dictionary.multiplier": np.float32(0.5), "encoder.tied_to.multiplier": np.float32(0.5)}
    torch.save(tensors(**tied, **{"encoder.bias": B_ENC}), tmp_path / "sae.pt")
    pre = X @ (np.exp(0.5) * atoms.T) + B_ENC
    np.testing.assert_allclose(latents(f"sae({tmp_path / 'sae.pt'},top_k=4)"), largest(relu(pre), 4), **CLOSE)


def test_gated_and_tanh(tmp_path):
    path = tmp_path / "sae.pt"
    magnitude = (X - B_DEC) @ (W_ENC * np.exp(GATED["r_mag"])) + GATED["b_mag"]
    expected = np.where((X - B_DEC) @ W_ENC + GATED["b_gate"] > 0, relu(magnitude), 0)
    assert ((expected == 0) & (magnitude > 0)).any()
    torch.save({"cfg": {"architecture": "gated"}, "state_dict": tensors(**WEIGHTS, **GATED)}, path)
    np.testing.assert_allclose(latents(f"sae({path})"), expected, **CLOSE)
    names = {"encoder.weight": W_ENC.T, "decoder_bias": B_DEC, "r_mag": GATED["r_mag"]}
    torch.save(tensors(**names, gate_bias=GATED["b_gate"], mag_bias=GATED["b_mag"]), path)  # dictionary_learning
    np.testing.assert_allclose(latents(f"sae({path})"), expected, **CLOSE)
    torch.save({"cfg": {"activation_fn_str": "tanh-relu"}, "state_dict": tensors(**WEIGHTS)}, path)
    np.testing.assert_allclose(latents(f"sae({path})"), np.tanh(relu(CENTERED)), **CLOSE)


def test_linear_layers_with_wrappers_and_k_in_the_file(tmp_path):
    state = {
        "encoder.weight": W_ENC.T,
        "encoder.bias": B_ENC,
        "decoder.weight": W_DEC.T,
        "b_dec": B_DEC,
        "k": np.array(3),
    }
    torch.save(
        {"state_dict": tensors(**{f"module.sae.{key}": array for key, array in state.items()})}, tmp_path / "a.pt"
    )
    np.testing.assert_allclose(latents(f"sae({tmp_path / 'a.pt'})"), relu(largest(CENTERED, 3)), **CLOSE)
    np.testing.assert_allclose(latents(f"sae({tmp_path / 'a.pt'},center=false)"), relu(largest(PRE, 3)), **CLOSE)


def test_plain_dictionaries(tmp_path):
    np.save(tmp_path / "atoms.npy", W_DEC)
    unit = W_DEC / np.linalg.norm(W_DEC, axis=1, keepdims=True)
    np.testing.assert_allclose(latents(f"dict({tmp_path / 'atoms.npy'})"), X @ unit.T, **CLOSE)
    np.savez(tmp_path / "pca.npz", components_=W_DEC, mean_=B_DEC)
    np.testing.assert_allclose(latents(f"dict({tmp_path / 'pca.npz'})"), (X - B_DEC) @ unit.T, **CLOSE)
    np.savez(tmp_path / "probe.npz", coef_=W_DEC, intercept_=B_ENC, labels=[f"class {i}" for i in range(N)])
    np.testing.assert_allclose(latents(f"dict({tmp_path / 'probe.npz'})"), X @ W_DEC.T + B_ENC, **CLOSE)
    encoder, _ = open_encoder(dictionary_at(f"dict({tmp_path / 'probe.npz'})")[0])
    assert encoder.labels[3] == "class 3"
    torch.save({"head.weight": torch.from_numpy(W_DEC), "head.bias": torch.from_numpy(B_ENC)}, tmp_path / "head.pt")
    np.testing.assert_allclose(latents(f"dict({tmp_path / 'head.pt'})"), X @ W_DEC.T + B_ENC, **CLOSE)
    np.save(tmp_path / "one.npy", W_DEC[0])
    assert latents(f"dict({tmp_path / 'one.npy'})").shape == (9, 1)


def exact_codes(atoms: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """Non-negative least squares by scipy: not by its nnls, which misses the minimum in the versions 1.15."""
    atoms, inputs = atoms.astype(np.float64), inputs.astype(np.float64)
    return np.stack([lsq_linear(atoms.T, x, (0, np.inf), tol=1e-14).x for x in inputs])


@pytest.mark.parametrize("count", [3, 6, 20])
def test_codes_of_nmf_are_non_negative_least_squares(tmp_path, count):
    """Against scipy's solution; with more atoms than units the minimum is unique in h D only."""
    random = np.random.default_rng(count)
    atoms = random.random((count, D)).astype(np.float32)
    np.save(tmp_path / "nmf.npy", atoms)
    inputs = np.concatenate([random.random((200, D)), random.normal(size=(100, D))]).astype(np.float32)
    found = latents(f"dict({tmp_path / 'nmf.npy'},code=nnls)", inputs)
    exact = exact_codes(atoms, inputs)
    assert (found >= 0).all()
    np.testing.assert_allclose(found @ atoms, exact @ atoms, atol=2e-3)  # the ridge of 1e-6, atoms nearly dependent
    if count <= D:
        np.testing.assert_allclose(found, exact, atol=5e-3)


@pytest.mark.parametrize(("count", "width"), [(64, 40), (24, 96)])
def test_non_negative_codes_of_many_inputs_do_not_depend_on_the_steps(monkeypatch, count, width):
    """More inputs than are solved at once; without any step, pivoting alone finds the minimum."""
    monkeypatch.setattr(least_squares, "LARGEST", 100 * count**2)
    random = np.random.default_rng(2)
    atoms, inputs = (random.random((size, width)).astype(np.float32) for size in (count, 230))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    units = torch.from_numpy(atoms).double()
    gram, products = units @ units.T + 1e-6 * torch.eye(count), torch.from_numpy(inputs).double() @ units.T
    found = least_squares.non_negative(gram, products)
    exact = exact_codes(atoms, inputs[::20])
    np.testing.assert_allclose(found[::20], exact, atol=1e-3)  # the ridge of 1e-6 changes it by 1e-5
    monkeypatch.setattr(least_squares, "STEPS", 0)
    np.testing.assert_allclose(least_squares.non_negative(gram, products), found, atol=1e-6)


def test_the_gradient_of_non_negative_codes(tmp_path):
    np.save(tmp_path / "nmf.npy", RANDOM.random((4, D)).astype(np.float32))
    encoder, _ = open_encoder(dictionary_at(f"dict({tmp_path / 'nmf.npy'},code=nnls)")[0])
    x = torch.rand(5, D, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    assert torch.autograd.gradcheck(encoder, (x,), eps=1e-6, atol=1e-4)
    before = encoder(x, before=True)
    assert torch.equal(before.relu(), encoder(x))
    assert bool((before[encoder(x) == 0] <= 0).all())


class Tokens(nn.Module):
    """A small transformer with two blocks named as timm's: `blocks.1` gives (N, 1 + 16, 6)."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, D, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, D))
        self.blocks = nn.Sequential(*(nn.Sequential(nn.LayerNorm(D), nn.Linear(D, D)) for _ in range(2)))
        self.head = nn.Linear(D, 3)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = self.blocks(torch.cat([self.token.expand(len(x), -1, -1), x], 1))
        return self.head(x[:, 0])


@pytest.fixture
def net():
    torch.manual_seed(0)
    return FeatureNet(Tokens(), InputSpace(size=(16, 16)), "tokens")


IMAGES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(3))


def test_a_dictionary_is_a_layer_of_the_network(net, tmp_path):
    """For maps, tokens and vectors each position by itself, with the fields of the layer that is read."""
    file = saev(tmp_path / "a+b (1).pt", {"schema": 2, "cfg": {"activation": {"cls": "Relu"}}})
    before = dict(net.state_dict())
    for layer, arrange in (
        ("patches", lambda x: x.permute(0, 2, 3, 1)),
        ("blocks.1", lambda x: x),
        ("blocks.1:class", lambda x: x),
    ):
        name = f"sae('{file}',layer={layer})"
        found = net(IMAGES, [name, layer])
        expected = relu(arrange(found[layer]).numpy() @ W_ENC + B_ENC)
        np.testing.assert_allclose(arrange(found[name]).numpy(), expected, **CLOSE)
        assert net.layer(name).units == N
        assert tuple(found[name].shape[1:]) == net.layer(name).shape
        assert net.receptive_field(name) == net.receptive_field(layer)
        assert net.before_rectifier(name) == f"{name}:pre"
        assert net.layer_labels(name) == ()
        assert float(net(IMAGES, [f"{name}:pre"])[f"{name}:pre"].min()) < 0
    assert dict(net.state_dict()).keys() == before.keys()
    assert name not in net.layers()


def test_names_print_and_parse_back(net, tmp_path):
    file = saev(tmp_path / "it's, (a) test.pt", {"schema": 1, "cls": "TopK", "cfg": {"top_k": 2}})
    text = str(file).replace("'", "\\'")
    units = f"sae( '{text}' , layer = blocks.0 ):2-3,sae('{text}',layer=patches,top_k=4):1@0,2"
    units += f",sae('{text}',layer=blocks.0):mean:0"
    units += f",sae('{text}',layer=blocks.0):pre:7@3-2*sae('{text}',layer=patches):1@mean"
    units += f",dream(sae('{text}',layer=patches)),direction(sae('{text}',layer=patches):pre,{{3:1}})@1,1"
    objectives = parse_units(units, net)
    assert [o.layers[0].partition("layer=")[2] for o in objectives[:4]] == ["blocks.0)"] * 2 + [
        "patches,top_k=4)",
        "blocks.0):mean",
    ]
    assert parse_units(",".join(map(str, objectives)), net) == objectives


def test_the_layer_that_a_configuration_names(net, tmp_path):
    save_file(tensors(**WEIGHTS), tmp_path / "weights.safetensors")
    name = f"sae({tmp_path / 'weights.safetensors'})"
    config = {"hook_point_layer": 1, "layer_subtype": "hook_resid_post", "activation_fn_str": "relu"}  # Prisma

    def read(config):
        (tmp_path / "config.json").write_text(json.dumps(config))
        torch.manual_seed(0)
        other = FeatureNet(Tokens(), InputSpace(size=(16, 16)), "tokens")
        (objective,) = parse_units(f"{name}:3", other)
        other(IMAGES, [name])
        return other.dictionaries.attached[name].reads, objective.terms[0][1].position

    assert read(config) == ("blocks.1", "mean")
    assert read(config | {"cls_token_only": True}) == ("blocks.1:class", None)
    assert read({"hook_name": "blocks.1.hook_resid_pre"}) == ("blocks.1:input", "mean")
    assert read({"metadata": {"hook_name": "blocks.0.hook_resid_post"}}) == ("blocks.0", "mean")
    assert read({"layer": "patches"}) == ("patches", (2, 2))
    with pytest.raises(UserError, match=r"says that it reads 'blocks.7.hook_resid_post', and tokens has no such layer"):
        read({"hook_name": "blocks.7.hook_resid_post"})


@pytest.mark.parametrize("hint", ["0", 0])
def test_a_number_that_is_the_name_of_a_layer(tmp_path, hint):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, D, 4, 4), nn.ReLU(), nn.Flatten(), nn.Linear(16 * D, 3))
    net = FeatureNet(network, InputSpace(size=(16, 16)), "sequence")
    save_file(tensors(**WEIGHTS), tmp_path / "a.safetensors")
    (tmp_path / "a.json").write_text(json.dumps({"layer": hint, "hook_name": "blocks.7.hook_resid_post"}))
    name = f"sae({tmp_path / 'a.safetensors'})"
    assert net.layer(name).units == N
    assert net.dictionaries.attached[name].reads == "0"


@pytest.mark.parametrize(
    ("objective", "short"),
    [
        ("sae(a/b c.pt,layer=conv5):3@4,4-2*fc8:1", "sae(b c.pt):3@4,4-2*fc8:1"),
        ("dict(a/'x,y'.npy):3", "dict(a/'x,y'.npy):3"),  # resembles one
        ("dream(sae('/a/b, c.pt'):pre)+dict(e.npy,code=nnls):0", "dream(sae('b, c.pt'):pre)+dict(e.npy):0"),
    ],
)
def test_titles_name_a_dictionary_by_its_file_alone(objective, short):
    assert abbreviated(objective) == short


@pytest.mark.parametrize(
    ("write", "units", "message"),
    [
        (lambda p: None, "sae(PATH,layer=patches):0", "no dictionary file"),
        (lambda p: p.write_bytes(b"\x93NUMPY"), "dict(PATH,layer=patches):0", "cannot be read as numbers"),
        (lambda p: p.write_bytes(b'{"schema": 2}\nnothing'), "sae(PATH,layer=patches):0", "not a weights file"),
        (lambda p: torch.save(tensors(foo=W_ENC), p), "sae(PATH,layer=patches):0", "it has foo; known are W_enc"),
        (lambda p: torch.save(tensors(foo=W_ENC, bar=W_ENC), p), "dict(PATH,layer=patches):0", "known names are atoms"),
        (
            lambda p: torch.save(tensors(**WEIGHTS), p),
            "sae(PATH,layer=head):0",
            "reads 6 units, and head of tokens has 3",
        ),
        (lambda p: torch.save(tensors(**WEIGHTS), p), "sae(PATH):0", "does not say which layer it reads"),
        (lambda p: torch.save(tensors(**WEIGHTS), p), "sae(PATH,layer=patches):15", "its 15 units are 0 .. 14"),
        (lambda p: torch.save(tensors(**WEIGHTS), p), "sae(PATH,layer=patches)", "names no unit"),
        (lambda p: torch.save(tensors(**WEIGHTS), p), "sae(PATH,layer=patches,top_k=99):0", "top_k=99 of 15"),
        (lambda p: torch.save(tensors(**WEIGHTS), p), "sae(PATH,laier=patches):0", "takes no laier=; it takes layer="),
        (
            lambda p: torch.save(tensors(**WEIGHTS), p),
            "sae(PATH,layer=patches,activation=relu,top_k=3):0",
            "activation=relu has no top_k=",
        ),
        (lambda p: torch.save(tensors(**WEIGHTS), p), "sae(PATH,layer=patches:0", "cannot be read here"),
        (lambda p: None, "sae(layer=patches):0", "sae(layer=patches...) names no file: write sae(FILE,layer=patches)"),
        (
            lambda p: torch.save(tensors(**{"encoder.final_block.0.weight": W_ENC.T}), p),
            "dict(PATH,layer=patches):0",
            "is an autoencoder: write sae(PATH,layer=patches) for its latents",
        ),
        (
            lambda p: torch.save(tensors(Q=B_ENC, **{"encoder.final_block.0.weight": W_ENC.T}), p),
            "sae(PATH,layer=patches,activation=relu):0",
            "is a quantized autoencoder",
        ),
        (lambda p: torch.save(tensors(array=np.float32(3)), p), "dict(PATH,layer=patches):0", "array is one number; "),
        (
            lambda p: torch.save(tensors(**WEIGHTS | {"b_enc": B_ENC * np.nan}), p),
            "sae(PATH,layer=patches):0",
            "b_enc holds 15",
        ),
        (
            lambda p: torch.save(tensors(**WEIGHTS | {"W_dec": W_ENC}), p),
            "sae(PATH,layer=patches):0",
            "W_enc is 6x15 and W_dec 6x15",
        ),
        (lambda p: torch.save(tensors(**WEIGHTS | {"r_mag": B_ENC}), p), "sae(PATH,layer=patches):0", "no gate_bias"),
        (
            lambda p: torch.save(tensors(**WEIGHTS, **GATED), p),
            "sae(PATH,layer=patches,top_k=3):0",
            "is a gated autoencoder (r_mag): its activation is no topk",
        ),
        (
            lambda p: torch.save(tensors(**WEIGHTS), p),
            "sae(PATH,layer=patches,activation=gated):0",
            "is a gated autoencoder without r_mag",
        ),
        (lambda p: torch.save(tensors(atoms=W_DEC * 0), p), "dict(PATH,layer=patches):0", "atom 0 is 0 everywhere"),
        (
            lambda p: saev(p, {"schema": 2, "cfg": {"activation": {"cls": "Cube"}}}),
            "sae(PATH,layer=patches):0",
            "of kind 'Cube'",
        ),
    ],
)
def test_a_wrong_file_gets_one_line(net, tmp_path, write, units, message):
    path = tmp_path / "file"
    write(path)
    with pytest.raises(UserError) as raised:
        parse_units(units.replace("PATH", str(path)), net)
    assert message.replace("PATH", str(path)) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_damaged_arrays_get_one_line(tmp_path):
    """Single bytes are replaced, mostly in the headers, where they raise most kinds of exceptions."""
    np.save(tmp_path / "a.npy", W_DEC)
    np.savez_compressed(tmp_path / "a.npz", components=W_DEC)
    random = np.random.default_rng(1)
    refused = 0
    for file in (tmp_path / "a.npy", tmp_path / "a.npz"):
        whole = file.read_bytes()
        for _ in range(80):
            damaged = bytearray(whole)
            damaged[random.integers(6, 120)] = random.integers(256)
            file.write_bytes(damaged)
            try:
                read_dictionary(str(file))
            except UserError as error:
                refused += "\n" not in str(error)
    assert refused > 40


class Trap:
    def __reduce__(self):
        return (pytest.fail, ("a file was executed",))


def test_nothing_in_a_file_is_executed(net, tmp_path):
    """Prisma's own files hold a configuration object; a pickle in an .npz or behind saev's line does too."""
    torch.save({"cfg": Trap(), "state_dict": tensors(**WEIGHTS)}, tmp_path / "prisma.pt")
    (tmp_path / "saev.pt").write_bytes(b'{"schema": 2}\n' + pickle.dumps({"W_enc": Trap()}, protocol=2))
    np.savez(tmp_path / "a.npz", atoms=np.array([Trap()], dtype=object))
    for name in ("sae(prisma.pt", "sae(saev.pt", "dict(a.npz"):
        kind, _, file = name.partition("(")
        with pytest.raises(UserError):
            parse_units(f"{kind}({tmp_path / file},layer=patches):0", net)
