"""A program as a target: it reads the paths of images and writes their scores."""

import json
import queue
import shlex
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dgn.data.images import save_png
from dgn.errors import UserError
from dgn.networks.laboratory.black_box import BlackBox, channel_names
from dgn.networks.laboratory.canvas import Canvas
from dgn.networks.laboratory.functions import as_scores

_PAUSES = (0.1, 1.0, 5.0)
"""Seconds before a program that has died is started again; then the search ends, and can be resumed."""


_OTHER_TEXT = "other text belongs on stderr"


class ProgramScorer:
    """Scores images by a program of any language.

    protocol="paths": it is started for every block of images, reads their paths on stdin, one a line, until that ends,
    and writes a line for each on stdout: its score, or its scores with spaces or commas between them. protocol="json":
    it is started once. Each line that it reads is a request, `{"id": 3, "images": ["/tmp/.../0.png", ...]}`, and it
    answers with a line `{"id": 3, "scores": [0.5, null, ...]}`. `nan` or `null`: no score.

    Args:
        command: the command line, which no shell interprets.
        channels: names of the scores.
        protocol: "paths" or "json".
        canvas: how images are presented.
        timeout: seconds that a block may take; None: no limit.
    """

    repeatable = True
    _session: "_Session | None" = None

    def __init__(
        self,
        command: str,
        channels: Sequence[str],
        protocol: str = "paths",
        canvas: Canvas | None = None,
        timeout: float | None = None,
    ) -> None:
        if protocol not in ("paths", "json"):
            raise UserError(f"target.protocol={protocol}: give paths or json")
        self.channels, self.name, self.timeout = tuple(channels), command, timeout
        self.canvas = canvas or Canvas()
        try:
            self._arguments, self._protocol = shlex.split(command), protocol
        except ValueError as error:  # a quotation mark that is not closed
            raise UserError(f"target.command={command}: {str(error).lower()}; write it as in a shell") from None
        self._requests = 0

    def __call__(self, images: Tensor) -> Tensor:
        folder = Path(tempfile.mkdtemp(prefix="dgn-images-"))
        try:
            paths = [folder / f"{i:04d}.png" for i in range(len(images))]
            for image, path in zip(self.canvas.show(images), paths, strict=True):
                save_png(image, path)
            ask = self._ask_paths if self._protocol == "paths" else self._ask_json
            return as_scores(self._patiently(ask, paths), len(images), len(self.channels), f"the program {self.name}")
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Ends the program, if it runs."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def __del__(self) -> None:
        self.close()

    def _patiently(self, ask: Any, paths: Sequence[Path]) -> Any:
        """Asks a program again that has died."""
        for pause in (*_PAUSES, None):
            try:
                return ask([str(path) for path in paths])
            except _Died as died:
                self.close()
                if pause is None:
                    raise UserError(f"the program {self.name} {died}, {len(_PAUSES) + 1} times in a row") from None
                time.sleep(pause)
        raise AssertionError  # the last pause is None

    def _ask_paths(self, paths: list[str]) -> Any:
        lines = "".join(f"{path}\n" for path in paths)
        try:
            done = subprocess.run(
                self._arguments, input=lines, capture_output=True, text=True, timeout=self.timeout, check=False
            )
        except FileNotFoundError:
            raise self._not_found() from None
        except subprocess.TimeoutExpired:
            raise UserError(self._late()) from None
        if done.returncode:
            raise _Died(_how_it_ended(done.returncode, done.stderr))
        rows = [line.replace(",", " ").split() for line in done.stdout.splitlines() if line.strip()]
        return self._numbers(rows, len(paths))

    def _numbers(self, rows: list[list[str]], count: int) -> Any:
        if len(rows) != count:
            raise UserError(f"the program {self.name} wrote {len(rows)} lines for {count} images; one each is expected")
        values: list[list[float]] = []
        for i, row in enumerate(rows, 1):
            try:
                values.append([float(entry) for entry in row])
            except ValueError:
                text = " ".join(row)
                raise UserError(
                    f"the program {self.name} wrote {text[:60]!r} in line {i}, not a score; {_OTHER_TEXT}"
                ) from None
            if len(row) != len(self.channels):
                raise UserError(
                    f"the program {self.name} wrote {len(row)} scores in line {i}, and target.scores= says "
                    f"{len(self.channels)}: give their number or their names there"
                )
        return torch.tensor(values)

    def _ask_json(self, paths: list[str]) -> Any:
        self._requests += 1
        if self._session is None:
            try:
                self._session = _Session(self._arguments)
            except FileNotFoundError:
                raise self._not_found() from None
        request = {"id": self._requests, "images": paths}
        try:
            line = self._session.answer(json.dumps(request), self.timeout)
        except queue.Empty:
            self.close()
            raise UserError(self._late()) from None
        try:
            answer = json.loads(line)
            scores, number = answer["scores"], answer["id"]
            values = [[_score(one) for one in (row if isinstance(row, list) else [row])] for row in scores]
        except (ValueError, TypeError, KeyError):
            raise UserError(
                f'the program {self.name} answered {line.strip()[:60]!r}; {{"id": {self._requests}, "scores": [...]}} '
                f"is expected; {_OTHER_TEXT}"
            ) from None
        if number != self._requests:
            raise UserError(f"the program {self.name} answered request {number} instead of {self._requests}")
        if any(len(row) != len(values[0]) for row in values):
            raise UserError(f"the program {self.name} answered rows of different lengths")
        return torch.tensor(values)

    def _not_found(self) -> UserError:
        return UserError(f"target.command={self.name}: no program {self._arguments[0]!r}; check its path")

    def _late(self) -> str:
        return f"the program {self.name} gave no scores within {self.timeout:g} s (target.timeout)"


class _Died(Exception):
    """A program ended before it answered; the message says how."""


class _Session:
    """A program that keeps running, and answers a line with a line."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the session)
        self._process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, bufsize=1
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def answer(self, line: str, timeout: float | None) -> str:
        """Sends a line and returns the answer. Raises _Died, or queue.Empty after `timeout` seconds."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except OSError:
            raise self._died() from None
        answer = self._lines.get(timeout=timeout)
        if not answer:
            raise self._died()
        return answer

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._errors):
            try:
                if pipe is not None:
                    pipe.close()
            except OSError:
                pass  # what was not yet sent has no reader

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                if line.strip():
                    self._lines.put(line)
        self._lines.put("")  # the end

    def _died(self) -> _Died:
        status = self._process.wait()
        self._errors.seek(0)
        return _Died(_how_it_ended(status, self._errors.read().decode(errors="replace")))


def program_target(
    command: str | None = None,
    scores: int | Sequence[str] = 1,
    protocol: str = "paths",
    canvas: Canvas | None = None,
    timeout: float | None = None,
    **_: Any,
) -> BlackBox:
    """Makes a target of a program. Arguments as for `ProgramScorer`, and the number or the names of its scores.

    Raises:
        UserError: if no program is named.
    """
    if not command:
        raise UserError("which program? give target.command='python lab.py'; it reads paths of images on stdin")
    return BlackBox(ProgramScorer(command, channel_names(scores), protocol, canvas, timeout))


def _score(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _how_it_ended(status: int, errors: str) -> str:
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    said = f": {lines[-1][:120]}" if lines else ""
    return f"ended with status {status}{said}"
