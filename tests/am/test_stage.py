"""A stage sorts its regularizers by what they do, and refuses those that do nothing."""

import pytest
import torch

from dgn import Step, UserError, maximize, parse_units
from dgn.am.maximize import Stage
from dgn.am.objectives.evaluation import objective_values
from dgn.am.parametrizations.pixels import Pixels
from dgn.am.regularizers import Clip, L2Loss, UnitGradient


class Ascent:
    """Adds the gradient, times `unit`, to the parameters."""

    def begin(self, parameters, steps, unit):
        self.unit = unit

    def step(self, parameters, gradient, i):
        parameters.add_(gradient, alpha=self.unit)


class Dim:
    def view(self, images, step):
        return images / 2


class Brightness:
    def loss(self, step):
        return 3 * step.images.flatten(1).sum(1)


class Replaced:
    def gradient(self, gradient, step):
        return torch.full_like(gradient, 7.0)


class Whole:
    """A regularizer with all four methods."""

    def __init__(self):
        self.calls = []

    def view(self, images, step: Step):
        self.calls.append("view")
        return images

    def loss(self, step):
        self.calls.append("loss")
        return step.parameters.flatten(1).sum(1)

    def gradient(self, gradient, step):
        self.calls.append("gradient")
        return gradient * 2

    def project(self, step):
        self.calls.append("project")


def after_one_step(setting, regularizers):
    """The pixels of a search for unit 4:1 before and after a step, on 0..255 from the zero image, and its gradient."""
    pixels = Pixels(setting, noise=5)
    start = pixels.start([0])
    images = pixels.images(start)
    stage = Stage(pixels, Ascent, regularizers, steps=1)
    result = maximize(setting.target, "4:1", stage)
    return images * 255, result.images * 255, result


def test_regularizers_are_sorted_by_their_methods(setting):
    dim, whole, clip, l2, unit = Dim(), Whole(), Clip(), L2Loss(), UnitGradient()
    stage = Stage(Pixels(setting), Ascent, [dim, whole, clip, l2, unit])
    assert stage.views == [dim, whole]
    assert stage.gradient_changes == [whole, l2, unit]
    assert stage.projections == [whole, clip]


def test_a_class_with_one_method_is_a_regularizer(setting):
    before, after, _ = after_one_step(setting, [Replaced()])
    torch.testing.assert_close(after, (before + 7).clamp(0, 255), atol=1e-3, rtol=0)
    *_, result = after_one_step(setting, [Dim()])
    start = Pixels(setting, noise=5)
    seen = start.images(start.start([0])) / 2
    expected = objective_values(setting.target, parse_units("4:1", setting.target), [seen])
    torch.testing.assert_close(result.curve, expected)


def test_a_loss_is_subtracted_where_it_stands_in_the_list(setting):
    """The gradient of a loss, 3 for every pixel, is replaced by a change after it and stays after one before it."""
    before, after, _ = after_one_step(setting, [Brightness(), Replaced()])
    torch.testing.assert_close(after, (before + 7).clamp(0, 255), atol=1e-3, rtol=0)
    before, after, _ = after_one_step(setting, [Replaced(), Brightness()])
    torch.testing.assert_close(after, (before + 4).clamp(0, 255), atol=1e-3, rtol=0)
    before, after, _ = after_one_step(setting, [Replaced(), Brightness(), Brightness()])
    torch.testing.assert_close(after, (before + 1).clamp(0, 255), atol=1e-3, rtol=0)


def test_a_regularizer_with_four_methods_is_called_in_their_order(setting):
    whole = Whole()
    after_one_step(setting, [whole])
    assert whole.calls[-4:] == ["view", "loss", "gradient", "project"]


@pytest.mark.parametrize(
    ("regularizer", "says"),
    [
        (object(), r"object.* view\(images, step\), loss\(step\), gradient\(gradient, step\) and project\(step\)"),
        (lambda step: 0, "lambda.* does nothing"),
        (Clip, r"Clip is a class; give an instance of it, as in Clip\(\)"),
    ],
)
def test_what_is_no_regularizer_is_refused_with_the_methods_that_count(setting, regularizer, says):
    with pytest.raises(UserError, match=says):
        Stage(Pixels(setting), Ascent, [Clip(), regularizer])
