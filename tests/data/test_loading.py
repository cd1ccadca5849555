import os
import signal
import subprocess
import sys
import time

import pytest

SCRIPT = """
import signal, time
from torch.utils.data import Dataset
from dgn.data.loading import Loader

class Slow(Dataset):
    def __len__(self):
        return 30
    def __getitem__(self, i):
        time.sleep(0.02)
        return i

received = []
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: received.append(number))
print("ready", flush=True)
read = [int(i) for _ in range(3) for i in Loader(Slow(), num_workers=2, batch_size=None)]
print(read == 3 * list(range(30)), sorted(set(received)) == [signal.SIGINT, signal.SIGTERM])
"""


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="Windows has no process groups")
def test_workers_go_on_when_the_whole_program_is_signalled_at_any_moment():
    program = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert program.stdout.readline() == "ready\n"
    while program.poll() is None:  # also while workers start, which takes some milliseconds
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                os.killpg(program.pid, number)
            except ProcessLookupError:
                break
        time.sleep(0.003)
        if program.stdout.closed:
            break
    out, err = program.communicate(timeout=60)
    assert out == "True True\n", err
