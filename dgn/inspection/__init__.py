"""What is inside a network: activations of one image, first filters, statistics of layers, embeddings, patches."""

from dgn.inspection.activations import Channel, strongest_channels
from dgn.inspection.embedding import TSNE, UMAP, Embedding, on_grid
from dgn.inspection.filters import Filters, first_filters
from dgn.inspection.layer_statistics import LayerStatistics, layer_statistics
from dgn.inspection.main_layers import main_layers
from dgn.inspection.patches import ChannelPatches, deconvolved, patches_of, top_patches

__all__ = [
    "TSNE",
    "UMAP",
    "Channel",
    "ChannelPatches",
    "Embedding",
    "Filters",
    "LayerStatistics",
    "deconvolved",
    "first_filters",
    "layer_statistics",
    "main_layers",
    "on_grid",
    "patches_of",
    "strongest_channels",
    "top_patches",
]
