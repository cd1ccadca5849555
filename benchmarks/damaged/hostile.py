"""Files of weights that are made to do harm: with code in them, bombs, and tensors that no network has."""

import functools
import io
import os
import pickle
import zipfile
import zlib
from pathlib import Path
from random import Random
from typing import Any

import torch

from damaged.samples import saved, small_state

CANARY = "ran"
"""The file that code in a pickle would make."""


class _Runs:
    """An object whose pickle would run a command."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> tuple:
        return self.call[0], tuple(self.call[1:])


def with_code(random: Random) -> bytes:
    """A pickle that would create the canary, or take all memory."""
    objects = (
        _Runs(os.system, f"touch {CANARY}"), _Runs(eval, f"open({CANARY!r}, 'w')"), _Runs(bytearray, 10**11),
        _Runs(exec, f"open({CANARY!r}, 'w')"), _Runs(Path.touch, Path(CANARY)), _Runs(os.mkdir, CANARY),
        _Runs(torch.zeros, 10**6, 10**6), _Runs(torch.hub.load_state_dict_from_url, "http://127.0.0.1:9/x"),
    )  # fmt: skip
    content = {"model": small_state(), "x": random.choice(objects)}
    if random.random() < 0.4:
        return pickle.dumps(content, protocol=random.randint(2, 5))
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=random.random() < 0.5)
    return file.getvalue()


@functools.cache
def zeros_deflated(size: int) -> bytes:
    """A deflated stream of `size` zeros, made of one part many times over."""
    part, packer = 2**24, zlib.compressobj(9, zlib.DEFLATED, -15)
    chunk = packer.compress(bytes(part)) + packer.flush(zlib.Z_FULL_FLUSH)
    return chunk * (size // part) + packer.flush(zlib.Z_FINISH)


def bomb(content: bytes, random: Random) -> bytes:
    """A zip archive, the largest entry of which would become 4 GiB of zeros."""
    source = zipfile.ZipFile(io.BytesIO(content))
    largest = max(source.infolist(), key=lambda entry: entry.file_size).filename
    stream = zeros_deflated(4 * 2**30 - 2**24)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in source.namelist():
            if name != largest:
                archive.writestr(name, source.read(name))
        entry = zipfile.ZipInfo(largest)
        entry.file_size = entry.compress_size = len(stream)
        archive.writestr(entry, stream)
        # Written as stored; the directory then says that it is deflated, and to what.
        for info in archive.filelist:
            if info.filename == largest:
                info.compress_type, info.file_size = zipfile.ZIP_DEFLATED, 4 * 2**30 - 2**24
    patched = bytearray(made.getvalue())
    local = next(info for info in archive.filelist if info.filename == largest).header_offset
    patched[local + 8 : local + 10] = (8).to_bytes(2, "little")
    patched[local + 22 : local + 26] = (4 * 2**30 - 2**24).to_bytes(4, "little")
    return bytes(patched)


def strange(random: Random) -> bytes:
    """A state dict of tensors that no network has: views of nothing, sparse, on the meta device, quantized."""
    odd = random.choice((
        torch.zeros(1).expand(10**6, 10**6), torch.zeros(1, dtype=torch.complex64), torch.empty(0),
        torch.zeros(2, 2).to_sparse(), torch.empty(10**9, device="meta"), torch.full((5,), float("nan")),
        torch.zeros(3, dtype=torch.bool), {"a": 1}, None, "text", torch.Size([1]), 10**400,
    ))  # fmt: skip
    state: dict[Any, Any] = dict(small_state())
    state[random.choice(("0.weight", "3.bias", 7, "x" * 10_000, ""))] = odd
    content = random.choice((state, {"model": state}, [state], odd))
    return saved(content)
