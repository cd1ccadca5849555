"""Elements of the page that show pictures, and that pick them."""

from nicegui import run, ui
from torch import Tensor

from dgn.errors import UserError
from dgn.toolbox.pictures import data_url
from dgn.toolbox.workbench import Workbench


def show_picture(element: ui.element, image: Tensor) -> None:
    """Shows an image (3, H, W) in an element of the page, an img."""
    element.props["src"] = data_url(image)
    element.update()


async def pick_example(bench: Workbench, number: ui.number) -> tuple[Tensor, str] | None:
    """Returns the doodle whose number is typed, and its name; None, and a line on the page, if there is none."""
    if number.value is None:
        return None
    index = int(number.value)
    try:
        image = await run.io_bound(bench.example, index)
    except UserError as error:
        ui.notify(str(error), type="warning")
        return None
    return None if image is None else (image, f"{bench.examples} {index}")  # None: the application ends
