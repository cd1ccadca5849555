"""study=all: several studies, and the report that they make."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Collection:
    """Several studies, run one after another.

    Attributes:
        studies: their names.
        settings: {name: further settings of that study, as on the command line}.
        run: whether studies are run; False: the report is made of what the folder holds.
        document: the path of the report, in Markdown; its pictures lie in a folder of the same name.
    """

    studies: Sequence[str]
    settings: Mapping[str, Sequence[str]] = field(default_factory=dict)
    run: bool = True
    document: str = "docs/reproduction.md"
