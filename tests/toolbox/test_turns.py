"""Sessions share the networks in turns, and work that is asked for too often is done as often as it can be."""

import asyncio
import threading
import time

from dgn.toolbox.latest import Latest
from dgn.toolbox.turns import Turns


def waiting(turns, count):
    """Waits until so many threads wait for their turn."""
    until = time.monotonic() + 20
    while len(turns._waiting) < count:
        assert time.monotonic() < until
        time.sleep(0.001)


def ask(turns, name, order):
    def work():
        with turns:
            order.append(name)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_who_asked_first_is_first_also_before_a_search_that_asks_again_at_once():
    turns, order = Turns(), []
    with turns:
        threads = []
        for number in range(4):
            threads.append(ask(turns, number, order))
            waiting(turns, number + 1)
    for step in range(3):
        with turns:
            order.append(f"step {step}")
    for thread in threads:
        thread.join(20)
    assert order == [0, 1, 2, 3, "step 0", "step 1", "step 2"]


def test_long_work_lets_those_who_wait_go_first_unless_it_has_taken_it_twice():
    turns, order = Turns(), []
    with turns:
        other = ask(turns, "other", order)
        waiting(turns, 1)
        with turns:
            turns.pass_on()
            order.append("twice")
        turns.pass_on()
        order.append("once")
    other.join(20)
    assert order == ["twice", "other", "once"]


def test_an_error_ends_a_turn():
    turns = Turns()
    try:
        with turns:
            raise ValueError
    except ValueError:
        pass
    order = []
    ask(turns, "next", order).join(20)
    assert order == ["next"]


def test_what_is_asked_for_during_work_is_done_once_more_at_its_end():
    done = []

    async def work():
        done.append("begun")
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def ask_often():
        latest = Latest(work)
        await asyncio.gather(*(latest() for _ in range(5)))
        await latest()

    asyncio.run(ask_often())
    assert len(done) == 3  # the first, one for the four others, and the last
