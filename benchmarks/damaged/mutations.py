"""Ways to damage bytes, text, JSON, safetensors and zip archives; all draw from a generator that is passed in."""

import io
import json
import re
import zipfile
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

CLIMBS = ("../../../../tmp/climbed", "/etc/passwd", "..", "~root/x", "a\x00b", "C:\\x", "\\\\host\\share", "con")
"""Texts that are no file name of a run."""
NUMBERS = (0, -1, 1e308, -1e308, float("nan"), float("inf"), 2**31, 2**63, 2**64, 10**30, 10**400, 0.5, True, 3)
"""Numbers that are not what a size, a count or a measurement is."""
VALUES = (None, [], {}, "", "x", "\u202e\ud7ff", "9" * 5000, [[[]]], {"a": {"b": []}}, [None], *NUMBERS, *CLIMBS)

Mutation = Callable[[bytes, Random], bytes]


def flipped(content: bytes, random: Random) -> bytes:
    """One to sixteen bits changed."""
    changed = bytearray(content)
    for _ in range(random.randint(1, 16)):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def flipped_at_start(content: bytes, random: Random) -> bytes:
    """One to four bytes of the header replaced."""
    changed = bytearray(content)
    for _ in range(random.randint(1, 4)):
        changed[random.randrange(min(len(changed), 96))] = random.randrange(256)
    return bytes(changed)


def truncated(content: bytes, random: Random) -> bytes:
    return content[: random.randrange(len(content))]


def swapped(content: bytes, random: Random) -> bytes:
    """Two parts exchanged."""
    a, b, c = sorted(random.randrange(len(content) + 1) for _ in range(3))
    return content[:a] + content[b:c] + content[a:b] + content[c:]


def lying(content: bytes, random: Random) -> bytes:
    """A whole number of 2, 4 or 8 bytes in the first part set to another, mostly a huge one."""
    size = random.choice((2, 4, 8))
    at = random.randrange(max(1, min(len(content), 512) - size))
    value = random.choice((2 ** (8 * size) - 1, 2 ** (8 * size - 1) - 1, 2 ** (8 * size - 4), 0, 1, 65535, 30000))
    lie = (value % 2 ** (8 * size)).to_bytes(size, random.choice(("little", "big")))
    return content[:at] + lie + content[at + size :]


def repeated(content: bytes, random: Random) -> bytes:
    """A part many times over."""
    a = random.randrange(len(content))
    part = content[a : a + random.randint(1, 64)]
    return content[:a] + part * random.randint(2, 4000) + content[a:]


def replaced(content: bytes, random: Random) -> bytes:
    """Another file altogether: empty, zeros, random bytes, a web page, a pointer of git-lfs, text, a pickle."""
    others = (
        b"", b"\x00" * 4096, random.randbytes(2000), b"<!DOCTYPE html><html>404</html>", b"\xff\xfe\x00", b"\n",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", b"{}", b"[" * 200_000, b"PK\x03\x04",
    )  # fmt: skip
    return random.choice(others)


BYTES: tuple[Mutation, ...] = (flipped, flipped_at_start, truncated, swapped, lying, repeated, replaced)


def of_text(content: bytes, random: Random) -> bytes:
    """Text with a number, a word or a line replaced, removed or doubled."""
    text = content.decode()
    change = random.randrange(5)
    if change == 0 and (numbers := list(re.finditer(r"-?\d+(\.\d+)?(e-?\d+)?", text))):
        found = random.choice(numbers)
        return (text[: found.start()] + _written(random.choice(VALUES)) + text[found.end() :]).encode(*_ANY)
    lines = text.splitlines(keepends=True)
    at = random.randrange(len(lines))
    if change == 1:
        del lines[at]
    elif change == 2:
        lines[at] = lines[at] * random.randint(2, 50)
    elif change == 3:
        lines[at] = re.sub(r"[\w./-]+(?=\W*$)", lambda _: _written(random.choice(VALUES)), lines[at], count=1)
    else:
        lines.insert(at, random.choice(_LINES))
    return "".join(lines).encode(*_ANY)


def of_json(tree: Any, random: Random, lies: Sequence[Any] = VALUES) -> Any:
    """The tree with one value replaced, removed or put in another place."""
    places: list[tuple[Any, Any]] = []
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        keys: Any = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        places += [(node, key) for key in keys]
        waiting += [node[key] for key in keys]
    if not places or random.random() < 0.03:
        return random.choice(lies)
    node, key = random.choice(places)
    change = random.randrange(6)
    if change == 0 and isinstance(node, dict):
        del node[key]
    elif change == 1 and isinstance(node, dict):
        node[random.choice(("x", "", "../x", *map(str, node)))] = node.pop(key)
    elif change == 2:
        other, place = random.choice(places)
        node[key] = json.loads(json.dumps(other[place])) if place in other or isinstance(other, list) else None
    elif change == 3 and isinstance(node[key], int | float):
        node[key] = node[key] * random.choice((-1, 2, 1000, 10**12, 0.5))
    else:
        node[key] = random.choice(lies)
    return tree


def dumped(tree: Any) -> bytes:
    return json.dumps(tree).encode(*_ANY)


def of_safetensors(content: bytes, random: Random, header: str | None = None) -> bytes:
    """A safetensors file whose own header, or the JSON text `header` in its metadata, says something else."""
    size = int.from_bytes(content[:8], "little")
    tree, tensors = json.loads(content[8 : 8 + size]), content[8 + size :]
    if header is not None and random.random() < 0.8:
        tree["__metadata__"][header] = dumped(of_json(json.loads(tree["__metadata__"][header]), random)).decode()
    else:
        tree = of_json(tree, random)
    text = dumped(tree)
    return len(text).to_bytes(8, "little") + text + tensors


def poisoned(content: bytes, random: Random) -> bytes:
    """A safetensors file with numbers that are NaN, infinite or huge in its tensors."""
    size = int.from_bytes(content[:8], "little")
    at = 8 + size + 4 * random.randrange(max(1, (len(content) - 8 - size) // 4))
    number = random.choice((b"\x00\x00\xc0\x7f", b"\x00\x00\x80\x7f", b"\xff\xff\x7f\x7f", b"\x01\x00\x00\x00"))
    return content[:at] + number * random.choice((1, 1, 50)) + content[at + 4 :][: len(content)]


def of_zip(content: bytes, random: Random) -> bytes:
    """A zip archive with entries removed, renamed, emptied, or written again as a bomb."""
    source = zipfile.ZipFile(io.BytesIO(content))
    change, chosen = random.randrange(5), random.choice(source.namelist())
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        for name in source.namelist():
            data = source.read(name)
            if name != chosen:
                archive.writestr(name, data)
            elif change == 0:
                archive.writestr(name, bytes(64 * 2**20), zipfile.ZIP_DEFLATED, 1)
            elif change == 1:
                archive.writestr("../" * random.randint(1, 5) + "tmp/climbed", data)
            elif change == 2:
                archive.writestr(name, data[: len(data) // 2])
            elif change == 3:
                archive.writestr(name, data, zipfile.ZIP_DEFLATED)
    return made.getvalue()


_ANY = ("utf-8", "surrogatepass")
_LINES = (
    "\t- x\n", "&a [*a, *a]\n", "!!python/object/apply:os.system ['touch canary']\n", "? - :\n", "%YAML 9\n", "'\n",
    "{{{{\n", "<<: *missing\n", "\x00\n", "a: b: c\n", "- -1e999\n", ",,,,,\n", '"\n', "${oc.env:HOME}\n", "${x\n",
)  # fmt: skip


def _written(value: Any) -> str:
    return value if isinstance(value, str) else str(value)
