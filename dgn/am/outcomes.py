"""The outcome of each search: a result, silent throughout, or stopped by values that are not finite."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Outcome:
    """The outcome of one search.

    Attributes:
        found: whether the search's image is a result.
        note: why not, or that the unit was silent at the start; "" for most searches.
    """

    found: bool = True
    note: str = ""


class Watch:
    """Monitors N searches that run together.

    `cause` says in words what a silent search lacked. A search is asleep from the step at which its gradient is zero
    everywhere until its objective exceeds its value at the stage's first step. It has failed once its objective or its
    gradient is not finite; it then stays at the last parameters for which both were finite.
    """

    def __init__(self, parameters: Tensor) -> None:
        count, device = len(parameters), parameters.device
        self.asleep = torch.zeros(count, dtype=torch.bool, device=device)
        self.failed = torch.zeros(count, dtype=torch.bool, device=device)
        self.troubled = False
        self.cause = "no gradient"
        self._woke_at = torch.full((count,), -1, device=device)
        self._failed_at = torch.full((count,), -1, device=device)
        self._steps = 0
        self._last = parameters.clone()
        self._first: Tensor | None = None

    def enter(self, parameters: Tensor) -> None:
        """Starts a stage with these parameters, (N, ...)."""
        self._last, self._first = parameters.clone(), None

    def see(self, values: Tensor, gradient: Tensor, parameters: Tensor) -> None:
        """Records a step before it is taken; sets `troubled` if any search is asleep or has failed.

        Args:
            values: (N,), the objectives.
            gradient: (N, ...), their gradients.
            parameters: (N, ...), the parameters before the step.
        """
        flat = gradient.flatten(1)
        bad = ~(values.isfinite() & flat.isfinite().all(1))
        self._failed_at = torch.where(bad & ~self.failed, self._steps, self._failed_at)
        self.failed = self.failed | bad
        self._last = torch.where(_rows(self.failed, parameters), self._last, parameters.detach())
        self._first = values if self._first is None else self._first
        self.asleep = ((flat == 0).all(1) | self.asleep) & ~(values > self._first) & ~self.failed
        self._woke_at = torch.where((self._woke_at < 0) & ~self.asleep & ~self.failed, self._steps, self._woke_at)
        self._steps += 1
        self.troubled = bool((self.asleep | self.failed).any())

    def hold(self, parameters: Tensor) -> None:
        """Resets failed searches to their last finite parameters, in place."""
        if self.troubled:
            parameters.copy_(torch.where(_rows(self.failed, parameters), self._last, parameters))

    def outcomes(self, first: Tensor, last: Tensor) -> list[Outcome]:
        """Returns the outcome of each search.

        Args:
            first: (N,), the objectives before the first step.
            last: (N,), the objectives on the final images.
        """
        outcomes = []
        moved = (last.cpu() > first.cpu()).tolist()
        for woke, failed, rose in zip(self._woke_at.tolist(), self._failed_at.tolist(), moved, strict=True):
            outcomes.append(self._outcome(woke, failed, rose))
        return outcomes

    def fail_at_the_end(self, values: Tensor) -> bool:
        """Marks searches whose objective on the final image, values (N,), is not finite; returns whether any is new."""
        bad = ~values.isfinite() & ~self.failed
        self._failed_at = torch.where(bad, self._steps, self._failed_at)
        self.failed = self.failed | bad
        self.troubled = self.troubled or bool(bad.any())
        return bool(bad.any())

    def _outcome(self, woke: int, failed: int, rose: bool) -> Outcome:
        if failed == 0:
            return Outcome(False, "not finite (NaN) at step 0: shown is the start, not a result")
        if failed > 0:
            return Outcome(False, f"not finite (NaN) at step {failed}: shown is the image before, not a result")
        if woke < 0 and self._steps and not rose:
            return Outcome(False, f"{self.cause} at any of {self._steps} steps: a silent unit's start, not a result")
        if woke > 0 or (woke < 0 and self._steps):
            return Outcome(True, f"silent at the start; woke at step {woke if woke > 0 else self._steps}")
        return Outcome()


def summary(outcomes: Sequence[Outcome], names: Sequence[str]) -> str:
    """Returns which searches have no result, and why, in one line; "" if all have one."""
    reasons: dict[str, list[str]] = {}
    for outcome, name in zip(outcomes, names, strict=True):
        if not outcome.found:
            reasons.setdefault(outcome.note, []).append(name)
    messages = []
    for note, searches in reasons.items():
        more = f" and {len(searches) - 8} more" if len(searches) > 8 else ""
        messages.append(f"{', '.join(searches[:8])}{more} ({note})")
    return "; ".join(messages)


def _rows(mask: Tensor, like: Tensor) -> Tensor:
    return mask.view(-1, *[1] * (like.ndim - 1))
