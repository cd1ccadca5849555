"""An entry point: Hydra's command line, with words that a user types, errors in one line, and interruptions."""

import json
import logging
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dgn.cli.arguments import hydra_arguments
from dgn.cli.config import register_resolvers
from dgn.cli.config_folders import package_configs, prepare_hydra
from dgn.cli.error_messages import explain, of_hydra, wrong_kind
from dgn.cli.multirun import watching
from dgn.cli.names import with_names
from dgn.cli.renamed import refuse_former_targets
from dgn.errors import NOTHING_SAVED, Interrupted, OtherRun, UserError
from dgn.files import write_whole
from dgn.runs.folders import FAILED
from dgn.runs.programs import note_program
from dgn.runs.ranks import rank
from dgn.runs.threads import wait_briefly

log = logging.getLogger(__name__)

_MENDABLE = (UserError, HydraException, OmegaConfBaseException)


def entry_point(name: str, positional: str | None = None) -> Callable[[Callable[[DictConfig], Any]], Callable[[], Any]]:
    """Turns a function of a config into the command line of conf/NAME.yaml.

    Errors that a user can fix are printed in one line, with exit status 2. An interrupted run prints how to resume it,
    with status 128 + signal. In a multirun, a job that fails writes failed.json into its folder, the other jobs
    continue, and the command ends with status 1.

    Args:
        name: train, visualize or compare.
        positional: The key whose list is made of the words without a key.
    """
    register_resolvers()

    def decorate(main: Callable[[DictConfig], Any]) -> Callable[[], Any]:
        def command_line() -> None:
            os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here whole; here they become one line
            ended: list[BaseException] = []
            bugs: list[Exception] = []
            several = bool({"-m", "--multirun"} & set(sys.argv))

            def job(config: DictConfig) -> Any:
                folder = Path(HydraConfig.get().runtime.output_dir)
                nonlocal several
                several = HydraConfig.get().mode == RunMode.MULTIRUN
                (folder / FAILED).unlink(missing_ok=True)
                prepare_hydra()  # a launcher may have started this process
                if not several:
                    _warn_of_unused(HydraConfig.get().overrides.hydra)
                if multiprocessing.get_start_method(allow_none=True) == "loky":  # in a process of joblib's launcher
                    # Its children would be joblib's, which neither data loaders nor `run_in_processes` can start.
                    multiprocessing.set_start_method(None, force=True)
                try:
                    refuse_former_targets(OmegaConf.to_container(config))
                    return main(with_names(config))
                except (Interrupted, KeyboardInterrupt) as error:
                    ended.append(error)
                    if several:
                        raise KeyboardInterrupt from error  # the one thing that Hydra lets end a multirun
                except Exception as error:
                    found = error if isinstance(error, UserError) else wrong_kind(name) or error
                    if not several and not isinstance(found, _MENDABLE):
                        bugs.append(error)
                        raise
                    ended.append(found)  # Hydra would print a line of its own
                    if isinstance(found, OtherRun) and several:
                        raise  # a finished run may be there: no word is left, and nothing compared
                    if several:
                        _leave_word(folder, found, name)
                return None

            failed: list[Path] = []
            try:
                note_program()
                wait_briefly()
                sys.argv[1:] = hydra_arguments(sys.argv[1:], positional) + _of_a_further_process()
                prepare_hydra()
                with _terminable(), watching(failed):
                    hydra.main(version_base="1.3", config_path=str(package_configs()), config_name=name)(job)()
            except (KeyboardInterrupt, Interrupted) as error:
                stopped = next((e for e in ended if isinstance(e, Interrupted)), error)
                message, status = _last_words(stopped, name)
                if several:
                    message = message.replace(NOTHING_SAVED, "stopped")
                    message += "; resume the multirun with the same command and resume=auto"
                _end(message, status)
            except _MENDABLE as error:
                _end(*_last_words(error, name))
            except Exception as error:  # Hydra's, or of the launcher and the sweeper that it runs
                if error in bugs:
                    raise
                _end(*(_last_words(ended[0], name) if ended else (f"error: {of_hydra(error, several)}", 2)))
            if failed:
                jobs = [folder for folder in failed if folder.name.isdigit()]
                parts = [f"{len(jobs)} of the jobs failed: {', '.join(map(str, jobs))}"] if jobs else []
                _end("; ".join(parts + ["the comparison failed"] * (len(jobs) < len(failed))), 1)
            if ended and not failed:
                _end(*_last_words(ended[0], name))

        return command_line

    return decorate


def _warn_of_unused(overrides: Sequence[str]) -> None:
    """Warns of a launcher or a sweeper that is chosen for a single run, where Hydra uses neither."""
    for override in overrides:
        if override.split("=")[0].lstrip("+") in ("hydra/launcher", "hydra/sweeper"):
            log.warning("%s is not used: it is for a multirun; add -m to the command", override)


def _of_a_further_process() -> list[str]:
    """What Hydra is told in a process that a launcher started beside that of rank 0, which alone writes."""
    if rank() == 0:
        return []
    if {"-m", "--multirun"} & set(sys.argv):
        raise UserError("a multirun starts its own processes: start it without torchrun or srun")
    return ["hydra.output_subdir=null", "hydra/job_logging=none", "hydra/hydra_logging=none"]


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends the program as Ctrl-C does, until a run takes both to save itself first."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        raise Interrupted(number, NOTHING_SAVED)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _leave_word(folder: Path, error: Exception, name: str) -> None:
    """Writes failed.json, with the error and its traceback, into the folder of a multirun's job."""
    expected = isinstance(error, _MENDABLE)
    message = _last_words(error, name)[0] if expected else f"error: {type(error).__name__}: {error}"
    trace = "" if expected else "".join(traceback.format_exception(error))
    write_whole(folder / FAILED, json.dumps({"error": message.removeprefix("error: "), "traceback": trace}, indent=1))
    log.error("%s%s; the other jobs continue", f"{trace}\n" if trace else "", message)


def _last_words(error: BaseException, name: str) -> tuple[str, int]:
    """Returns the message about the end of a run, and the exit status."""
    if isinstance(error, Interrupted):
        return str(error), 128 + error.signal
    if isinstance(error, KeyboardInterrupt):
        return NOTHING_SAVED, 130
    ours: BaseException | None = error
    while ours is not None and not isinstance(ours, UserError):
        ours = ours.__cause__ or ours.__context__  # where Hydra has wrapped it
    if ours is None:
        return f"error: {explain(error, name)}", 2
    error = ours
    # What a data worker raises comes with the worker's traceback; the last line is ours.
    return f"error: {str(error).strip().splitlines()[-1].removeprefix('dgn.errors.UserError: ')}", 2


def _end(message: str, status: int) -> None:
    print(message, file=sys.stderr)
    sys.exit(status)
