import re
import struct
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from caffe_encoder import chunk, new_blob, new_layer, new_net, number, old_blob, old_layer, old_net, varint
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dgn.errors import UserError
from dgn.networks.weights import read_caffemodel

WEIGHT = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2) - 7.5
BIAS = np.array([0.5, -1e30], dtype=np.float32)
FC = np.linspace(-1, 1, 15, dtype=np.float32).reshape(3, 5)
LAYERS = [("conv1", "Convolution", [WEIGHT, BIAS]), ("relu1", "ReLU", []), ("fc", "InnerProduct", [FC])]


@pytest.fixture
def save(tmp_path: Path):
    def save(content: bytes) -> Path:
        path = tmp_path / "net.caffemodel"
        path.write_bytes(content)
        return path

    return save


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_caffemodel(path)
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message
    return message


def test_current_files_give_names_types_and_blobs_in_file_order(save):
    layers = read_caffemodel(save(new_net(LAYERS)))
    assert list(layers) == ["conv1", "fc"]  # relu1 has no weights
    assert [(layer.name, layer.type) for layer in layers.values()] == [("conv1", "Convolution"), ("fc", "InnerProduct")]
    for got, sent in zip(layers["conv1"].blobs, (WEIGHT, BIAS), strict=True):
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, sent)
    np.testing.assert_array_equal(layers["fc"].blobs[0], FC)


def test_old_files_give_the_same_with_the_four_dimensions_they_state(save):
    layers = read_caffemodel(save(old_net(LAYERS)))
    assert [(layer.name, layer.type) for layer in layers.values()] == [("conv1", "Convolution"), ("fc", "InnerProduct")]
    assert [blob.shape for blob in layers["conv1"].blobs] == [(2, 3, 2, 2), (1, 1, 1, 2)]
    assert layers["fc"].blobs[0].shape == (1, 1, 3, 5)
    np.testing.assert_array_equal(layers["conv1"].blobs[0], WEIGHT)
    np.testing.assert_array_equal(layers["fc"].blobs[0][0, 0], FC)


def test_files_written_by_protobuf_itself_are_read(save):
    """The same messages, encoded by Google's implementation from the field numbers of caffe.proto."""
    pytest.importorskip("google.protobuf")
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="caffe_excerpt.proto", package="caffe_excerpt", syntax="proto2")
    kinds = descriptor_pb2.FieldDescriptorProto
    messages = {
        "BlobShape": [("dim", 1, kinds.TYPE_INT64, "packed")],
        "BlobProto": [
            ("num", 1, kinds.TYPE_INT32, ""),
            ("channels", 2, kinds.TYPE_INT32, ""),
            ("height", 3, kinds.TYPE_INT32, ""),
            ("width", 4, kinds.TYPE_INT32, ""),
            ("data", 5, kinds.TYPE_FLOAT, "packed"),
            ("diff", 6, kinds.TYPE_FLOAT, "packed"),
            ("shape", 7, "BlobShape", ""),
            ("double_data", 8, kinds.TYPE_DOUBLE, "packed"),
        ],
        "LayerParameter": [
            ("name", 1, kinds.TYPE_STRING, ""),
            ("type", 2, kinds.TYPE_STRING, ""),
            ("blobs", 7, "BlobProto", "repeated"),
        ],
        "V1LayerParameter": [
            ("name", 4, kinds.TYPE_STRING, ""),
            ("type", 5, kinds.TYPE_INT32, ""),
            ("blobs", 6, "BlobProto", "repeated"),
        ],
        "NetParameter": [
            ("name", 1, kinds.TYPE_STRING, ""),
            ("layers", 2, "V1LayerParameter", "repeated"),
            ("layer", 100, "LayerParameter", "repeated"),
        ],
    }
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for field, index, kind, label in fields:
            added = message.field.add(name=field, number=index)
            added.label = kinds.LABEL_REPEATED if label else kinds.LABEL_OPTIONAL
            if isinstance(kind, str):
                added.type, added.type_name = kinds.TYPE_MESSAGE, f".caffe_excerpt.{kind}"
            else:
                added.type = kind
            if label == "packed":
                added.options.packed = True
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    net = message_factory.GetMessageClass(pool.FindMessageTypeByName("caffe_excerpt.NetParameter"))(name="net")
    layer = net.layer.add(name="up", type="Deconvolution")
    blob = layer.blobs.add(data=WEIGHT.ravel().tolist(), diff=WEIGHT.ravel().tolist())
    blob.shape.dim.extend(WEIGHT.shape)
    doubles = layer.blobs.add(double_data=[0.1, 2.0])
    doubles.shape.dim.extend([2])
    old = net.layers.add(name="old", type=39)
    old.blobs.add(num=1, channels=1, height=3, width=5, data=FC.ravel().tolist())

    layers = read_caffemodel(save(net.SerializeToString()))
    assert {name: layer.type for name, layer in layers.items()} == {"up": "Deconvolution", "old": "Deconvolution"}
    np.testing.assert_array_equal(layers["up"].blobs[0], WEIGHT)
    np.testing.assert_array_equal(layers["up"].blobs[1], np.float32([0.1, 2.0]))
    np.testing.assert_array_equal(layers["old"].blobs[0], FC[None, None])


