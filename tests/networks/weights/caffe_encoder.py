"""The few message types of caffe.proto, encoded by hand, for tests of the reader (field numbers as in BVLC's file)."""

import struct
from collections.abc import Sequence

import numpy as np

V1_TYPES = {"Convolution": 4, "InnerProduct": 14, "Deconvolution": 39, "ReLU": 18}


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def chunk(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def new_blob(array: np.ndarray) -> bytes:
    """With a shape message and packed data."""
    shape = chunk(1, b"".join(varint(n) for n in array.shape))
    return chunk(7, shape) + chunk(5, struct.pack(f"<{array.size}f", *array.ravel()))


def old_blob(array: np.ndarray, packed: bool = True) -> bytes:
    """With four dimensions, as old files have for every blob, and packed data or a field for each number."""
    dims = (1,) * (4 - array.ndim) + array.shape
    if packed:
        data = chunk(5, struct.pack(f"<{array.size}f", *array.ravel()))
    else:
        data = b"".join(varint(5 << 3 | 5) + struct.pack("<f", value) for value in array.ravel())
    return b"".join(number(field, dim) for field, dim in enumerate(dims, 1)) + data


def new_layer(name: str, kind: str, blobs: Sequence[bytes]) -> bytes:
    head = chunk(1, name.encode()) + chunk(2, kind.encode()) + chunk(3, b"data") + number(10, 1)
    return chunk(100, head + b"".join(chunk(7, blob) for blob in blobs))


def old_layer(name: str, kind: str, blobs: Sequence[bytes]) -> bytes:
    head = chunk(2, b"data") + chunk(4, name.encode()) + number(5, V1_TYPES[kind])
    rate = varint(7 << 3 | 5) + struct.pack("<f", 1.0)  # blobs_lr, for the reader to skip
    return chunk(2, head + b"".join(chunk(6, blob) for blob in blobs) + rate)


def new_net(layers: Sequence[tuple[str, str, Sequence[np.ndarray]]]) -> bytes:
    body = (new_layer(name, kind, [new_blob(array) for array in arrays]) for name, kind, arrays in layers)
    return chunk(1, b"a net") + chunk(3, b"data") + b"".join(body)


def old_net(layers: Sequence[tuple[str, str, Sequence[np.ndarray]]]) -> bytes:
    body = (old_layer(name, kind, [old_blob(array) for array in arrays]) for name, kind, arrays in layers)
    return chunk(1, b"a net") + number(5, 1) + b"".join(body)
