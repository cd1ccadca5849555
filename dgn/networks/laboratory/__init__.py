"""Targets that give scores for images and nothing else: functions, programs, and laboratories.

`function_target`, `program_target` and `folder_target` make a `BlackBox`, which visualize.py and `maximize` take as any
other target. `Canvas` says how images are presented.
"""

from dgn.networks.laboratory.black_box import BlackBox, Scorer
from dgn.networks.laboratory.canvas import Canvas
from dgn.networks.laboratory.folders import FolderScorer, folder_target
from dgn.networks.laboratory.functions import FunctionScorer, function_target
from dgn.networks.laboratory.programs import ProgramScorer, program_target

__all__ = [
    "BlackBox",
    "Canvas",
    "FolderScorer",
    "FunctionScorer",
    "ProgramScorer",
    "Scorer",
    "folder_target",
    "function_target",
    "program_target",
]
