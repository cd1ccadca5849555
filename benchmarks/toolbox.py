"""How many images the toolbox looks at in a second of one processor: decoding, all layers, the pictures of all tiles.

    python benchmarks/toolbox.py [--images 40]

Prints the median of five rounds for MiniCaffeNet with random weights, whose speed is that of trained ones. It counts
processor time, as other programs on the machine do not change it much.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch

from dgn.networks.zoo import mini_caffenet
from dgn.toolbox.pictures import data_url, from_data_url
from dgn.toolbox.see_panel import layers_as_html
from dgn.toolbox.workbench import Workbench


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=40)
    given = parser.parse_args()
    torch.set_num_threads(1)
    bench = Workbench(mini_caffenet(classes=16), {}, {}, {}, None, None, Path("."))
    sent = [data_url(bench.doodle(index)) for index in range(given.images)]
    rates = []
    for _ in range(5):
        began = time.process_time()
        for url in sent:
            layers_as_html(bench.look(from_data_url(url)), None, bench)
        rates.append(given.images / (time.process_time() - began))
    print(f"{statistics.median(rates):.1f} images per second of a processor ({min(rates):.1f} to {max(rates):.1f})")


if __name__ == "__main__":
    main()
