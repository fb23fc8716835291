"""What a send costs with few and many mailboxes in use, and with an empty and a long log. A system for each row, all of
them up at once and measured in turn, so that whatever else the machine does falls on all rows alike; medians of the
rounds.
"""

import argparse
import asyncio
import contextlib
import statistics

import asyncpg

from accounts import settle, with_mailboxes
from history import fill_log
from load import SCALE, cpu_text, each_once, measured_load
from system import System

GOAL = 1.15
PARTS = ("edge", "oauth", "mailer", "postgres")
"""Whose CPU is counted: not the stand-in's, which is not ours."""


def own(cpu: dict[str, float]) -> float:
    return sum(cpu[part] for part in PARTS)


def commits(system: System) -> int:
    """Of its Postgres so far: mails that arrive together share one, and that makes a send cheaper than anything else."""
    async def read() -> int:
        connection = await asyncpg.connect(system.superuser_url)
        count = await connection.fetchval("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
        await connection.close()
        return count

    return asyncio.run(read())


def rounds(systems: list[tuple[System, int]], options: argparse.Namespace, connections: int) -> list[dict]:
    """Medians of every system, each with so many mailboxes, taken in turn, to and fro. The first round warms caches and
    plans."""
    seen: list[list[dict]] = [[] for _ in systems]
    position = 0
    for turn in range(options.rounds + 1):
        places = range(len(systems)) if turn % 2 else reversed(range(len(systems)))
        for (system, users), results in ((systems[place], seen[place]) for place in places):
            before = commits(system)
            result = measured_load(
                system.api, system.key, system.parts(), users=users, connections=connections, seconds=options.seconds,
                in_turn=True, first=position * SCALE, stride=SCALE)
            if result["failed"]:
                raise AssertionError(f"{result['failed']} sends failed")
            result["commits"] = (commits(system) - before) / result["done"]
            if turn:
                results.append(result)
        position += options.seconds * 2_000  # on to mailboxes that no round before has had
    return [{
        "rate": statistics.median(result["rate"] for result in results),
        "commits": statistics.median(result["commits"] for result in results),
        "cpu": {part: statistics.median(result["cpu"][part] for result in results) for part in results[0]["cpu"]},
        "lowest": min(own(result["cpu"]) for result in results),
        "highest": max(own(result["cpu"]) for result in results)} for results in seen]


def table(what: str, sizes: list[int], results: list[dict]) -> None:
    print(f"| {what} | CPU µs a send | × the first | lowest, highest of the rounds | parts | commits a send | sends/s |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    base = own(results[0]["cpu"])
    for size, result in zip(sizes, results):
        total = own(result["cpu"])
        print(f"| {size:,} | {total:.0f} | {total / base:.2f} | {result['lowest']:.0f}, {result['highest']:.0f} "
              f"| {cpu_text(result['cpu'])} | {result['commits']:.2f} | {result['rate']:.0f} |", flush=True)
    worst = max(own(result["cpu"]) for result in results) / base
    print(f"\nflat within {(worst - 1) * 100:.0f} % (goal {(GOAL - 1) * 100:.0f} %)")


def mailboxes(options: argparse.Namespace) -> None:
    sizes = options.mailboxes
    connections = min(options.connections, max(1, min(sizes) // 2))
    print(f"{connections} connections over all rows, the mailboxes in turn: seldom two mails at one mailbox at once\n")
    print("| mailboxes | first mail of each, CPU µs a send, 64 connections | sends/s |\n| --- | --- | --- |", flush=True)
    with contextlib.ExitStack() as stack:
        systems = [(stack.enter_context(with_mailboxes(size)), size) for size in sizes]
        for system, size in systems:
            first = each_once(system, size)
            # CPU time comes in hundredths of a second: too coarse for a handful of mails.
            said = f"{own(first['cpu']):.0f} ({cpu_text(first['cpu'])})" if size >= 500 else "too few to tell"
            print(f"| {size:,} | {said} | {first['rate']:.0f} |", flush=True)
            settle(system)
        print("\nlater mails:\n")
        table("mailboxes in use", sizes, rounds(systems, options, connections))


def log(options: argparse.Namespace) -> None:
    sizes = options.log
    with contextlib.ExitStack() as stack:
        systems = [(stack.enter_context(with_mailboxes(options.users)), options.users) for _ in sizes]
        for (system, users), rows in zip(systems, sizes):
            fill_log(system, rows)
            each_once(system, users)
            settle(system)
        print(f"{options.connections} connections over {options.users} mailboxes in turn\n")
        table("rows in the log", sizes, rounds(systems, options, options.connections))