def test_unpacked_and_split_data_are_read_as_one_blob(save):
    many = np.random.default_rng(0).standard_normal((50, 40)).astype(np.float32)
    halves = chunk(5, many[:25].tobytes()) + number(1, 50) + chunk(5, many[25:].tobytes())
    halves += number(2, 40) + number(3, 1) + number(4, 1)
    doubles = b"".join(varint(8 << 3 | 1) + struct.pack("<d", value) for value in many[:3, 0])
    layers = read_caffemodel(
        save(
            old_layer("unpacked", "InnerProduct", [old_blob(many, packed=False)])
            + old_layer("halves", "InnerProduct", [halves])
            + new_layer("doubles", "InnerProduct", [doubles + chunk(7, number(1, 3))])
        )
    )
    np.testing.assert_array_equal(layers["unpacked"].blobs[0][0, 0], many)
    np.testing.assert_array_equal(layers["halves"].blobs[0][:, :, 0, 0], many)
    np.testing.assert_array_equal(layers["doubles"].blobs[0], many[:3, 0])


def test_arrays_are_writable_and_outlive_the_file(save):
    path = save(new_net(LAYERS))
    blob = read_caffemodel(path)["fc"].blobs[0]
    path.write_bytes(b"")
    blob += 1
    np.testing.assert_array_equal(blob, FC + 1)


