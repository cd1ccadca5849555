"""study=all: several studies, and the report that they make."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Collection:
    """Several studies, run one after another with the same settings.

    Attributes:
        studies: their names.
        document: the path of the report, in Markdown; its pictures lie in a folder of the same name.
    """

    studies: Sequence[str]
    document: str = "docs/reproduction.md"
