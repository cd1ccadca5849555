"""Several processes that train one prior together: starting and ending them where no launcher did.

`run_in_processes` calls a function in each, and not the command line again, which in a multirun would start the
multirun once more in every process. `dgn.runs.ranks` says which of them one is.

torch.distributed.launcher.elastic_launch is not used: it spawns processes that each import torch and the program anew,
and kills them 30 seconds after a signal, however long they take to save the run.
"""

import json
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import connection, get_all_start_methods, get_context, parent_process
from pathlib import Path
from typing import Any

from dgn.errors import NOTHING_SAVED, Interrupted, UserError
from dgn.runs.signals import send

log = logging.getLogger(__name__)

_GRACE = 20.0  # seconds that the others get to end on their own when one process has failed


def run_in_processes(
    function: Callable[..., Any], arguments: Sequence[Any], count: int, preload: Sequence[str] = ()
) -> Any:
    """Calls function(*arguments) in `count` new processes of this machine.

    Each process has RANK, WORLD_SIZE and the other variables of torchrun in its environment. Ctrl-C and SIGTERM are
    forwarded. If a process fails, the others are ended. If this process dies, they end themselves.

    Args:
        function: The function to call.
        arguments: Its arguments, which are pickled.
        count: The number of processes.
        preload: Modules that the processes need, imported once for all of them.

    Returns:
        The result of the process of rank 0, converted to JSON (paths are strings).

    Raises:
        UserError: If a process raised it. The same holds for Interrupted.
        RuntimeError: If a process failed otherwise.
    """
    context = _context(preload)
    with tempfile.TemporaryDirectory(prefix="dgn-ranks-") as folder:
        logs = [(h.baseFilename, h.formatter) for h in logging.root.handlers if isinstance(h, logging.FileHandler)]
        surroundings = (dict(os.environ), os.getcwd())
        given = (function, tuple(arguments), count, _free_port(), Path(folder), logs, surroundings)
        processes = [context.Process(target=_rank_main, args=(i, *given), name=f"rank {i}") for i in range(count)]
        with _starting():
            for process in processes:
                process.start()
        with _passing_signals_to(processes):
            _wait_for(processes)
        outcomes = [_read(Path(folder) / f"{i}.json") for i in range(count)]
    return _outcome(outcomes, [process.exitcode for process in processes])


def _context(preload: Sequence[str]) -> Any:
    """How processes start: as copies of one that has imported what they need, and touched no GPU; on Windows, anew."""
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload(list(preload))
    return context


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def _starting() -> Iterator[None]:
    """Ignores Ctrl-C while processes start. They inherit this until they install their own handlers."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _passing_signals_to(processes: Sequence[Any]) -> Iterator[None]:
    """Forwards Ctrl-C and SIGTERM to the processes, which save and end. After the block no process is left."""

    def pass_on(number: int, frame: Any) -> None:
        for process in processes:
            if process.is_alive():
                send(process.pid, number)

    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()
            process.join()
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait_for(processes: Sequence[Any]) -> None:
    deadline = None
    while alive := [process for process in processes if process.is_alive()]:
        connection.wait([process.sentinel for process in alive], timeout=0.5)
        if deadline is None and any(process.exitcode for process in processes):
            deadline = time.monotonic() + _GRACE
        if deadline is not None and time.monotonic() > deadline:
            return  # the remaining processes wait for one that has ended


def _rank_main(
    number: int,
    function: Callable,
    arguments: tuple,
    count: int,
    port: int,
    folder: Path,
    logs: list,
    surroundings: tuple[dict[str, str], str],
) -> None:
    """The main function of each process: sets its environment, calls the function, and writes its outcome."""
    # A new session: Ctrl-C in the terminal arrives once, through the parent process.
    if hasattr(os, "setsid"):
        os.setsid()
    signal.signal(signal.SIGINT, _stop)
    signal.signal(signal.SIGTERM, _stop)
    threading.Thread(target=_follow_parent, daemon=True).start()
    environment, directory = surroundings
    os.chdir(directory)
    os.environ.clear()
    os.environ |= environment | {
        "RANK": str(number),
        "LOCAL_RANK": str(number),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "GROUP_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "dgn",  # so that Lightning, too, takes it for a process of torchrun's
    }
    _configure_logging(number, logs)
    try:
        outcome = {"made": function(*arguments)}
    except UserError as error:
        outcome = {"user_error": str(error)}
    except Interrupted as error:
        outcome = {"signal": error.signal, "message": str(error)}
    except Exception as error:
        logging.getLogger(__name__).exception("rank %d failed", number)
        outcome = {"error": f"{type(error).__name__}: {error}"}
    (folder / f"{number}.json").write_text(json.dumps(outcome, default=str), encoding="utf-8")
    _leave_group()
    # A nonzero status makes the parent end the other processes.
    sys.exit(int("error" in outcome or "user_error" in outcome))


def _stop(number: int, frame: Any) -> None:
    raise Interrupted(number, NOTHING_SAVED)


def follow_launcher() -> None:
    """From now on ends this process within seconds when the one that started it is gone.

    For the processes of joblib's launcher: if the program is killed, they would train on, beside a run that resumes.
    """
    launcher = os.getppid()

    def wait() -> None:
        while os.getppid() == launcher:
            time.sleep(1)

    threading.Thread(target=_end_after, args=(wait,), daemon=True).start()


def _follow_parent() -> None:
    """Ends this process when the one that started it is gone."""
    parent = parent_process()
    assert parent is not None  # this is one of several processes that `run_in_processes` started
    _end_after(lambda: connection.wait([parent.sentinel]))


def _end_after(wait: Callable[[], object]) -> None:
    """Waits, and then ends this process: as for SIGTERM, and by force if that takes long."""
    wait()
    send(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    os._exit(1)


def _leave_group() -> None:
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def _configure_logging(number: int, logs: list) -> None:
    """Rank 0 logs as a single process does; the other ranks log only errors."""
    root = logging.getLogger()
    screen = logging.StreamHandler(sys.stdout)
    screen.setFormatter(logging.Formatter("%(message)s"))
    handlers: list[logging.Handler] = [screen]
    if number == 0:
        for path, formatter in logs:
            handlers.append(logging.FileHandler(path, encoding="utf-8"))
            handlers[-1].setFormatter(formatter)
    root.handlers[:] = handlers
    root.setLevel(logging.INFO if number == 0 else logging.ERROR)


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _outcome(outcomes: list[dict[str, Any]], codes: list[int | None]) -> Any:
    for kind in ("user_error", "error", "signal"):
        for number, outcome in enumerate(outcomes):
            if kind not in outcome:
                continue
            if kind == "user_error":
                raise UserError(outcome[kind])
            if kind == "signal":
                raise Interrupted(outcome["signal"], outcome["message"])
            raise RuntimeError(f"process {number} of {len(outcomes)} failed: {outcome[kind]}")
    if "made" not in outcomes[0] or any(codes):
        ended = ", ".join(f"{number}: {code}" for number, code in enumerate(codes))
        raise RuntimeError(f"a process ended without a word (exit statuses {ended}); it was killed, or memory ran out")
    return outcomes[0]["made"]
