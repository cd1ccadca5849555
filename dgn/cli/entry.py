"""Entry points: Hydra's command line with positional arguments, one-line errors and handling of interruptions."""

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
    """Decorator that turns a function of a config into the command line of conf/NAME.yaml.

    User errors are printed in one line, with exit status 2. An interrupted run prints the command that resumes it, with
    exit status 128 + signal. A job of a multirun that fails writes failed.json to its folder; the other jobs continue,
    and the exit status is 1.

    Args:
        name: Name of the config in conf/.
        positional: The key that holds the arguments without a key, as a list. None accepts no such arguments.
    """
    register_resolvers()

    def decorate(main: Callable[[DictConfig], Any]) -> Callable[[], Any]:
        def command_line() -> None:
            os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises errors unchanged; they are formatted below
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
                    # Reset, as data loaders and `run_in_processes` cannot start processes with joblib's method.
                    multiprocessing.set_start_method(None, force=True)
                try:
                    refuse_former_targets(OmegaConf.to_container(config))
                    return main(with_names(config))
                except (Interrupted, KeyboardInterrupt) as error:
                    ended.append(error)
                    if several:
                        raise KeyboardInterrupt from error  # the only exception with which Hydra ends a multirun
                except Exception as error:
                    failure = error if isinstance(error, UserError) else wrong_kind(name) or error
                    if not several and not isinstance(failure, _MENDABLE):
                        bugs.append(error)
                        raise
                    ended.append(failure)  # not raised, as Hydra would print an additional line
                    if isinstance(failure, OtherRun) and several:
                        raise  # the folder may hold a finished run: no failed.json is written, nothing is compared
                    if several:
                        _leave_word(folder, failure, name)
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
                    message += "; the multirun goes on with the same command and resume=auto"
                _end(message, status)
            except _MENDABLE as error:
                _end(*_last_words(error, name))
            except Exception as error:  # raised by Hydra, its launcher or its sweeper
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
    """Warns if a launcher or a sweeper is selected for a single run, in which Hydra ignores them."""
    for override in overrides:
        if override.split("=")[0].lstrip("+") in ("hydra/launcher", "hydra/sweeper"):
            log.warning("%s is not used: it is for a multirun; add -m to the command", override)


def _of_a_further_process() -> list[str]:
    """Returns the overrides that stop Hydra from writing files in processes other than rank 0."""
    if rank() == 0:
        return []
    if {"-m", "--multirun"} & set(sys.argv):
        raise UserError("a multirun starts its own processes: start it without torchrun or srun")
    return ["hydra.output_subdir=null", "hydra/job_logging=none", "hydra/hydra_logging=none"]


@contextmanager
def _terminable() -> Iterator[None]:
    """Makes SIGTERM end the program as Ctrl-C does, until training installs handlers that save a checkpoint first."""
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
    """Writes failed.json, with the error and its traceback, to the folder of a multirun's job."""
    expected = isinstance(error, _MENDABLE)
    message = _last_words(error, name)[0] if expected else f"error: {type(error).__name__}: {error}"
    trace = "" if expected else "".join(traceback.format_exception(error))
    write_whole(folder / FAILED, json.dumps({"error": message.removeprefix("error: "), "traceback": trace}, indent=1))
    log.error("%s%s; the other jobs go on", f"{trace}\n" if trace else "", message)


def _last_words(error: BaseException, name: str) -> tuple[str, int]:
    """Returns the message with which a run ends, and the exit status."""
    if isinstance(error, Interrupted):
        return str(error), 128 + error.signal
    if isinstance(error, KeyboardInterrupt):
        return NOTHING_SAVED, 130
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, UserError):
        cause = cause.__cause__ or cause.__context__  # Hydra may have wrapped the UserError
    if cause is None:
        return f"error: {explain(error, name)}", 2
    # An error from a data worker includes the worker's traceback; its last line is the message.
    return f"error: {str(cause).strip().splitlines()[-1].removeprefix('dgn.errors.UserError: ')}", 2


def _end(message: str, status: int) -> None:
    print(message, file=sys.stderr)
    sys.exit(status)
