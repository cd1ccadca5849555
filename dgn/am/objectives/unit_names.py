"""Names of units in the unit language: a layer, an index or label, and a position in the layer's map."""

import re
from collections.abc import Sequence

from dgn.am.objectives.scanner import Text
from dgn.am.objectives.terms import Position, Unit
from dgn.errors import UserError
from dgn.networks.dictionaries import BEFORE, dictionary_at
from dgn.networks.featurenet import FeatureNet
from dgn.networks.layer_names import POOLS
from dgn.networks.named_networks import NamedNetworks

_SUFFIXES = rf"(?:{BEFORE})?(?::(?:{'|'.join(POOLS)}))?(?=\s*(?:[:,)]|$))"
_EXAMPLES = "LAYER:UNIT, for example fc8:3, fc8:all or conv5:12@4,4"


class UnitNames(Text):
    """Parses the names of a network's units. Raises UserError for unknown names; the message says where they are."""

    def __init__(self, text: str, target: FeatureNet) -> None:
        super().__init__(text)
        self.target = target
        members = target.members if isinstance(target, NamedNetworks) else {"": target}
        names = [prefix + name for prefix, net in members.items() for name in (*net.aliases, *net.layers())]
        names += [f"{name}:{pool}" for name in names for pool in POOLS]
        self.layer_names = sorted(names, key=len, reverse=True)
        self.prefixes = sorted(members, key=len, reverse=True)

    def _units(self) -> list[Unit]:
        start = self._here()
        layer, end = self._dictionary(start)
        if not layer:
            layer = next((n for n in self.layer_names if self.text.startswith(n + ":", start)), "")
            end = start + len(layer)
        elif not self.text.startswith(":", end):
            self._fail(f"{layer} names no unit; write {layer}:0, {layer}:0-9 or {layer}:all", start)
        if not layer:
            word = self._taken(r"[^,+*()@]*", start).strip()
            name, colon, _ = word.rpartition(":")
            if not colon or not name:
                self._fail(f"{word!r} names no unit; write {_EXAMPLES}", start)
            self._shape(name, start)
            self._fail(f"{word!r} names no unit; write {_EXAMPLES}", start)
        shape, labels = self._shape(layer, start), self.target.layer_labels(layer)
        self.at = end + 1
        indices = self._indices(layer, self.target.layer(layer).units, labels)
        place = self._place()
        position = self._position(place, shape, start)
        return [Unit(layer, index, position, labels[index] if labels else "") for index in indices]

    def _dictionary(self, start: int) -> tuple[str, int]:
        """Returns the layer of a dictionary, `sae(FILE)`, and the position after it; "" if none is named at `start`."""
        prefix = next(prefix for prefix in self.prefixes if self.text.startswith(prefix, start))
        try:
            found = dictionary_at(self.text, start + len(prefix))
        except UserError as error:
            self._fail(str(error), start)
        if found is None:
            return "", start
        suffix = self._taken(_SUFFIXES, found[1])
        return f"{prefix}{found[0]}{suffix}", found[1] + len(suffix)

    def _indices(self, layer: str, count: int, labels: Sequence[str]) -> Sequence[int]:
        start = self._here()
        if self._peek() in ("'", '"'):
            name = self._string()
            return [self._label(name, labels, layer, count, start)]
        boundary = r"(?=\s*(?:[-+*,)@]|$))"
        if match := re.compile(rf"(\d{{1,18}})(?:-(\d{{1,18}})(?=\s*(?:[,)@]|$)))?{boundary}").match(self.text, start):
            self.at = match.end()
            first, last = int(match[1]), int(match[2] or match[1])
            if first > last:
                self._fail(f"{match[0]!r} counts down; write {layer}:{last}-{first}", start)
            if last >= count:
                self._fail(f"{layer} has no unit {last}; its {count} units are 0 .. {count - 1}", start)
            return range(first, last + 1)
        for label in sorted(labels, key=len, reverse=True):  # labels may contain the language's special characters
            end = start + len(label.strip())
            if plain_label(self.text[start:end]) == plain_label(label) and re.match(boundary, self.text[end:]):
                self.at = end
                return [self._label(label, labels, layer, count, start)]
        if match := re.compile(rf"all{boundary}").match(self.text, start):
            self.at = match.end()
            return range(count)
        name = self._taken(r"[^,+*()@]*", start).strip()
        if not name:
            self._fail(f"{self.text[:start].strip()!r} names no unit; write {_EXAMPLES}", start)
        self._label(name, labels, layer, count, start)
        raise AssertionError  # the line above fails

    def _label(self, name: str, labels: Sequence[str], layer: str, count: int, start: int) -> int:
        for index, label in enumerate(labels):
            if plain_label(label) == plain_label(name):
                return index
        if not labels:
            self._fail(f"{layer} has no unit {name!r}; it has no labels: give a number 0 .. {count - 1}, or all", start)
        few = ", ".join(labels[:40]) + (", ..." if len(labels) > 40 else "")
        self._fail(f"{layer} has no unit {name!r}; its labels: {few}; or a number 0 .. {count - 1}, or all", start)

    def _place(self) -> str:
        """Returns what follows an @: one or two numbers, or a word; "" if there is no @."""
        if not self._take("@"):
            return ""
        start = self._here()
        place = self._taken(r"\d+(?:\s*,\s*\d+(?=\s*(?:[-+*,)]|$)))?|[^,+*()-]*", start)
        self.at = start + len(place)
        return re.sub(r"\s", "", place) or "nothing"

    def _position(self, place: str, shape: tuple[int, ...], start: int) -> Position:
        sides = {1: (), 2: shape[:1], 3: shape[1:]}.get(len(shape))
        if sides is None:
            self._fail(f"the layer has activations of shape {shape}; units need vectors or maps", start)
        if not sides:
            if place:
                self._fail(f"@{place} is a position, but the layer is a vector of {shape[0]} units", start)
            return None
        if place == "mean" or (not place and len(sides) == 1):
            return "mean"
        if not place:
            return tuple(side // 2 for side in sides)
        if not re.fullmatch(r"\d{1,18}(,\d{1,18})*", place) or len(place.split(",")) != len(sides):
            form = "@row,column" if len(sides) == 2 else "@token"
            self._fail(f"position {place!r} cannot be read; write {form} or @mean", start)
        position = tuple(int(n) for n in place.split(","))
        if any(n >= side for n, side in zip(position, sides, strict=True)):
            size = "x".join(map(str, sides))
            self._fail(f"position {place} is outside the layer's {size} (counted from 0)", start)
        return position

    def _shape(self, layer: str, start: int) -> tuple[int, ...]:
        try:
            return self.target.layer(layer).shape
        except UserError as error:
            name, slash, _ = layer.partition("/")
            if slash and name.isidentifier() and f"{name}/" not in self.prefixes:
                known = "".join(f", or {prefix[:-1]}, which is there" for prefix in self.prefixes if prefix)
                self._fail(
                    f"no network {name!r} for {layer}: add it, as in +target@targets.{name}=torchvision "
                    f"targets.{name}.name=resnet50{known}",
                    start,
                )
            self._fail(str(error), start)


def plain_label(label: str) -> str:
    """Normalizes a label for comparison: ignores case, underscores and surrounding whitespace."""
    return label.strip().lower().replace("_", " ")
