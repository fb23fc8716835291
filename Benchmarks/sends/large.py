"""A small mail's latency while large ones come."""

import argparse
import multiprocessing
import os
import time

from backlog import Caller, in_real_time, row
from footprint import LARGE_SIZE, connect_users, large_request
from system import System

CALLERS = 4
PAUSE = 0.3
"""Seconds from a large mail's answer to the next."""


def keep_sending(system: System, count: multiprocessing.Value) -> None:
    """In a process of its own, so that the caller does not share an interpreter with it."""
    send = large_request(system, user=CALLERS)
    while True:
        send()
        count.value += 1
        time.sleep(PAUSE)


def run(options: argparse.Namespace) -> None:
    with System() as system:
        connect_users(system.summary, CALLERS + 1)
        caller, count = Caller(system, 0, CALLERS), multiprocessing.Value("i", 0)
        sender = multiprocessing.Process(target=keep_sending, args=(system, count), daemon=True)

        def latencies() -> list[float]:
            end = time.monotonic() + options.seconds
            taken = []
            while time.monotonic() < end:
                taken.append(caller.send())
            return taken

        latencies()
        alone = latencies()
        sender.start()
        in_real_time(os.getpid(), system.pids["google-sandbox"])
        while count.value < 2:
            time.sleep(0.1)
        began = count.value
        beside = latencies()
        print("| one small mail after the other | mails | p50, ms | p99, ms | p99.9, ms | longest, ms | large mails/s |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        row("alone", alone, "0")
        row(f"beside mails of {LARGE_SIZE:.1f} MiB", beside, f"{(count.value - began) / options.seconds:.1f}")
        sender.terminate()
