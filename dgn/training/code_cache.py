"""data.cache=codes: codes and comparator features of real images, computed once and read from disk in each step.

E and C do not change, so that their passes over the same image always give the same. The images are fixed views
(`dgn.data.views`), whose number times the bytes of a code and of the features is the size of the cache.
"""

import hashlib
import json
import logging
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from dgn.data.datamodule import ImageData
from dgn.data.views import FixedViews, Rows
from dgn.errors import UserError
from dgn.files import cache_dir, written_aside
from dgn.networks.featurenet import FeatureNet
from dgn.networks.precision import full_precision
from dgn.runs.progress import announced
from dgn.training.fixed_networks import FixedNetworks

log = logging.getLogger(__name__)

_FORMAT = "dgn.codes.1"
_BATCH = 64
_CHECKED = 16
"""Views whose codes are computed again when a cache is opened, to see whether it is the right one."""
_FINGERPRINTED = 64
"""Views, evenly spaced, whose pixels are part of the name of a cache."""


@dataclass(frozen=True)
class Wanted:
    """What is kept of each view.

    Attributes:
        networks: E and C.
        features: the layers of C that are kept; none if C sees the images shifted by another amount in each step.
    """

    networks: FixedNetworks
    features: Sequence[str]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """{name: shape} of a view's values: the code, then the features by their layers."""
        networks = self.networks
        shapes = {"code": tuple(networks.encoder.layer(networks.layer).shape)}
        return shapes | {name: tuple(networks.comparator.layer(name).shape) for name in self.features}

    @torch.no_grad()
    @full_precision
    def values(self, images: Tensor) -> dict[str, Tensor]:
        """Returns {name: (N, ...)}, float32 on the CPU, of images (N, 3, H, W) in image space."""
        networks = self.networks
        layers = [networks.layer, *(self.features if networks.own_comparator is None else [])]
        found = networks.encoder(images.to(networks.encoder.device), list(dict.fromkeys(layers)))
        values = {"code": found[networks.layer]}
        if networks.own_comparator is not None and self.features:
            found = networks.own_comparator(images.to(networks.own_comparator.device), list(self.features))
        values |= {name: found[name] for name in self.features}
        return {name: value.float().cpu() for name, value in values.items()}


