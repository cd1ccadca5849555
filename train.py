"""Fit a prior to a network's layer (task=prior), or a classifier to invert (task=encoder). `--help` explains."""

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from dgn.config import resumed
from dgn.entry import entry_point
from dgn.processes import rank
from dgn.runs import measured, result


@entry_point("train")
def main(config: DictConfig) -> float:
    """Returns what a sweeper optimizes: config.metric."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    config = resumed(config, folder)
    if config.encoder.get("layers") is not None or config.comparator.get("layers") == "list":
        from dgn.tasks.networks import asked_to_list, list_layers

        if (role := asked_to_list(config, "encoder", "comparator")) is not None:
            return list_layers(config, role)
    made = result(folder, config.trainer.max_steps)
    if made is None:
        # Here, so that `--help` does not wait for torch.
        from dgn.tasks.job import run

        made = run(config, folder)
    elif rank() == 0:
        print("This run is finished: nothing is left to do")
    if rank() == 0:
        print(made)
    return measured(folder, config.metric)


if __name__ == "__main__":
    main()
