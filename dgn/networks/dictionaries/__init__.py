"""Dictionaries over a layer's units: sparse autoencoders, NMF, PCA and probes, as layers of a network."""

from dgn.networks.dictionaries.attach import Attached, Dictionaries, attach, open_encoder
from dgn.networks.dictionaries.encoders import Encoder, Linear, NonNegative, SparseEncoder, Sparsity
from dgn.networks.dictionaries.name import (
    BEFORE,
    DictionaryName,
    abbreviated,
    canonical,
    dictionary_at,
    dictionary_named,
)

__all__ = [
    "BEFORE",
    "Attached",
    "Dictionaries",
    "DictionaryName",
    "Encoder",
    "Linear",
    "NonNegative",
    "SparseEncoder",
    "Sparsity",
    "abbreviated",
    "attach",
    "canonical",
    "dictionary_at",
    "dictionary_named",
    "open_encoder",
]
