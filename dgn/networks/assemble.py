"""What all networks share: the settings, and how a module with weights becomes a FeatureNet."""

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.networks.foreign_code import prepared
from dgn.networks.inputs import InputSpace
from dgn.networks.weights.load import load_state_dict
from dgn.networks.weights.read import named_blobs, read_weights

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Settings:
    """What can be said of any network: the keys of conf/network/keys.yaml.

    weights: None for random ones, drawn from seed; a file in any format of `dgn.networks.weights`; or a name that
        the library has weights under. container, allow_missing, allow_unexpected: as `read_state_dict` and
        `load_state_dict` have them.
    classes: how many; None or "auto": as the weights say, else as published, else as the data say (data_classes).
    labels: the classes' names, or a text file with one a line; None: as for classes.
    input_size, mean, std, channel_order, value_range, fit, resize: what of the input space differs from the
        network's own (`InputSpace`).
    data_classes, data_size: class names and size of the images that the network is to work on, where neither
        settings nor weights nor the network itself say.
    """

    weights: str | None = None
    container: str | None = None
    allow_missing: Sequence[str] = ()
    allow_unexpected: Sequence[str] = ()
    classes: int | str | None = None
    labels: Sequence[str] | str | None = None
    seed: int = 0
    input_size: int | Sequence[int] | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    channel_order: str | None = None
    value_range: float | None = None
    fit: str | None = None
    resize: int | None = None
    data_classes: Sequence[str] = ()
    data_size: int | None = None

    @classmethod
    def of(cls, builder: str, own: Sequence[str], given: Mapping[str, Any]) -> "Settings":
        """The settings in `given`. own: names of the builder's further ones. Raises UserError for one there is not."""
        known = [field.name for field in fields(cls)]
        for key in given:
            if key not in known:
                near = difflib.get_close_matches(key, [*own, *known], 1)
                hint = f" (did you mean {near[0]}?)" if near else ""
                raise UserError(f"{builder} has no setting {key}{hint}; settings: {', '.join((*own, *known[:-2]))}")
        values = {key: value for key, value in given.items() if value is not None}
        if not isinstance(values.get("seed", 0), int):
            raise UserError(f"seed={values['seed']} must be a whole number")
        if values.get("classes") == "auto":
            del values["classes"]
        for key in ("allow_missing", "allow_unexpected"):
            if isinstance(values.get(key), str):
                values[key] = [values[key]]
        return cls(**values)

    @property
    def space(self) -> dict[str, Any]:
        """The settings of the input space that are given."""
        keys = ("input_size", "mean", "std", "channel_order", "value_range", "fit", "resize")
        return {key: getattr(self, key) for key in keys if getattr(self, key) is not None}

    def given_labels(self) -> tuple[str, ...]:
        """The labels that the settings name, from their file where they name one."""
        if not isinstance(self.labels, str):
            return tuple(map(str, self.labels or ()))
        try:
            text = Path(self.labels).expanduser().read_text(encoding="utf-8-sig")  # without a byte order mark
            if text.lstrip()[:1] in ("{", "[") and str(self.labels).lower().endswith(".json"):
                return _labels_of_json(json.loads(text))
        except (OSError, ValueError, TypeError) as error:
            raise UserError(
                f"labels={self.labels} cannot be read as names ({error}); give a text file with one a line, or JSON: "
                '["cat", "dog"], {"0": "cat"}, {"0": ["n01", "cat"]} or {"cat": 0}'
            ) from None
        return tuple(line.strip() for line in text.splitlines() if line.strip())

    def read(self, caffe: Callable[..., State] = named_blobs) -> State | None:
        """The weights in the file that the settings name; None where they name none. caffe: as `read_weights`."""
        return None if self.weights is None else read_weights(self.weights, self.container, caffe)


def _labels_of_json(tree: Any) -> tuple[str, ...]:
    """Names in order, from a list of them, or from {number: name} or {name: number}. Of a list for one class, as in
    torchvision's {"0": ["n01440764", "tench"]}, the last is the name. Raises ValueError for anything else."""
    if isinstance(tree, Mapping):
        by_number = all(str(key).isdigit() for key in tree)
        numbered = tree.items() if by_number else [(value, key) for key, value in tree.items()]
        places = {int(number): name for number, name in numbered}
        if sorted(places) != list(range(len(tree))):
            raise ValueError(f"classes are numbered from 0 to {len(tree) - 1}, each once")
        tree = [places[number] for number in range(len(places))]
    names = [entry[-1] if isinstance(entry, list) and entry else entry for entry in tree]
    if not all(isinstance(name, str | int | float) for name in names):
        raise ValueError("a class's name is a text")
    return tuple(str(name) for name in names)


