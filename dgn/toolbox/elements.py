"""Elements of the page that show pictures."""

from nicegui import ui
from torch import Tensor

from dgn.toolbox.pictures import data_url


def show_picture(element: ui.element, image: Tensor) -> None:
    """Shows an image (3, H, W) in an element of the page, an img."""
    element.props["src"] = data_url(image)
    element.update()
