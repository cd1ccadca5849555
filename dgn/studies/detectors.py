"""Hidden units as detectors: names by overlap with known parts, against names given from the pictures."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from dgn.am.objectives.language import parse_units
from dgn.data.doodles import CLASSES, SIZES, Doodles
from dgn.data.doodles.parts import CONCEPTS, PARTS, part_masks
from dgn.data.reference import Reference
from dgn.metrics.dissection import NAMED, part_overlap
from dgn.metrics.recognition import judge_images
from dgn.studies.base import Measurement, Numbers, Study, side_by_side
from dgn.studies.lab import Lab, share
from dgn.studies.verdicts import Statement, statement
from dgn.visualization.settings import NoteSettings
from dgn.visualization.unit_notes import describe_units

_SHOWN = 6


@dataclass(frozen=True, kw_only=True)
class Detectors(Study):
    """Keys: the layer, a map ("auto": the target's deepest main one), the number of its units, images with parts."""

    layer: str = "auto"
    count: int = 24
    images: int = 256

    title = "Detectors: do hidden units detect parts of things?"
    source = "DGN-AM figure 6, S15; Zhou et al. 2015"
    claim = "Object detectors emerge in hidden units, and pictures show what they detect."
    varies = "which units are taken, and the noise in which searches start"
    measured = (
        "Where things and their halves are is known exactly for doodles; for other images, the whole image of a class "
        "counts as its part. Every unit is named by the part with which its activation (the highest 5%) overlaps "
        "most. Detectors: the share of units with an overlap of at least 0.04, and the mean overlap, also of the same "
        "network with random weights. Names from pictures: the judge's label of the preferred image; agreement is how "
        "often it is the class of the part, and by chance is the same with the names exchanged among the units."
    )

    def measure(self, lab: Lab, seed: int) -> Measurement:
        layer = lab.maps()[-1] if self.layer == "auto" else self.layer
        units = lab.hidden_units(layer, self.count, seed)
        places = [int(str(unit).split(":")[-1].split("@")[0]) for unit in units]
        names = _concepts(lab)
        numbers: dict[str, float] = {}
        overlaps: dict[str, Tensor] = {}
        for row, net in (("trained", lab.target), ("random weights", lab.trainings.untrained(seed))):
            overlaps[row] = part_overlap(net, layer, places, self._samples(lab), len(names))
            best = overlaps[row].amax(1)
            numbers |= {f"{row}/detectors": float((best >= NAMED).float().mean())}
            numbers |= {f"{row}/overlap": float(best.mean())}
        objectives = parse_units([f"{layer}:{place}@mean" for place in places], lab.target)
        found = lab.search(objectives, seed, lab.trainings.prior())
        labels = [verdict.label for verdict in judge_images(lab.judge, found.images)]
        by_overlap = [names[i] for i in overlaps["trained"].argmax(1).tolist()]
        of_class = [name.rpartition(", ")[0] or name for name in by_overlap]
        pairs = [(a, b) for i, a in enumerate(labels) for j, b in enumerate(of_class) if i != j]
        numbers["names/agreement"] = share([a == b for a, b in zip(labels, of_class, strict=True)])
        numbers["names/by chance"] = share([a == b for a, b in pairs])
        columns = {"preferred": found.images[:_SHOWN]}
        notes = describe_units(NoteSettings(3, True), lab.target, objectives[:_SHOWN], lab.reference)
        for n in range(3):
            columns[f"real {n + 1}"] = torch.stack([_masked(notes[str(o)].real[n]) for o in objectives[:_SHOWN]])
        overlap = overlaps["trained"].amax(1).tolist()
        rows = [f"{u} {n} ({v:.2f})" for u, n, v in zip(units[:_SHOWN], by_overlap, overlap, strict=False)]
        caption = (
            "Units with the part that they overlap with most; their preferred image; real images that excite them "
            "most, dimmed where the unit does not respond."
        )
        return Measurement(numbers, [side_by_side("detectors", columns, rows, caption)])

    def statements(self, numbers: Numbers) -> list[Statement]:
        return [
            statement(
                "Units overlap more with a part of a thing than those of a random network.",
                "mean overlap minus that with random weights",
                numbers("trained/overlap") - numbers("random weights/overlap"),
            ),
            statement(
                "Names given from the pictures agree with those of the parts.",
                "agreement minus agreement by chance",
                numbers("names/agreement") - numbers("names/by chance"),
            ),
        ]

    def _samples(self, lab: Lab) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yields batches of images, the masks of their parts, and which concept each is."""
        if not _are_doodles(lab):
            for images, labels in Reference(lab.data, self.images)():
                yield images, torch.ones(len(images), 1, 8, 8, dtype=torch.bool), labels[:, None].clamp(min=0)
            return
        size = lab.data.image_shape[-1]  # doodles are square
        doodles = Doodles("val", size, self.images, int(lab.data_settings.get("world", 0)))
        for start in range(0, self.images, 64):
            indices = range(start, min(start + 64, self.images))
            images = torch.stack([doodles[i][0] for i in indices]).float() / 255
            parts = [part_masks(doodles, i, max(SIZES[0], size)) for i in indices]
            numbers = torch.tensor([[label * len(PARTS) + k for k in range(len(PARTS))] for label, _ in parts])
            yield images, torch.stack([masks for _, masks in parts]), numbers


def _are_doodles(lab: Lab) -> bool:
    return str(lab.data_settings.get("_target_", "")).endswith("sources.doodles") and tuple(lab.data.classes) == CLASSES


def _concepts(lab: Lab) -> list[str]:
    return list(CONCEPTS) if _are_doodles(lab) else [str(name) for name in lab.data.classes]


def _masked(image: object) -> Tensor:
    """Returns a real image, dimmed outside its mask."""
    picture: Tensor = image.image.float()  # type: ignore[attr-defined]
    mask = image.mask  # type: ignore[attr-defined]
    return picture if mask is None else picture * (0.25 + 0.75 * mask.float())
