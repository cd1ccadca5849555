"""Measures the search for the training images nearest to preferred ones: seconds, passes over the images, memory.

    python benchmarks/memorization.py [ROOT] [--images 20000] [--units 100] [--seeds 4] [--methods 2]

ROOT has one folder per class; without it, the images are doodles, which are drawn at the first run. Each unit is
searched within a class, in pixels and in all code spaces of the small CaffeNet; units beyond the number of
classes share them. --images are divided among the classes that are searched. Preferred images are stand-ins: noise,
and for the first of each method a training image, which has to be results again. Fails if an image is read twice or if
the process takes more memory than --limit.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from dgn.data.datamodule import ImageData
from dgn.data.reference import Reference, TrainingImages
from dgn.data.sources import doodles, image_folder
from dgn.metrics.neighbours import code_spaces, nearest
from dgn.metrics.training_images import Numbered
from dgn.networks.zoo import mini_caffenet


class Counted:
    """Counts the real images that pass."""

    def __init__(self, real: Numbered) -> None:
        self.real, self.count = real, 0

    def __iter__(self) -> Iterator[tuple[list[int], Tensor, Tensor]]:
        for places, images, labels in self.real:
            self.count += len(places)
            yield list(places), images, labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, nargs="?", help="class folders of pictures; default: doodles")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--units", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--methods", type=int, default=2)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--limit", type=float, default=2, help="GiB of memory that may be taken")
    options = parser.parse_args()
    data, size = source(options), options.image_size
    searched = min(options.units, len(data.classes))
    training = TrainingImages(Reference(data, 2000), of_class=options.images // searched)
    net = mini_caffenet(classes=options.units)
    classes = [unit % len(data.classes) for unit in range(options.units) for _ in range(options.seeds)]
    generator = torch.Generator().manual_seed(0)
    shape = (len(classes), 3, size, size)
    sets = [torch.randint(0, 256, shape, generator=generator).byte() for _ in range(options.methods)]
    places = training.reference.of_classes(set(classes))
    places = {label: own[: training.of_class] for label, own in places.items()}
    copied = places[classes[0]][-1]
    for images in sets:
        images[0] = (training.reference.images_at([copied])[copied] * 255).round().byte()
    before, began, busy = memory(), time.perf_counter(), time.process_time()
    real = Counted(training.of_labels(set(classes)))
    results = nearest(sets, real, net, code_spaces(net), [classes] * len(sets))
    seconds, busy = time.perf_counter() - began, time.process_time() - busy
    wanted = sum(map(len, places.values()))
    print(
        f"{real.count} real images of {len(set(classes))} classes, {sum(map(len, sets))} preferred images, "
        f"{len(results[0])} spaces: {seconds:.1f} s, {busy:.1f} s of processors ({1000 * busy / real.count:.2f} ms "
        f"a real image), "
        f"{real.count / wanted:.0f} pass, {memory():.2f} GiB at most, {before:.2f} before"
    )
    for near in results:
        for space, its in near.items():
            assert its.indices[0] == copied, f"{space}: the copied image is {copied}, nearest was {its.indices[0]}"
            assert float(its.distances[0]) < 1e-2 * float(its.distances[1:].min()), f"{space}: the copy is not near"
    assert real.count == wanted, "an image was read twice, or not at all"
    assert memory() < options.limit, f"more than {options.limit} GiB"


def source(options: argparse.Namespace) -> ImageData:
    """The training images, as many as asked for or as there are."""
    if options.root is None:
        return doodles(options.image_size, train_images=options.images)
    data = image_folder(options.root, options.image_size, resize=options.image_size)
    print(f"{len(data.train_source)} training images in {options.root}")
    return data


def memory() -> float:
    """The most memory that this process has taken, in GiB."""
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    main()
