"""Show what the units of a network prefer to see, through a prior. `--help` explains."""

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from dgn.entry import entry_point


@entry_point("visualize")
def main(config: DictConfig) -> None:
    # Here, so that `--help` does not wait for torch.
    from dgn.tasks.visualize import visualize

    page = visualize(config, Path(HydraConfig.get().runtime.output_dir))
    if page is not None:
        print(page)


if __name__ == "__main__":
    main()
