"""Lets the tests of this folder share caffe_encoder.py, under either import mode of pytest."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