class CodeCache:
    """The codes and features of views in a memory-mapped file.

    Args:
        path: The file.
        rows: The number of views.
        shapes: As `Wanted.shapes`.

    Raises:
        ValueError: If the file is not one of these views; the message says why.
    """

    def __init__(self, path: Path, rows: int, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.shapes = dict(shapes)
        header = _header(rows, shapes)
        try:
            with path.open("rb") as file:
                if file.read(len(header)) != header:
                    raise ValueError("it is of other networks or images, or no such file")
                size = os.fstat(file.fileno()).st_size
        except OSError as error:
            raise ValueError(str(error.strerror)) from None
        width = sum(math.prod(shape) for shape in shapes.values())
        if size != len(header) + 4 * rows * width:
            raise ValueError(f"it has {size} bytes where {len(header) + 4 * rows * width} were written")
        self._values = np.memmap(path, "<f4", "r", len(header), (rows, width))

    def __call__(self, rows: Tensor, device: torch.device | str = "cpu") -> tuple[Tensor, dict[str, Tensor]]:
        """Returns the codes (N, *code_shape) of views and their features {layer: (N, ...)}.

        Args:
            rows: int64 (N,), the rows of the views.
            device: Where they are wanted.
        """
        read = torch.from_numpy(self._values[rows.cpu().numpy()]).to(device, non_blocking=True)
        parts = read.split([math.prod(shape) for shape in self.shapes.values()], 1)
        values = {n: part.unflatten(1, s) for (n, s), part in zip(self.shapes.items(), parts, strict=True)}
        code = values.pop("code")
        return code, {name: _in_the_networks_layout(value) for name, value in values.items()}


def open_code_cache(data: ImageData, count: int, networks: FixedNetworks, layers: Sequence[str]) -> CodeCache:
    """Makes the training images fixed views, and opens the cache of their codes; computes it if there is none.

    It is kept in the cache folder, under a name made of the weights and inputs of the networks, the layers, and the
    views. A file that is damaged or of others is computed again. Of several processes one computes it.

    Args:
        data: The images; its `views` are set.
        count: The number of views of each image that has augmentation.
        networks: E and C.
        layers: The layers of C whose features are kept.

    Raises:
        UserError: If the disk is full.
    """
    views = data.views = FixedViews(data.train_source, count, data.seed)
    wanted = Wanted(networks, list(layers))
    path = cache_dir() / "codes" / f"{_name(wanted, views)}.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    size = 4 * views.rows * sum(math.prod(shape) for shape in wanted.shapes.values())
    seen = "as it is, without augmentation" if views.count == 1 else f"in {views.count} fixed crops and mirrors"
    kept = "codes" if not wanted.features else "codes and comparator features"
    log.info("data.cache=codes: each of %d images is seen %s; their %s take %s", len(views), seen, kept, _bytes(size))
    with FileLock(path.with_suffix(".lock")):
        if path.exists():
            try:
                return _checked(CodeCache(path, views.rows, wanted.shapes), wanted, views)
            except ValueError as error:
                log.warning("The codes in %s are computed again: %s", path, error)
        _write(path, data, wanted, views, size)
    return CodeCache(path, views.rows, wanted.shapes)


def _write(path: Path, data: ImageData, wanted: Wanted, views: FixedViews, size: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if size > free:
        raise UserError(
            f"data.cache=codes would take {_bytes(size)} in {path.parent}, and {_bytes(free)} are free there; choose "
            "another disk with $DGN_CACHE, fewer views with data.cache=codes:1, or data.cache=disk"
        )
    log.info("Computing them once; they are kept in %s", path)
    reading = announced(
        data.batches_of(Rows(views, range(views.rows)), views.rows),
        views.rows,
        "Computing the codes of all training images, which each step then reads",
        "data.cache=disk leaves it out; fewer with data.cache=codes:1",
        _BATCH,
    )
    with written_aside(path) as aside, aside.open("wb") as file:
        file.write(_header(views.rows, wanted.shapes))
        for images, _ in reading:
            values = wanted.values(images)
            file.write(torch.cat([value.flatten(1) for value in values.values()], 1).numpy().astype("<f4").tobytes())


def _checked(cache: CodeCache, wanted: Wanted, views: FixedViews) -> CodeCache:
    """Returns the cache. Raises ValueError if it does not hold what E and C compute for some of the views."""
    rows = np.linspace(0, views.rows - 1, min(_CHECKED, views.rows)).astype(np.int64)
    images = torch.stack([views.at(int(row)) for row in rows]).float().div(255)
    code, features = cache(torch.from_numpy(rows))
    for name, value in wanted.values(images).items():
        kept = code if name == "code" else features[name]
        scale = float(value.abs().max())  # other batches and threads add in another order
        if not bool(((kept - value).abs() <= 1e-3 * scale + 1e-6).all()):
            raise ValueError(f"{name} of some images is not what the networks compute")
    return cache


def _name(wanted: Wanted, views: FixedViews) -> str:
    """Returns the name of a cache: a hash of the networks, the layers, and the views."""
    networks = wanted.networks
    digest = hashlib.sha256(_FORMAT.encode())
    for net in (networks.encoder, networks.own_comparator if wanted.features else None):
        digest.update(_identity(net).encode())
    digest.update(f"{networks.layer} {wanted.features} {views.rows} {views.count} {views.seed}".encode())
    known = getattr(views.source, "fingerprint", None)
    digest.update(str(known() if known is not None else "").encode())
    for row in np.linspace(0, views.rows - 1, min(_FINGERPRINTED, views.rows)).astype(int):
        digest.update(views.at(int(row)).contiguous().numpy().tobytes())
    return digest.hexdigest()[:20]


def _identity(net: FeatureNet | None) -> str:
    return "" if net is None else f"{net.fingerprint()} {net.input_space.to_dict()}"


def _header(rows: int, shapes: Mapping[str, tuple[int, ...]]) -> bytes:
    text = json.dumps({"format": _FORMAT, "rows": rows, "shapes": {name: list(s) for name, s in shapes.items()}})
    return f"{text}\n".encode().ljust(4096, b" ")


def _in_the_networks_layout(values: Tensor) -> Tensor:
    """Maps are channels last, as those of networks with such images."""
    return values.contiguous(memory_format=torch.channels_last) if values.dim() == 4 else values


def _bytes(size: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
