"""What a run made, as files that a browser opens from disk: tables, contact sheets, galleries, image grids."""

from dgn.files import image_name
from dgn.report.contact_sheet import contact_sheet, save_contact_sheet
from dgn.report.figures import reconstruction_grid
from dgn.report.gallery import write_gallery
from dgn.report.results import Row, write_results

__all__ = [
    "Row",
    "contact_sheet",
    "image_name",
    "reconstruction_grid",
    "save_contact_sheet",
    "write_gallery",
    "write_results",
]
