"""Compares latents of sparse autoencoders with those of the libraries that wrote their files, on random inputs.

    pip install saev       # or sae-lens, overcomplete
    python benchmarks/sparse_autoencoders.py saev

Prints the largest difference and the largest latent of each kind; the weights are random.
"""

import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dgn.networks.dictionaries import dictionary_at, open_encoder

WIDTH, LATENTS, KEPT = 32, 96, 7
Case = tuple[str, str, Tensor]


def main(library: str) -> None:
    torch.manual_seed(0)
    inputs = torch.randn(64, WIDTH)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        for kind, file, expected in LIBRARIES[library](inputs, Path(folder)):
            found = dictionary_at(f"sae({file})")
            assert found is not None
            latents = open_encoder(found[0])[0](inputs)
            same = bool(((latents != 0) == (expected != 0)).all())
            difference = float((latents - expected).abs().max())
            print(f"{kind:60s} difference {difference:.1e} of {float(expected.max()):.2f}, same latents active: {same}")


def saev(inputs: Tensor, folder: Path) -> Iterator[Case]:
    library, config = import_module("saev.nn"), import_module("saev.config")
    model = randomized(library.SparseAutoencoder(config.SparseAutoencoder(d_vit=WIDTH, exp_factor=3)))
    library.dump(str(folder / "sae.pt"), model)
    yield "SparseAutoencoder", str(folder / "sae.pt"), model(inputs)[1]


def saelens(inputs: Tensor, folder: Path) -> Iterator[Case]:
    library = import_module("sae_lens.saes")
    norms = ("none", "layer_norm", "constant_norm_rescale")
    for name, norm, center in product(("Standard", "TopK", "JumpReLU", "Gated"), norms, (True, False)):
        settings: dict[str, Any] = {"normalize_activations": norm, "apply_b_dec_to_input": center}
        for rescaled in (False, True) if name == "TopK" else (None,):
            if rescaled is not None:
                settings |= {"k": KEPT, "rescale_acts_by_decoder_norm": rescaled}
            config = getattr(library, f"{name}SAEConfig")(d_in=WIDTH, d_sae=LATENTS, **settings)
            model = randomized(getattr(library, f"{name}SAE")(config))
            model.save_model(folder / "sae")
            yield f"{name} {settings}", str(folder / "sae"), model.encode(inputs).to_dense()


def overcomplete(inputs: Tensor, folder: Path) -> Iterator[Case]:
    library, file = import_module("overcomplete.sae"), folder / "sae.pt"
    options = {"SAE": "activation=relu", "JumpSAE": "", "TopKSAE": f"top_k={KEPT}", "RATopKSAE": f"top_k={KEPT}"}
    options |= {"RAJumpSAE": "", "BatchTopKSAE": "threshold=0.5"}
    for (kind, option), tied in product(options.items(), (False, True)):
        arguments: dict[str, Any] = {"top_k": KEPT} if "TopK" in kind else {}
        arguments |= {"points": torch.randn(48, WIDTH)} if kind.startswith("RA") else {}
        model = randomized(getattr(library, kind)(WIDTH, LATENTS, **arguments))
        model = (model.tied(bias=True) if tied else model).eval()
        if kind == "BatchTopKSAE":
            model.running_threshold = torch.tensor(0.5)
        torch.save(model.state_dict(), file)
        yield f"{kind}, tied: {tied}", f"{file},{option}".strip(","), model.encode(inputs)[1]


def randomized(model: nn.Module) -> Any:
    """Returns the module with random weights, and thresholds of 0 .. 1."""
    for name, weight in model.named_parameters():
        spread = weight.shape[0] ** -0.5 if weight.ndim > 1 else 0.3
        weight.copy_(torch.rand_like(weight) if "threshold" in name else spread * torch.randn_like(weight))
    return model


LIBRARIES = {"saev": saev, "sae-lens": saelens, "overcomplete": overcomplete}

if __name__ == "__main__":
    main(sys.argv[1])
