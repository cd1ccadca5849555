"""The state of one browser session: what it looks at, and what it has kept."""

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from dgn.inspection import Channel
from dgn.toolbox.findings import Finding
from dgn.toolbox.workbench import Seen


@dataclass
class Session:
    """What one page shows; another page has its own.

    Attributes:
        tab: The browser's tab. It gets its session back when its page is loaded again.
        image: (3, H, W), the image as it was given.
        name: What the image is.
        seen: What the network sees in it.
        channel: The chosen channel.
        found: What was kept.
        changed: Is called when something was kept.
    """

    tab: str | None = None
    image: Tensor | None = None
    name: str = ""
    seen: Seen | None = None
    channel: Channel | None = None
    found: list[Finding] = field(default_factory=list)
    changed: Callable[[], None] = lambda: None

    def opened_in(self, tab: str | None) -> "Session":
        """Returns the session of a page that is loaded again, or of a duplicate of its tab: no channel is chosen."""
        return Session(tab, self.image, self.name, found=self.found if tab == self.tab else list(self.found))

    def keep(self, finding: Finding) -> None:
        """Keeps a finding in the notebook."""
        self.found.append(finding)
        self.changed()
