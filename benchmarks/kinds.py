"""Counts the kinds of a class that the seeds of a plain search show, without `facets=`, on doodles.

    python benchmarks/kinds.py PRIOR [PRIOR ...] [--methods guided guided_from_noise dgn_am] [--seeds 8]

Doodles have two or three known kinds (facets) in most classes. A kind is shown if the judge puts a picture into its
class and the judge of facets into the kind (`dgn.metrics.facet_recognition`). Columns: the classes of sixteen with
every kind, the share of pictures that are recognized, and the classes that lack a kind.
"""

import argparse

from hydra.utils import instantiate
from tradeoff import searcher

from dgn import Prior
from dgn.cli.config import compose
from dgn.cli.networks import network
from dgn.metrics.facet_recognition import doodle_facet_judges, facet_coverage
from dgn.prior.location import find_prior


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("priors", nargs="+", help="prior files or run folders, of doodles")
    parser.add_argument("--methods", nargs="+", default=["guided", "guided_from_noise", "dgn_am"])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--judge", nargs="+", default=["judge=mini_resnet"], help="overrides that name the judge")
    options = parser.parse_args()
    print("| prior | method | classes with every kind | recognized | without one |\n" + "|---" * 5 + "|")
    for path in options.priors:
        prior = Prior.load(find_prior(path))
        data = instantiate({key: value for key, value in prior.about["data"].items() if key != "classes"})
        judge = network(compose("visualize", options.judge).judge, data)
        experts = doodle_facet_judges(judge, data.classes, prior.image_size)
        units = f"{prior.encoder_net().class_layer()}:0-{len(data.classes) - 1}"
        for name in options.methods:
            preferred = searcher(name)(prior, units, seeds=options.seeds, data=data)
            labels = [objective.label for objective in preferred.objectives]
            coverage = facet_coverage(judge, experts, preferred.images, labels)
            absent = [name for name in coverage.shown if name not in coverage.complete]
            shown = sum(len(places) for kinds in coverage.shown.values() for places in kinds.values())
            print(
                f"| {path} | `{name}` | {len(coverage.complete)} of {len(coverage.shown)} | "
                f"{shown / len(labels):.2f} | {', '.join(absent)} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