def arguments(args: Mapping[str, Any] | None) -> dict[str, Any]:
    """A builder's `args`, by name. Raises UserError for what is not a mapping."""
    if not isinstance(args or {}, Mapping):
        raise UserError(f"args={args} must name what it gives: 'args={{depth: 3}}', or one by one +args.depth=3")
    return dict(args or {})


def assemble(
    builder: str,
    settings: Settings,
    make: Callable[[int], nn.Module],
    space: InputSpace,
    state: State | None = None,
    args: Mapping[str, Any] | None = None,
    published: Sequence[str] = (),
    published_classes: int = 0,
    aliases: Mapping[str, str] | None = None,
    adapt: Callable[[nn.Module, State], State] = lambda _, state: state,
    counts_classes: bool = True,
    headless: bool = False,
) -> FeatureNet:
    """The FeatureNet of a builder.

    make: the module with so many classes, from torch's random state (0: it has its own count).
    state: its weights, or None for random ones; adapt: brings their names and shapes to those of the module.
    args: the builder's own arguments, for the spec. published, published_classes: labels and number of classes of
    the published network. aliases: FeatureNet's. counts_classes: whether `make` wants to know.
    headless: whether it was published without a layer of classes, and has none unless classes or labels are given.
    """
    labels = settings.given_labels() or _labels_beside(settings.weights)
    headless = settings.classes == 0 or (headless and settings.classes is None and not labels)
    classes = 0 if headless else settings.classes or len(labels) or published_classes
    if not isinstance(classes, int) or classes < 0:
        raise UserError(f"classes={classes!r}: give a number, auto, or data for as many as the data have")

    own_space = space.overridden(**settings.space)

    def built(classes: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            return prepared(make(classes), own_space.size or (224, 224))

    module = built(classes) if classes or not counts_classes else None
    if counts_classes and not headless and not settings.classes and not labels and state is not None:
        # The file knows best how many classes its network has.
        found = _classes_in(state, module if module is not None else built(1))
        if found and found != classes:
            classes, module = found, None
    if counts_classes and not headless and not classes:
        labels = tuple(settings.data_classes)
        classes = len(labels)
    if counts_classes and not headless and not classes:
        raise UserError(f"{builder}: how many classes? give classes= or labels=; the weights do not say")
    module = module if module is not None else built(classes)
    labels = () if headless else labels or (tuple(published) if len(published) == classes else ())
    if labels and classes and len(labels) != classes:
        raise UserError(f"{builder}: {len(labels)} labels for {classes} classes; there must be one for each")
    if state is not None:
        allowed = dict(allow_missing=settings.allow_missing, allow_unexpected=settings.allow_unexpected)
        load_state_dict(module, adapt(module, state), source=str(settings.weights), **allowed)
    spec = {"builder": builder, **(args or {})}
    spec |= {k: v for k, v in asdict(settings).items() if v not in (None, ()) and not k.startswith("data_")}
    spec |= {"labels": list(labels), "seed": settings.seed, "weights": _findable(settings.weights)}
    spec |= {"classes": classes} if counts_classes else {}
    module = module.to(memory_format=torch.channels_last)
    return FeatureNet(module, own_space, str((args or {}).get("name") or builder), labels, aliases, _plain(spec))


def _classes_in(state: State, module: nn.Module) -> int:
    """How many classes the weights are for: rows of the weight that the module's last layer would take; 0: unknown."""
    weighted = [name for name, m in module.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    heads = [value for key, value in state.items() if key.endswith(f"{weighted[-1]}.weight")] if weighted else []
    return len(heads[-1]) if heads and heads[-1].ndim else 0


def _findable(weights: str | None) -> str | None:
    """A weights file by its whole path, so that it is found from elsewhere as well; a name as it is."""
    path = None if weights is None else Path(weights).expanduser()
    return str(path.absolute()) if path is not None and path.is_file() else weights


def _labels_beside(weights: str | Path | None) -> tuple[str, ...]:
    """The labels in a safetensors file's header, as `save_network` writes them."""
    if weights is None or not str(weights).endswith(".safetensors"):
        return ()
    try:
        with safe_open(weights, framework="pt") as file:
            return tuple(json.loads((file.metadata() or {}).get("labels", "[]")))
    except (SafetensorError, OSError, ValueError):
        return ()  # read_weights says what is wrong with the file


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value
