"""What Windows has not or does otherwise: imports, encodings, signals, ways to start processes, writing of files."""

import ast
import io
import os
import signal
import sys
from pathlib import Path

import pytest

from dgn.cli import entry
from dgn.files import kept_as, relative_path, write_whole
from dgn.runs import processes, signals

SOURCE = Path(__file__).resolve().parents[2]
FILES = [path for folder in ("dgn", "hydra_plugins") for path in (SOURCE / folder).rglob("*.py")]
POSIX_ONLY = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
POSIX_CALLS = {
    *("fork", "forkpty", "getpgid", "getuid", "geteuid", "killpg", "mkfifo", "nice", "sched_getaffinity", "setsid"),
    *("SIGKILL", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM", "alarm", "pause", "rename"),
}


def test_nothing_needs_what_only_posix_has():
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            assert not POSIX_ONLY & set(names), f"{path}:{node.lineno}"
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id in ("os", "signal")
            ):
                guarded = f'hasattr({node.value.id}, "{node.attr}")' in text
                assert node.attr not in POSIX_CALLS or guarded, f"{path}:{node.lineno}: {node.attr}"


def test_text_files_have_an_encoding():
    """Windows reads and writes cp1252 where none is given."""
    for path in (SOURCE / "dgn").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr in ("read_text", "write_text"):
                assert any(word.arg == "encoding" for word in node.keywords), f"{path}:{node.lineno}"


@pytest.fixture
def windows(monkeypatch):
    """os.kill as on Windows: it ends a process at once."""
    ended = []
    monkeypatch.setattr(signals, "WINDOWS", True)
    monkeypatch.setattr(os, "kill", lambda process, number: ended.append((process, number)))
    return ended


def test_a_signal_to_oneself_is_handled_and_ctrl_c_is_not_forwarded(windows):
    received = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    try:
        signals.send(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert received == [signal.SIGTERM]
    signals.send(1234567, signal.SIGINT)
    assert windows == []
    signals.send(1234567, signal.SIGTERM)
    assert windows == [(1234567, signal.SIGTERM)]


def _world() -> int:
    return int(os.environ["WORLD_SIZE"])


def test_processes_start_anew_where_there_is_no_fork_server(monkeypatch):
    assert processes._context(["json"]).get_start_method() == "forkserver"
    monkeypatch.setattr(processes, "get_all_start_methods", lambda: ["spawn"])
    assert processes._context(["json"]).get_start_method() == "spawn"
    assert processes.run_in_processes(_world, [], 1) == 1


def test_a_file_is_flushed_through_a_handle_that_may_write(tmp_path, monkeypatch):
    """As Windows demands it."""
    flushed = []
    monkeypatch.setattr(os, "fsync", lambda number: flushed.append(os.write(number, b"")))  # fails where it may not
    write_whole(tmp_path / "file.txt", "ö")
    assert flushed == [0]
    assert (tmp_path / "file.txt").read_bytes() == "ö".encode()


@pytest.mark.parametrize("links", ["refused", "absent"])
def test_an_earlier_file_is_kept_without_hard_links(tmp_path, monkeypatch, links):
    def refuse(*_):
        raise OSError("no hard links here")

    if links == "absent":
        monkeypatch.delattr(os, "link")
    else:
        monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "last").write_text("a")
    kept_as(tmp_path / "last", tmp_path / "previous")
    assert (tmp_path / "previous").read_text() == "a"


def test_links_have_forward_slashes_and_are_absolute_on_another_drive(tmp_path, monkeypatch):
    assert relative_path(tmp_path / "a" / "b", tmp_path / "c") == "../a/b"

    def on_another_drive(*_):
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    monkeypatch.setattr(os.path, "relpath", on_another_drive)
    assert relative_path(tmp_path / "a", tmp_path / "c") == (tmp_path / "a").as_posix()


def test_letters_that_the_terminal_does_not_have_are_printed_as_question_marks(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", stream)
    entry._print_any_letter()
    print("conv1 │ ö", file=stream, flush=True)
    assert stream.buffer.getvalue().decode("cp1252").splitlines() == ["conv1 ? ö"]
