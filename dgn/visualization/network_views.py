"""The views of a whole network: its layers, the embedding of its codes, and the top patches of its channels."""

from collections.abc import Sequence
from functools import partial

import torch

from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.terms import Unit
from dgn.data.reference import Reference
from dgn.errors import UserError
from dgn.inspection import Embedding, first_filters, layer_statistics, main_layers, on_grid, patches_of
from dgn.metrics.features import extract_features
from dgn.metrics.top_images import TopImages, top_images
from dgn.networks.featurenet import FeatureNet
from dgn.report.embedding import EmbeddingShown
from dgn.report.layers import LayerShown
from dgn.report.patches import PatchesShown
from dgn.runs.progress import announced
from dgn.visualization.unit_notes import single_unit
from dgn.visualization.view_store import ViewStore

_MARKED = 25  # top images of a unit that an embedding marks
_PATCHES = 9
_TOGETHER = 32  # channels whose patches are kept together
MOST_EMBEDDED = 4000
"""The largest embedding; laying more images out on a grid takes minutes."""


def describe_layers(
    net: FeatureNet, layers: Sequence[str] | None, reference: Reference | None, kept: ViewStore
) -> tuple[tuple[str, torch.Tensor] | None, list[LayerShown]]:
    """Returns the first filters (None if they cannot be shown) and the statistics of each layer on real images.

    Args:
        net: The network.
        layers: The layers; None: all of them.
        reference: The real images; None: nothing is measured.
        kept: What an earlier run has finished.

    Raises:
        UserError: If there is nothing to show.
    """
    try:
        found = first_filters(net)
        filters = found.layer, found.images
    except UserError:
        if reference is None:
            raise
        filters = None
    if reference is None:
        return filters, []
    rows = []
    for row in layer_statistics(net, list(layers or main_layers(net, most=None)), reference.images(), kept):
        dead = row.dead.nonzero().flatten().tolist()
        moments = row.zero_share, row.median_sparsity, row.mean, row.std
        rows.append(LayerShown(row.layer, row.shape, len(row.dead), len(dead), dead, *moments))
    return filters, rows


def describe_embedding(
    net: FeatureNet,
    layer: str,
    embedding: Embedding,
    reference: Reference,
    units: Sequence[Objective],
    kept: ViewStore,
) -> EmbeddingShown:
    """Lays real images out by their codes.

    Args:
        net: The network.
        layer: The layer that holds the codes; maps are averaged over positions.
        embedding: The method.
        reference: The real images.
        units: Units whose top images are marked.
        kept: What an earlier run has finished.

    Raises:
        UserError: For too many images.
    """
    if reference.count > MOST_EMBEDDED:
        raise UserError(
            f"reference_images={reference.count}: an embedding shows at most {MOST_EMBEDDED} images; give fewer"
        )
    codes = kept.find_or_make("codes", lambda: extract_features(net, reference.images(), layer))
    images = torch.cat(list(reference.images()))
    places = kept.find_or_make("places", lambda: torch.as_tensor(embedding(codes.numpy()))).numpy()
    labels = [reference.classes[label] if reference.classes else "" for label in reference.labels().tolist()]
    singles = {o: unit for o in units if (unit := single_unit(o)) is not None}
    ranked = top_images(net, list(singles.values()), reference.images(), _MARKED) if singles else []
    marked = {o.label or str(o): top.indices.tolist() for o, top in zip(singles, ranked, strict=True)}
    return EmbeddingShown(embedding.name, layer, images, places, on_grid(places), labels, marked)


def describe_patches(
    net: FeatureNet, units: Sequence[Objective], reference: Reference, kept: ViewStore
) -> list[PatchesShown]:
    """Returns the nine top patches of each unit's channel, with their deconvolutions.

    Args:
        net: The network.
        units: The units.
        reference: The real images.
        kept: What an earlier run has finished.

    Raises:
        UserError: For objectives that are not single units.
    """
    singles: list[Unit] = []
    for objective in units:
        unit = single_unit(objective)
        if unit is None:
            raise UserError(f"view=patches shows channels, and {objective} is a combination; give units=LAYER:all")
        singles.append(unit)
    ranked = _ranked(net, singles, reference, kept)
    shown: list[PatchesShown] = []
    parts = range(0, len(singles), _TOGETHER)
    for first in announced(parts, len(singles), "Deconvolving top patches", "fewer units=", _TOGETHER):
        own = slice(first, first + _TOGETHER)
        made = partial(_patches, net, singles[own], ranked[own], reference)
        shown += [PatchesShown(**channel) for channel in kept.find_or_make(f"patches-{first:05d}", made)]
    return shown


def _ranked(net: FeatureNet, units: Sequence[Unit], reference: Reference, kept: ViewStore) -> list[TopImages]:
    def make() -> list[tuple]:
        return [(top.values, top.indices, top.places) for top in top_images(net, units, reference.images(), _PATCHES)]

    return [TopImages(unit, *top) for unit, top in zip(units, kept.find_or_make("ranking", make), strict=True)]


def _patches(net: FeatureNet, units: Sequence[Unit], ranked: Sequence[TopImages], reference: Reference) -> list[dict]:
    shown = []
    for found in patches_of(net, units, ranked, reference):
        name = f"{found.layer}:{found.index}"
        values = found.values.tolist()
        shown.append(PatchesShown(found.layer, name, found.label or name, found.patches, found.deconvolutions, values))
    return [vars(channel) for channel in shown]
