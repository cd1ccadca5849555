"""Entry points: Hydra's command line with errors in one line and with interruptions that can be resumed."""

import io
import json
import logging
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager
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
from dgn.cli.error_messages import explain, explain_launch, wrong_kind
from dgn.cli.machine_failures import machine_failure
from dgn.cli.multirun import watching
from dgn.cli.names import with_names
from dgn.cli.renamed import refuse_former_targets
from dgn.errors import NOTHING_SAVED, Interrupted, OtherRun, UserError, one_line
from dgn.files import write_whole
from dgn.runs.folders import FAILED
from dgn.runs.memory import keep_freed_memory
from dgn.runs.processes import follow_launcher
from dgn.runs.programs import note_program
from dgn.runs.ranks import rank
from dgn.runs.threads import wait_briefly

log = logging.getLogger(__name__)

_EXPECTED = (UserError, HydraException, OmegaConfBaseException)


def entry_point(name: str, positional: str | None = None) -> Callable[[Callable[[DictConfig], Any]], Callable[[], Any]]:
    """Turns a function of a config into the command line of conf/NAME.yaml.

    Errors that a user can fix are printed in one line, and the exit status is 2. An interrupted run prints how to
    resume it; its exit status is 128 + signal. In a multirun, a job that fails writes failed.json into its folder, the
    other jobs continue, and the exit status of the command is 1.

    Args:
        name: train, visualize or compare.
        positional: The key that takes the list of arguments without a key.
    """
    register_resolvers()
    return lambda main: lambda: _CommandLine(name, positional, main).run()


class _CommandLine:
    """One execution of a program, from its arguments to its exit status.

    Attributes:
        several: Whether it is a multirun.
        failures: The errors of its jobs that will be printed, in order.
        bugs: Errors in our code, which are raised with their traceback.
        failed_jobs: Folders in which a job of a multirun, or its comparison, failed.
    """

    def __init__(self, name: str, positional: str | None, main: Callable[[DictConfig], Any]) -> None:
        self.name, self.positional, self.main = name, positional, main
        self.several = bool({"-m", "--multirun"} & set(sys.argv))
        self.failures: list[BaseException] = []
        self.bugs: list[BaseException] = []
        self.failed_jobs: list[Path] = []

    def run(self) -> None:
        """Runs the job, or the jobs of a multirun. Exits with a message if anything fails."""
        os.environ["HYDRA_FULL_ERROR"] = "1"  # makes Hydra raise errors, which are formatted here
        try:
            self._prepare()
            with _terminable(), watching(self.failed_jobs):
                hydra.main(version_base="1.3", config_path=str(package_configs()), config_name=self.name)(self.job)()
        except (KeyboardInterrupt, Interrupted) as error:
            self._end_interrupted(error)
        except BrokenPipeError:  # who reads the output has read enough, as `| head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(128 + signal.SIGPIPE)
        except _EXPECTED as error:
            _end(*_ending(error, self.name))
        except Exception as error:
            if error in self.bugs:
                raise
            self._end_in_hydra(error)
        self._end_failed()

    def job(self, config: DictConfig) -> Any:
        """Runs one job. Hydra calls it with the config, in a multirun once per job and possibly in other processes."""
        folder = Path(HydraConfig.get().runtime.output_dir)
        self.several = HydraConfig.get().mode == RunMode.MULTIRUN
        (folder / FAILED).unlink(missing_ok=True)
        prepare_hydra()  # a launcher may have started this process
        if not self.several:
            _warn_of_unused(HydraConfig.get().overrides.hydra)
        if multiprocessing.get_start_method(allow_none=True) == "loky":  # in a process of joblib's launcher
            # Neither data loaders nor `run_in_processes` can start processes with joblib's start method.
            multiprocessing.set_start_method(None, force=True)
            follow_launcher()
        try:
            refuse_former_targets(OmegaConf.to_container(config))
            # Paths are relative to where the command was started, also with hydra.job.chdir=true; outputs have
            # absolute paths.
            with chdir(HydraConfig.get().runtime.cwd):
                return self.main(with_names(config))
        except (Interrupted, KeyboardInterrupt) as error:
            self.failures.append(error)
            if self.several:
                raise KeyboardInterrupt from error  # the only exception with which Hydra ends a multirun
        except Exception as error:
            self._job_failed(error, folder)
        return None

    def _prepare(self) -> None:
        """Prepares the process before Hydra reads the arguments and before torch is imported."""
        _print_any_letter()
        note_program()
        wait_briefly()
        keep_freed_memory()
        os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")  # operations that mps lacks run on the CPU
        sys.argv[1:] = hydra_arguments(sys.argv[1:], self.positional) + _arguments_beside_rank_0()
        prepare_hydra()

    def _job_failed(self, error: Exception, folder: Path) -> None:
        """Stores an error to be printed at the end, because Hydra would add a line of its own; raises a bug."""
        failure = machine_failure(error, self.name, folder) or error
        if not isinstance(failure, UserError):
            failure = wrong_kind(self.name) or error
        if not self.several and not isinstance(failure, _EXPECTED):
            self.bugs.append(error)
            raise error
        self.failures.append(failure)
        if self.several:
            if isinstance(failure, OtherRun):
                raise failure  # the folder may hold a finished run: nothing is written, and nothing is compared
            _write_failed(folder, failure, self.name)

    def _end_interrupted(self, error: BaseException) -> None:
        interrupted = next((failure for failure in self.failures if isinstance(failure, Interrupted)), error)
        message, status = _ending(interrupted, self.name)
        if self.several:
            message = message.replace(NOTHING_SAVED, "stopped")
            message += "; resume the multirun with the same command and resume=auto"
        _end(message, status)

    def _end_in_hydra(self, error: Exception) -> None:
        """Exits after an error of Hydra, or of a launcher or sweeper."""
        if self.failures:
            _end(*_ending(self.failures[0], self.name))
        _end(f"error: {explain_launch(error, self.several)}", 2)

    def _end_failed(self) -> None:
        """Exits with an error if any job has failed."""
        if self.failed_jobs:
            jobs = [folder for folder in self.failed_jobs if folder.name.isdigit()]
            parts = [f"{len(jobs)} of the jobs failed: {', '.join(map(str, jobs))}"] if jobs else []
            if len(jobs) < len(self.failed_jobs):
                parts.append("the comparison failed")
            _end("; ".join(parts), 1)
        if self.failures:
            _end(*_ending(self.failures[0], self.name))


