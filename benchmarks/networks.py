"""Tries networks that no test knows, and prints a table: `python benchmarks/networks.py [NAME ...]`.

Each network has random weights and goes through three commands, as a user types them: list its layers, train a prior
for three steps, visualize one unit. Those of timm need `pip install 'dgn[timm]'`. The last column says
where one failed. The exit status is 1 if any did.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = ["data.train_images=64", "data.val_images=8", "data.batch_size=8", "data.cache=none"]
TRAIN = ["trainer.max_steps=3", "generator.width=0.05", "discriminator.channels=8", "statistics.images=16"]
SHOW = ["judge=none", "seeds=1", "steps=3", "reference_images=20", "top_images=0"]


@dataclass
class Network:
    """A network and what a user has to type for it.

    Attributes:
        group: torchvision, timm, or custom with the module of `name`.
        name: Its name in the library, or MODULE:CALLABLE.
        size: Side of its images in pixels.
        unit: The unit to show.
        keys: Further keys of the role, as KEY=VALUE without the role.
        encoder: Keys of the encoder alone.
        comparator: Layers of the comparator, if the default does not do.
    """

    group: str
    name: str
    size: int
    unit: str
    keys: tuple[str, ...] = ()
    encoder: tuple[str, ...] = ()
    comparator: str | None = None

    def role(self, role: str) -> list[str]:
        """The arguments that choose the network for a role."""
        key = "model" if self.group == "custom" else "name"
        chosen = [f"{role}={self.group}", f"{role}.{key}={self.name}", f"{role}.input_size={self.size}"]
        if self.group != "custom":
            chosen.append(f"{role}.weights=null")
        return [*chosen, *(f"+{role}.{k}" if k.startswith("args.") else f"{role}.{k}" for k in self.keys)]

    def needed(self) -> str:
        """The keys that it needs beyond its name and size."""
        keys = [f"`{key}`" for key in (*self.keys, *self.encoder)]
        if self.comparator:
            keys.append(f"`comparator.layers=[{self.comparator}]`")
        return ", ".join(keys) or "none"


OWN = "benchmarks/other_networks.py"
SEGMENTATION = "torchvision.models.segmentation"
BARE = ("args.weights=null", "args.weights_backbone=null")
SMALL = (*BARE, "args.min_size=64", "args.max_size=64")
"""Detectors resize their images themselves, by default to 320 or 800 pixels."""
NETWORKS = [
    Network("torchvision", "inception_v3", 96, "fc:1"),
    Network("torchvision", "efficientnet_v2_s", 64, "classifier.1:1"),
    Network("torchvision", "maxvit_t", 224, "classifier.5:1"),
    Network("torchvision", "swin_v2_t", 64, "head:1"),
    Network("timm", "mixer_s32_224", 64, "head:1"),
    Network("timm", "gmlp_ti16_224", 64, "head:1"),
    Network("timm", "resmlp_12_224", 64, "head:1"),
    Network("timm", "sequencer2d_s", 64, "head:1"),
    Network("timm", "convmixer_768_32", 64, "head:1"),
    Network("timm", "poolformer_s12", 64, "head.fc:1"),
    Network("timm", "pvt_v2_b0", 64, "head:1"),
    Network("timm", "xcit_nano_12_p16_224", 64, "head:1"),
    Network("timm", "mobilevit_xxs", 64, "head.fc:1"),
    Network("timm", "levit_128s", 64, "head.linear:1"),
    Network("timm", "repvgg_a0", 64, "head.fc:1"),
    Network("timm", "hrnet_w18_small", 64, "classifier:1"),
    Network("timm", "ghostnet_100", 64, "classifier:1"),
    Network("timm", "nfnet_l0", 64, "head.fc:1"),
    Network("timm", "coatnet_0_rw_224", 64, "head.fc:1"),
    Network("timm", "mambaout_femto", 64, "head.fc:1"),
    Network("timm", "davit_tiny", 64, "head.fc:1"),
    Network("custom", f"{SEGMENTATION}:lraspp_mobilenet_v3_large", 64, "classifier.high_classifier:1@2,2", BARE),
    Network(
        "custom",
        f"{SEGMENTATION}:deeplabv3_mobilenet_v3_large",
        64,
        "classifier.4:1@1,1",
        BARE,
        ("layer=backbone",),
    ),
    Network("custom", f"{SEGMENTATION}:fcn_resnet50", 64, "classifier.4:1@1,1", BARE),
    Network(
        "custom",
        "torchvision.models.detection:fasterrcnn_mobilenet_v3_large_320_fpn",
        64,
        "backbone.fpn:1",
        SMALL,
        ("layer=backbone.fpn:pool",),
        "backbone.fpn",
    ),
    Network(
        "custom",
        "torchvision.models.detection:retinanet_resnet50_fpn",
        64,
        "backbone.fpn:1",
        SMALL,
        ("layer=backbone.fpn:p6",),
        "backbone.fpn",
    ),
    Network("custom", f"{OWN}:Pyramid", 64, "fpn:layer4:1@0,0"),
    Network("custom", f"{OWN}:Segmenter", 64, "classifier:1@8,8"),
    Network("custom", f"{OWN}:RowReader", 64, "head:1"),
    Network("custom", f"{OWN}:Mixer", 64, "head:1"),
    Network("custom", f"{OWN}:Conditioned", 64, "head:1"),
    Network("custom", f"{OWN}:Described", 64, "head:1"),
]


def commands(network: Network, folder: Path) -> dict[str, list[str]]:
    """The three commands of a network: {what it does: its arguments}."""
    encoder = network.role("encoder")
    prior = [*encoder, *(f"encoder.{key}" for key in network.encoder), *DATA, *TRAIN, f"data.image_size={network.size}"]
    if network.comparator:
        prior.append(f"comparator.layers=[{network.comparator}]")
    target = network.role("target") if network.group == "custom" else []
    shown = [f"prior={folder}/prior", *target, f"units={network.unit}", *SHOW]
    return {
        "list": ["train.py", *encoder, "encoder.layers=list", *DATA],
        "train": ["train.py", *prior, f"hydra.run.dir={folder}/prior"],
        "visualize": ["visualize.py", *shown, f"hydra.run.dir={folder}/shown"],
    }


def outcome(network: Network) -> str:
    """Runs the commands of a network. Returns "works", or the first that failed and the last line that it printed."""
    environment = os.environ | {"PYTHONUTF8": "1"}
    with tempfile.TemporaryDirectory() as folder:
        for what, command in commands(network, Path(folder)).items():
            done = subprocess.run(
                [sys.executable, *command],
                cwd=ROOT,
                capture_output=True,
                text=True,
                env=environment,
            )
            if done.returncode:
                return f"{what}: {(done.stderr.strip() or done.stdout.strip()).splitlines()[-1]}"
    return "works"


def main() -> None:
    """Prints a row for each network that is named, or for all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="parts of names (default: all)")
    names = parser.parse_args().names
    chosen = [network for network in NETWORKS if not names or any(name in network.name for name in names)]
    print("| network | pixels | keys | unit shown | result |\n|---|---|---|---|---|")
    failed = 0
    for network in chosen:
        result = outcome(network)
        failed += result != "works"
        named = f"{network.group}: `{network.name}`"
        print(f"| {named} | {network.size} | {network.needed()} | `{network.unit}` | {result} |", flush=True)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
