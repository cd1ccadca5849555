"""The model card of a shared prior: what it inverts, how well, generated images, and how it was trained."""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dgn.data.channels import in_words
from dgn.data.images import image_grid, save_png
from dgn.data.size import written
from dgn.data.sources import describe
from dgn.networks.zoo import named
from dgn.prior.generator_prior import Prior
from dgn.prior.hub import is_shared
from dgn.runs.programs import override

_MEASURED = {
    "val/psnr": "dB, of reconstructions; higher is closer to the image",
    "val/feature_distance": "between the comparator's features of image and reconstruction, relative; 0: the same",
    "val/code_error": "between the codes of image and reconstruction, relative; 0: the same",
    "code_model/frechet": "Frechet distance of the code model's samples to held-out codes, relative to their variance",
    "code_model/frechet_real": "the same, of training codes: the lowest to expect",
    "code_model/nearest": "distance of a sample to the nearest training code, median",
    "code_model/nearest_real": "the same, of a held-out code; a model that memorizes has a far lower one",
}
"""Descriptions of metrics by name."""
_PRIVATE = ("logger", "resume", "comparison", "hydra")  # settings of the training environment, irrelevant for the prior


def write_card(path: Path, folder: Path, repository: str, code: Sequence[str] = ()) -> None:
    """Writes the README.md of a prior for the hub, and its images, to the folder. `code`: as of `Prior.load`."""
    prior = Prior.load(path, code=code)
    samples = prior.decode(prior.sample(8))
    save_png(image_grid(samples, 8), folder / "samples.png")
    drawn = "Codes drawn unit by unit, decoded: not what real images look like, but what units hold"
    if prior.code_model is not None:
        drawn = "Codes drawn from the prior's code model, decoded"
    pictures = [("samples.png", drawn)]
    reconstructions = sorted((path.parent / "reconstructions").glob("*.png"))
    if reconstructions:
        (folder / "reconstructions.png").write_bytes(reconstructions[-1].read_bytes())
        pictures.insert(0, ("reconstructions.png", "Held-out images over their reconstructions"))
    (folder / "README.md").write_text(card(prior, repository, f"hf:{repository}", pictures), encoding="utf-8")


def card(prior: Prior, title: str, where: str, pictures: Sequence[tuple[str, str]] = (), limits: str = "") -> str:
    """Returns the card of a prior in Markdown.

    Args:
        prior: The prior.
        title: Its title.
        where: How `prior=` names it.
        pictures: Files of pictures and their captions.
        limits: A paragraph on what it was measured to do, and what it cannot do.
    """
    about = prior.about
    encoder, data, training = about["encoder"], about.get("data", {}), about.get("training", {})
    code = "x".join(map(str, prior.code_shape))
    use = shlex.join(["dgn-visualize", override("prior", where)])
    if not encoder["spec"]:
        use += " target=torchvision target.name=resnet50 target.weights=DEFAULT"
    elif not prior.encoder_tensors:
        use += f" {named(dict(encoder['spec']))}"
    loading, own = "", prior.generator.own_code
    if own is not None:
        use += f" {shlex.quote(override('generator.model', Path(own).name))}"
        loading = f', code=["{Path(own).name}"]'
    shared = is_shared(where)
    imported = "from dgn import Prior" if shared else "from dgn.prior import Prior, find_prior"
    found = json.dumps(where) if shared else f"find_prior({json.dumps(where)})"
    config = {key: value for key, value in about.get("config", {}).items() if key not in _PRIVATE}
    count = f"{training['images']} images, " if "images" in training else ""
    channels, height, width = prior.image_shape
    shape, kind = f"(4, {channels}, {height}, {width})", "RGB" if channels == 3 else in_words(channels)
    images = f"{written(prior.image_size)} px" + ("" if channels == 3 else f", {in_words(channels)}")
    lines = [
        "---",
        "library_name: dgn",
        "tags: [feature-inversion, activation-maximization, generator-prior, interpretability]",
        "---",
        f"# {title}",
        "",
        f"A generator prior: {_painted(about)}; searched, it shows what the units of a network prefer to see "
        "([Nguyen et al. 2016](https://arxiv.org/abs/1605.09304)).",
        "",
        f"- codes: {code}; images: {images}",
        *_networks(prior),
        f"- images it was trained on: {count}{describe(data)}",
        f"- training: {training.get('steps', '?')} steps",
        "",
        "## How good it is",
        "",
        *_numbers(about.get("metrics", {})),
        "",
        *([limits, ""] if limits else []),
        *(["## What it paints", ""] if pictures else []),
        *[line for name, caption in pictures for line in (f"![{caption}]({name})", "", f"*{caption}.*", "")],
        "## To use it",
        "",
        f"With `dgn`, the framework that made it{', installed with its extra `hub`' if is_shared(where) else ''}:",
        "",
        *_block(use, "sh"),
        "",
        *_block(
            f"""{imported}

prior = Prior.load({found}{loading})
images = prior.decode(prior.sample(4))  # {shape}, {kind} in [0, 1]""",
            "python",
        ),
        "",
        "## How it was made",
        "",
        *_block(str(about.get("command", "dgn-train")), "sh"),
        "",
        "All settings:",
        "",
        *_block(json.dumps(config, indent=1, default=str), "json"),
        "",
    ]
    return "\n".join(lines)


def _painted(about: Mapping[str, Any]) -> str:
    """What the prior's images are painted from."""
    if not about["encoder"]["spec"]:
        return "it paints images from noise"
    return (
        f"it inverts layer `{about['layer']}` of `{about['encoder']['name']}`, and so paints the image that a code of "
        "that layer stands for ([Dosovitskiy & Brox 2016](https://arxiv.org/abs/1602.02644))"
    )


def _networks(prior: Prior) -> list[str]:
    """What the file holds, and lacks, of the encoder and the generator."""
    encoder, lines = prior.about["encoder"], []
    if encoder["spec"]:
        held = "in the file" if prior.encoder_tensors else "not in the file"
        lines.append(f"- encoder: `{encoder['name']}`, fingerprint `{encoder['fingerprint']}`; its weights are {held}")
    if prior.generator.own_code is not None:
        name = Path(prior.generator.own_code).name
        lines.append(f"- the code of its generator, `{name}`, is not in the file: ask the author for it")
    return lines


def _numbers(metrics: Mapping[str, Any]) -> list[str]:
    rows = [
        f"| {name} | {value:.4g} | {_MEASURED.get(name, '')} |"
        for name, value in metrics.items()
        if name.startswith(("val/", "code_model/")) and isinstance(value, int | float)
    ]
    return ["On held-out images:", "", "| | | |", "|---|---|---|", *rows] if rows else ["Nothing was measured."]


def _block(text: str, language: str) -> list[str]:
    """A code block with a longer fence than any in the text, as a prior's header is untrusted."""
    fence = "```"
    while fence in text:
        fence += "`"
    return [f"{fence}{language}", text, fence]