def _print_any_letter() -> None:
    """Letters that the terminal's encoding does not have, as on Windows, are printed as question marks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _warn_of_unused(overrides: Sequence[str]) -> None:
    """Warns if a launcher or a sweeper is chosen for a single run, for which Hydra uses neither."""
    for override in overrides:
        if override.split("=")[0].lstrip("+") in ("hydra/launcher", "hydra/sweeper"):
            log.warning("%s has no effect on a single run; add -m to the command to start a multirun", override)


def _arguments_beside_rank_0() -> list[str]:
    """Returns arguments that keep Hydra from writing files in a process of a rank other than 0."""
    if rank() == 0:
        return []
    if {"-m", "--multirun"} & set(sys.argv):
        raise UserError("a multirun starts its own processes: start it without torchrun or srun")
    return ["hydra.output_subdir=null", "hydra/job_logging=none", "hydra/hydra_logging=none"]


@contextmanager
def _terminable() -> Iterator[None]:
    """Makes SIGTERM end the program like Ctrl-C, until a run handles both to save a checkpoint first."""
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


def _write_failed(folder: Path, error: Exception, name: str) -> None:
    """Writes failed.json, with the error and its traceback, into the folder of a multirun's job."""
    expected = isinstance(error, _EXPECTED)
    message = _ending(error, name)[0] if expected else f"error: {type(error).__name__}: {error}"
    trace = "" if expected else "".join(traceback.format_exception(error))
    write_whole(folder / FAILED, json.dumps({"error": message.removeprefix("error: "), "traceback": trace}, indent=1))
    log.error("%s%s; the other jobs continue", f"{trace}\n" if trace else "", message)


def _ending(error: BaseException, name: str) -> tuple[str, int]:
    """Returns the message about the end of a run, and the exit status."""
    if isinstance(error, Interrupted):
        return str(error), 128 + error.signal
    if isinstance(error, KeyboardInterrupt):
        return NOTHING_SAVED, 130
    ours: BaseException | None = error
    while ours is not None and not isinstance(ours, UserError):
        ours = ours.__cause__ or ours.__context__  # Hydra wraps exceptions
    if ours is None:
        return f"error: {one_line(explain(error, name))}", 2
    error = ours
    # An exception of a data worker contains the worker's traceback; the message is at its end.
    return f"error: {one_line(str(error).rpartition('dgn.errors.UserError: ')[2])}", 2


def _end(message: str, status: int) -> None:
    print(message, file=sys.stderr)
    sys.exit(status)
