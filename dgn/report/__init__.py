"""Reports of a run as files that a browser opens from disk: tables, contact sheets, galleries, figures, films."""

from dgn.data.images import reconstruction_grid
from dgn.files import image_name
from dgn.report.animation import save_animation
from dgn.report.comparison_figure import comparison_figure, save_comparison_figure
from dgn.report.contact_sheet import contact_sheet, save_contact_sheet
from dgn.report.contents import Comparison, Contender, Metric, RealImage, Trace, UnitNotes
from dgn.report.gallery import write_gallery
from dgn.report.results import Row, write_results

__all__ = [
    "Comparison",
    "Contender",
    "Metric",
    "RealImage",
    "Row",
    "Trace",
    "UnitNotes",
    "comparison_figure",
    "contact_sheet",
    "image_name",
    "reconstruction_grid",
    "save_animation",
    "save_comparison_figure",
    "save_contact_sheet",
    "write_gallery",
    "write_results",
]
