"""Set runs side by side: priors, or searches. `python compare.py RUN RUN ... [KEY=VALUE ...]`; `--help` explains."""

import json
import sys
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from dgn.entry import entry_point


@entry_point("compare")
def main(config: DictConfig) -> None:
    # Here, so that `--help` does not wait for torch.
    from dgn.tasks.compare import compare

    print(compare(config, Path(HydraConfig.get().runtime.output_dir)))


if __name__ == "__main__":
    folders = [argument for argument in sys.argv[1:] if "=" not in argument and not argument.startswith("-")]
    sys.argv[1:] = [argument for argument in sys.argv[1:] if argument not in folders]
    if folders:
        sys.argv.append(f"runs={json.dumps(folders)}")
    main()
