"""A stage of a method: its four choices, and when its searches are begun again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from dgn.am.again import SeenWhenShifted
from dgn.am.evolution.population import Evolve
from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.surrogates import below_rectifier
from dgn.am.step import GradientChange, Loss, Parametrization, Projection, Regularizer, View
from dgn.am.updates import Update
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet


@dataclass(frozen=True)
class Stage:
    """One stage of a method.

    Args:
        parametrization: what is optimized (dgn.am.parametrizations).
        update: creates a new update rule for each batch of searches (dgn.am.updates; without gradients,
            `dgn.am.evolution.Evolve`).
        regularizers: in the order in which they act (dgn.am.regularizers); each has one or more of the methods
            `view`, `loss`, `gradient` and `project`.
        steps: the number of steps.
        objective: how the objective is read during the search (dgn.am.objectives.surrogates).
        again: which searches are begun again, from another draw, of the last stage (`dgn.am.again`); None: none.

    Raises:
        UserError: if a regularizer has none of the four methods, or is a class.
    """

    parametrization: Parametrization
    update: Callable[[], Update | Evolve]
    regularizers: Sequence[Regularizer] = ()
    steps: int = 200
    objective: Callable[[Objective, FeatureNet], Objective] = below_rectifier
    again: SeenWhenShifted | None = None

    def __post_init__(self) -> None:
        for regularizer in self.regularizers:
            if isinstance(regularizer, type):
                name = regularizer.__name__
                raise UserError(f"the regularizer {name} is a class; give an instance of it, as in {name}()")
            if not isinstance(regularizer, Regularizer):
                raise UserError(
                    f"the regularizer {regularizer!r} does nothing; give it one or more of the methods "
                    "view(images, step), loss(step), gradient(gradient, step) and project(step)"
                )

    @cached_property
    def candidates(self) -> int:
        """The number of images that a step scores for each search, without a gradient; 0: it follows the gradient."""
        update = self.update()
        return update.population if isinstance(update, Evolve) else 0

    @cached_property
    def views(self) -> list[View]:
        """The regularizers that change what the target is shown, in order."""
        return [regularizer for regularizer in self.regularizers if isinstance(regularizer, View)]

    @cached_property
    def gradient_changes(self) -> list[Loss | GradientChange]:
        """The regularizers that change the gradient, by a loss or themselves, in order."""
        return [regularizer for regularizer in self.regularizers if isinstance(regularizer, Loss | GradientChange)]

    @cached_property
    def projections(self) -> list[Projection]:
        """The regularizers that change the parameters after the step, in order."""
        return [regularizer for regularizer in self.regularizers if isinstance(regularizer, Projection)]
