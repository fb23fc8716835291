"""wrk as the load, and what the sends cost meanwhile."""

import json
import os
import subprocess
import sys
import time

from system import System, cpu_seconds

HERE = os.path.dirname(os.path.abspath(__file__))
SCALE = 7919
"""A prime: users in turn are taken in such strides, so that neighbours in time are none in the tables."""


def load(
        url: str, key: str, *, users: int, connections: int, seconds: int, in_turn: bool = False, first: int = 0,
        stride: int = 1, count: int = 0, send_at: str = "") -> dict:
    """`in_turn` draws no users at random but takes them one after the other, from `first` on by `stride`. `count`: ends
    after so many answers. `send_at`: bulk mail for that time, which nobody waits for."""
    environment = os.environ | {
        "BENCH_KEY": key, "BENCH_USERS": str(users), "BENCH_FIRST": str(first), "BENCH_STRIDE": str(stride),
        "BENCH_COUNT": str(count), "BENCH_SEND_AT": send_at} | ({"BENCH_IN_TURN": "yes"} if in_turn else {})
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", f"{HERE}/send.lua", url]
    began = time.monotonic()
    answer = subprocess.run(command, env=environment, capture_output=True, text=True)
    sys.stderr.write(answer.stderr)
    result = json.loads(next(line for line in answer.stdout.splitlines() if line.startswith("{")))
    result["done"] = max(1, result["requests"] - result["failed"])
    result["rate"] = result["done"] / (result["seconds"] or time.monotonic() - began)
    return result


def measured_load(url: str, key: str, processes: dict[str, int], **options) -> dict:
    """The same with `cpu`: µs of each process a send."""
    before = {part: cpu_seconds(pid) for part, pid in processes.items()}
    result = load(url, key, **options)
    result["cpu"] = {
        part: (cpu_seconds(pid) - before[part]) * 1e6 / result["done"] for part, pid in processes.items()}
    return result


def cpu_text(cpu: dict[str, float]) -> str:
    return ", ".join(f"{part} {micros:.0f}" for part, micros in cpu.items())


def each_once(system: System, users: int, connections: int = 64, first: int = 0) -> dict:
    """One mail from each mailbox: what only the first one costs (a token, rows) is paid then."""
    result = measured_load(
        system.api, system.key, system.parts(), users=users, connections=min(connections, users), seconds=3600,
        in_turn=True, first=first, count=users)
    if result["failed"]:
        sys.exit(f"{result['failed']} first sends of {users} failed; see {system.data}/log.txt")
    return result