BLOB = new_blob(FC)
DAMAGED = {
    "a length beyond the end": (varint(100 << 3 | 2) + varint(1 << 62), "needs|left"),
    "a number cut off": (b"\xa2\x06\xff\xff", "cut off"),
    "an endless number": (b"\xa2\x06" + b"\xff" * 40, "more than 10 bytes"),
    "a group": (varint(3 << 3 | 3) + new_net(LAYERS), "wire type 3"),
    "field number 0": (b"\x00\x01", "field number 0"),
    "text": (b'name: "CaffeNet"\nlayer { name: "conv1" }\n', "prototxt"),
    "weights as numbers": (new_layer("fc", "InnerProduct", []) + number(100, 7), "wire type"),
    "data of a wrong type": (new_layer("fc", "InnerProduct", [number(5, 7)]), "'fc'.*wire type"),
    "half a float": (new_layer("fc", "InnerProduct", [chunk(5, b"\0" * 7)]), "7 bytes of float32"),
    "too few values": (new_layer("fc", "InnerProduct", [BLOB[: BLOB.index(b"\x2a")]]), r"0 values .*\(3, 5\)"),
    "values without a shape": (new_layer("fc", "InnerProduct", [chunk(5, FC.tobytes())]), "15 values"),
    "a negative dimension": (
        new_layer(
            "fc", "InnerProduct", [chunk(7, chunk(1, varint((1 << 64) - 3) + varint(5))) + chunk(5, FC.tobytes())]
        ),
        r"\(-3, 5\)",
    ),
    "an absurd dimension": (
        new_layer(
            "fc", "InnerProduct", [chunk(7, chunk(1, varint(1 << 60) + varint(1 << 60))) + chunk(5, FC.tobytes())]
        ),
        "15 values",
    ),
    "too many dimensions": (
        new_layer("fc", "InnerProduct", [chunk(7, chunk(1, b"\x01" * 33)) + chunk(5, b"\0" * 4)]),
        "more than 32",
    ),
    "a layer without a name": (new_layer("", "InnerProduct", [BLOB]), "without a name"),
    "layers of 2013": (chunk(2, chunk(1, chunk(1, b"conv1"))), "upgrade_net_proto_binary"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_refused_with_the_reason(name: str, save):
    content, reason = DAMAGED[name]
    assert re.search(reason, refusal(save(content)))


def test_a_file_that_states_a_huge_size_allocates_no_memory(save):
    shape = chunk(7, chunk(1, varint(1 << 40)))
    paths = save(new_layer("fc", "InnerProduct", [shape + varint(5 << 3 | 2) + varint(1 << 42) + b"\0" * 64]))
    tracemalloc.start()
    try:
        refusal(paths)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_files_of_many_tiny_fields_are_read_quickly(save):
    float_and_diff = (varint(5 << 3 | 5) + b"\0" * 4 + number(1, 1)) * 50_000
    for content in (number(1, 1) * 500_000, new_layer("fc", "InnerProduct", [float_and_diff])):
        start = time.perf_counter()
        assert "fields" in refusal(save(content))
        assert time.perf_counter() - start < 10


def test_files_without_weights_and_of_ambiguous_layers_are_refused(save, tmp_path):
    assert "contains no layer with weights" in refusal(save(new_net([("relu1", "ReLU", [])])))
    assert "two layers named 'fc'" in refusal(save(new_net([LAYERS[2], LAYERS[2]])))
    # A layer of the same name without weights, as of a data layer for another phase, is no ambiguity.
    assert list(read_caffemodel(save(new_net([LAYERS[2], ("fc", "Data", [])])))) == ["fc"]
    assert "is empty" in refusal(save(b""))
    assert "git lfs pull" in refusal(save(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"))
    assert "web page" in refusal(save(b"\n<!DOCTYPE html><html>"))
    assert "HDF5" in refusal(save(b"\x89HDF\r\n\x1a\n" + b"\0" * 20))
    assert "no weights file" in refusal(tmp_path / "absent.caffemodel")
    assert "not a file" in refusal(tmp_path)


@given(st.data())
@settings(max_examples=200, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_damage_is_either_read_or_refused(tmp_path: Path, data: st.DataObject):
    valid = data.draw(st.sampled_from([new_net(LAYERS), old_net(LAYERS), new_net(LAYERS[:1]) + old_net(LAYERS[2:])]))
    content = bytearray(valid)
    for _ in range(data.draw(st.integers(0, 6))):
        position = data.draw(st.integers(0, len(content) - 1))
        match data.draw(st.sampled_from(["flip", "set", "insert", "delete"])):
            case "flip":
                content[position] ^= 1 << data.draw(st.integers(0, 7))
            case "set":
                content[position] = data.draw(st.integers(0, 255))
            case "insert":
                content[position:position] = data.draw(st.binary(max_size=12))
            case "delete":
                del content[position : position + data.draw(st.integers(1, 12))]
        content = content or bytearray(b"\0")
    path = tmp_path / "fuzzed.caffemodel"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    try:
        layers = read_caffemodel(path)
    except UserError:
        return
    assert sum(blob.nbytes for layer in layers.values() for blob in layer.blobs) <= path.stat().st_size
