"""The settings that all networks share, and the assembly of a module and its weights into a FeatureNet."""

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
    """Settings of any network: the keys of conf/network/keys.yaml.

    Attributes:
        weights: None for random weights, drawn from `seed`; a file in any format of `dgn.networks.weights`; or the
            name of published weights of the library.
        container, allow_missing, allow_unexpected: See `read_state_dict` and `load_state_dict`.
        classes: Number of classes. None or "auto" takes it from the weights, else from the published network, else
            from the data (`data_classes`).
        labels: Class names, or a text file with one name per line. None: same order of sources as `classes`.
        seed: Seed of the random weights.
        input_size, mean, std, channel_order, value_range, fit, resize: Overrides of the network's own `InputSpace`.
        data_classes: Class names of the data, used if settings, weights and network do not define them.
        data_size: Image size of the data in pixels, used likewise.
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
        """Creates settings from keyword arguments.

        Args:
            builder: Name of the network's builder, for messages.
            own: Names of the builder's additional settings.
            given: The values by name; None counts as not given.

        Raises:
            UserError: If a setting does not exist or has a wrong type.
        """
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
        """The overrides of the input space that are set."""
        keys = ("input_size", "mean", "std", "channel_order", "value_range", "fit", "resize")
        return {key: getattr(self, key) for key in keys if getattr(self, key) is not None}

    def given_labels(self) -> tuple[str, ...]:
        """The labels of the settings, read from their file if `labels` is a path."""
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
        """Reads the weights file; returns None if `weights` is None. caffe: see `read_weights`."""
        return None if self.weights is None else read_weights(self.weights, self.container, caffe)


def _labels_of_json(tree: Any) -> tuple[str, ...]:
    """Class names in order, from a list of names, {number: name} or {name: number}.

    If the entry of a class is a list, as in torchvision's {"0": ["n01440764", "tench"]}, its last item is the name.

    Raises:
        ValueError: For any other structure.
    """
    if isinstance(tree, Mapping):
        by_number = all(str(key).isdigit() for key in tree)
        numbered = tree.items() if by_number else [(value, key) for key, value in tree.items()]
        names_by_number = {int(number): name for number, name in numbered}
        if sorted(names_by_number) != list(range(len(tree))):
            raise ValueError(f"classes are numbered from 0 to {len(tree) - 1}, each once")
        tree = [names_by_number[number] for number in range(len(names_by_number))]
    names = [entry[-1] if isinstance(entry, list) and entry else entry for entry in tree]
    if not all(isinstance(name, str | int | float) for name in names):
        raise ValueError("a class's name is a text")
    return tuple(str(name) for name in names)


def arguments(args: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns a builder's `args` as a dict. Raises UserError if it is not a mapping."""
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
    """Assembles the FeatureNet of a builder.

    Args:
        builder: Name of the builder, for the spec and messages.
        settings: The network's settings.
        make: Creates the module for a number of classes (0: the module's own number), drawing weights from torch's
            random state.
        space: The network's own input space.
        state: The weights, or None for random weights.
        args: The builder's own arguments, for the spec.
        published: Labels of the published network.
        published_classes: Number of classes of the published network.
        aliases: Aliases of layers, see `FeatureNet`.
        adapt: Adapts names and shapes of the weights to those of the module.
        counts_classes: Whether `make` needs the number of classes.
        headless: Whether the network was published without a class layer; it gets one only if classes or labels are
            given.

    Raises:
        UserError: If the number of classes is unknown or invalid, labels do not match it, or weights do not fit.
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
        # The number of classes in the weights takes precedence over the published number.
        stored_classes = _classes_in(state, module if module is not None else built(1))
        if stored_classes and stored_classes != classes:
            classes, module = stored_classes, None
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
    """Number of classes in the weights: rows of the weight of the module's last layer; 0 if unknown."""
    weighted = [name for name, m in module.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    heads = [value for key, value in state.items() if key.endswith(f"{weighted[-1]}.weight")] if weighted else []
    return len(heads[-1]) if heads and heads[-1].ndim else 0


def _findable(weights: str | None) -> str | None:
    """The absolute path of a weights file, valid from any working directory; a name is returned unchanged."""
    path = None if weights is None else Path(weights).expanduser()
    return str(path.absolute()) if path is not None and path.is_file() else weights


def _labels_beside(weights: str | Path | None) -> tuple[str, ...]:
    """The labels in a safetensors file's header, as written by `save_network`."""
    if weights is None or not str(weights).endswith(".safetensors"):
        return ()
    try:
        with safe_open(weights, framework="pt") as file:
            return tuple(json.loads((file.metadata() or {}).get("labels", "[]")))
    except (SafetensorError, OSError, ValueError):
        return ()  # read_weights reports what is wrong with the file


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value
