"""The programs dgn-train, dgn-visualize, ...; train.py and the other files at the top of a checkout call the same."""

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from dgn.cli.config import check_complete, plain, resumed
from dgn.cli.entry import entry_point
from dgn.runs.folders import finished, measured, result
from dgn.runs.ranks import rank

# Programs import most modules inside their functions, so that `--help` does not wait for torch.


@entry_point("train")
def train(config: DictConfig) -> float | None:
    """Runs or resumes the training of the config's task and prints the path of the file that it wrote.

    Returns config.metric, the value that a sweeper optimizes; None if the command only listed layers.
    """
    folder = Path(HydraConfig.get().runtime.output_dir)
    values = plain(resumed(config, folder))
    if values["encoder"].get("layers") is not None or values["comparator"].get("layers") == "list":
        from dgn.cli.networks import asked_to_list, list_layers

        if (role := asked_to_list(values, "encoder", "comparator")) is not None:
            list_layers(values, role)
            return None
    check_complete(values, "train")
    path = result(folder, values["trainer"]["max_steps"])
    if path is None:
        from dgn.cli.job import run

        path = run(values, folder)
    elif rank() == 0:
        print("This run is finished: nothing is left to do")
    if rank() == 0:
        print(path)
    return measured(folder, values["metric"])


@entry_point("visualize")
def visualize(config: DictConfig) -> None:
    """Synthesizes preferred images of units, or resumes a run that was stopped; prints the path of the gallery."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    if config.resume is not None and finished(folder):
        print("This run is finished: nothing is left to do")
        print(folder / "index.html")
        return
    from dgn.cli.visualize import visualize as make_gallery

    page = make_gallery(plain(config), folder)
    if page is not None:
        print(page)


@entry_point("compare", positional="runs")
def compare(config: DictConfig) -> None:
    """Compares runs; prints the path of the comparison."""
    from dgn.cli.compare import compare as make_comparison

    print(make_comparison(plain(config), Path(HydraConfig.get().runtime.output_dir)))


@entry_point("toolbox")
def toolbox(config: DictConfig) -> None:
    """Serves a live page that looks into a network."""
    from dgn.cli.config import given_overrides
    from dgn.cli.toolbox import toolbox as serve

    values = plain(config)
    check_complete(values, "toolbox")
    serve(values, given_overrides(), Path(HydraConfig.get().runtime.output_dir))


@entry_point("study")
def study(config: DictConfig) -> None:
    """Runs or resumes a study, and prints the path of its page."""
    from dgn.cli.study import run

    print(run(plain(config), Path(HydraConfig.get().runtime.output_dir)))
