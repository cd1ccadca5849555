"""Plain dictionaries: atoms or vectors over a layer's units without an encoder of their own.

    .npy                                   atoms (n, d), one a row; one vector (d,) is one atom
    atoms, components, dictionary          atoms in an .npz or a state dict; `mean` (d,), as of PCA, is subtracted
    weight (n, d) and bias (n,)            a linear probe, also coef and intercept (scikit-learn)

Codes: `dot`, the inner product of x - mean with each atom at unit norm (PCA, directions, concept activation vectors);
`nnls`, non-negative least squares (NMF); `logit`, x w + b, of probes.
"""

import logging
import re
from collections.abc import Mapping

from torch import Tensor

from dgn.errors import UserError
from dgn.networks.dictionaries.encoders import Encoder, Linear, NonNegative
from dgn.networks.dictionaries.files import DictionaryFile
from dgn.networks.dictionaries.name import DictionaryName
from dgn.networks.weights.text import listed

log = logging.getLogger(__name__)

CODES = ("dot", "nnls", "logit")
ATOMS = ("array", "atoms", "components", "components_", "dictionary")
PROBES = {"weight": "bias", "coef": "intercept", "coef_": "intercept_"}
MEANS = ("mean", "mean_")


def make_dictionary(file: DictionaryFile, name: DictionaryName) -> Encoder:
    """Returns the encoder of a plain dictionary.

    Raises:
        UserError: If the file holds no atoms under a known name, or they do not fit its other arrays.
    """
    key = _key(file.tensors, name)
    vectors = file.tensors[key]
    vectors = vectors[None] if vectors.ndim == 1 else vectors
    if vectors.ndim != 2 or 0 in vectors.shape:
        shape = "x".join(map(str, vectors.shape)) or "one number"
        raise UserError(f"{name.file}: {key} is {shape}; atoms are a matrix, one a row, of as many columns as units")
    count, width = vectors.shape
    bias = file.tensors.get(_bias_of(key))
    mean = next((file.tensors[key] for key in MEANS if key in file.tensors), None)
    for what, tensor, size in (("bias", bias, count), ("mean", mean, width)):
        if tensor is not None and tensor.numel() != size:
            raise UserError(f"{name.file}: {what} has {tensor.numel()} numbers; {size} are expected")
    code = name.option("code") or file.config.get("code") or ("logit" if bias is not None else "dot")
    if code not in CODES:
        raise UserError(f"code={code}: give {', '.join(CODES)}")
    labels = file.labels(count)
    if code == "logit":
        return Linear(vectors, None if bias is None else bias.flatten(), None, labels)
    lengths = vectors.norm(dim=1)
    if not bool((lengths > 0).all()):
        zero = int((lengths == 0).nonzero()[0])
        raise UserError(f"{name.file}: atom {zero} is 0 everywhere; leave it out")
    if code == "nnls":
        return NonNegative(vectors, labels)
    if name.option("code") is None and bool((vectors >= 0).all()):
        log.info(
            "%s: no atom has a negative entry, as in NMF, whose codes are %s", name, name.with_option("code", "nnls")
        )
    return Linear(vectors / lengths[:, None], None, None if mean is None else mean.flatten(), labels)


def _key(tensors: Mapping[str, Tensor], name: DictionaryName) -> str:
    """Returns the name of the array that holds the atoms: `key=`, else a known name."""
    given = name.option("key")
    if given is not None:
        if given not in tensors:
            raise UserError(f"{name.file} has no array {given!r}; it has {listed(tensors, 8)}")
        return given
    if any(_ENCODER.fullmatch(key) for key in tensors):
        layer = tuple(pair for pair in name.options if pair[0] == "layer")
        raise UserError(
            f"{name.file} is an autoencoder: write {DictionaryName('sae', name.file, layer)} for its latents, or the "
            f"name of an array (key=) for its rows; it has {listed(tensors, 8)}"
        )
    known = [key for key in (*ATOMS, *PROBES) if key in tensors]
    known = known or [key for key in tensors if key.rpartition(".")[2] in PROBES and tensors[key].ndim == 2]
    if len(known) == 1:
        return known[0]
    what = f"several sets of atoms ({listed(known)})" if known else f"{listed(tensors, 6) or 'no numbers'}"
    raise UserError(
        f"{name.file} holds {what}; known names are {', '.join((*ATOMS[1:], *PROBES))}: give the array's name, as in "
        + name.with_option("key", listed(tensors, 1).partition(",")[0] or "atoms")
    )


_ENCODER = re.compile(r"(?:.*\.)?(?:W_enc|encoder\.(?:(?:final_block\.)?0\.)?weight)")
"""The weights of an autoencoder's encoder, which are no atoms."""


def _bias_of(key: str) -> str:
    before, dot, last = key.rpartition(".")
    return before + dot + PROBES.get(last, "")
