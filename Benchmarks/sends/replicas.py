"""One mailer and several: the rate where the mailers, each under the same bound on its CPU time, are what limits it; and
without a bound, what two cores for everything give."""

import argparse
import contextlib
import os
import statistics

from accounts import settle, with_mailboxes
from cpu_quota import PERIOD, CPUQuota
from load import SCALE, cpu_text, each_once, measured_load
from system import Replica, System

USERS = 1_024
"""In turn, many times as many as connections: two mailers seldom meet at a mailbox."""
SHARE = 0.05
"""Of a core for each mailer: then even two of them leave the rest of the machine far from full."""


def run(options: argparse.Namespace) -> None:
    with with_mailboxes(USERS) as system, contextlib.ExitStack() as stack:
        mailers = [stack.enter_context(system.replica("mailer-service")) for _ in range(options.mailers)]
        edges: dict[int, Replica] = {}
        for count in (1, options.mailers):
            target = "ipv4:" + ",".join(f"127.0.0.1:{mailer.port}" for mailer in mailers[:count])
            edges[count] = stack.enter_context(system.replica("edge-service", EMAILMCP_MAILER_TARGET=target))
        # The mailer that the system came with has no callers; it looks into the queue as any replica.
        each_once(system, USERS)
        settle(system)
        print(f"{options.connections} connections for each mailer\n")
        print("| CPU of each mailer | mailers | sends/s | × one | p50, ms | p99, ms | CPU µs a send | the mailers’ parts of that |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- |")
        measure(f"unbounded, all on {len(os.sched_getaffinity(0))} cores", system, edges, mailers, options)
        try:
            for number, mailer in enumerate(mailers):
                stack.enter_context(CPUQuota(str(number), SHARE)).admit(mailer.process.pid)
        except OSError as error:
            print(f"\nNo bound could be set ({error}): it takes root and a writable cpu controller.")
            return
        measure(f"{SHARE:.0%} of a core", system, edges, mailers, options)
        print(f"\nThe bound is the kernel's (cgroup cpu controller, a period of {PERIOD / 1000:.0f} ms): a mailer that has "
              f"used its share waits for the next period. Everything else runs unbounded, and has room.")


def measure(
        bound: str, system: System, edges: dict[int, Replica], mailers: list[Replica],
        options: argparse.Namespace) -> None:
    seen: dict[int, list[dict]] = {count: [] for count in edges}
    position = 0
    for turn in range(options.rounds + 1):
        for count, edge in edges.items():
            parts = {"edge": edge.process.pid, "oauth": system.pids["oauth-service"]}
            parts |= {f"mailer {number + 1}": mailer.process.pid for number, mailer in enumerate(mailers[:count])}
            parts |= {"postgres": system.pids["postgres"], "sandbox": system.pids["google-sandbox"]}
            result = measured_load(
                f"http://127.0.0.1:{edge.port}", system.key, parts, users=USERS,
                connections=options.connections * count, seconds=options.seconds, in_turn=True, first=position,
                stride=SCALE)
            if result["failed"]:
                raise AssertionError(f"{result['failed']} sends failed")
            position += result["requests"] * SCALE
            if turn:  # the first round warms connections, tokens and plans
                seen[count].append(result)
    base = 0.0
    for count, results in seen.items():
        rate, p50, p99 = (statistics.median(result[name] for result in results) for name in ("rate", "p50_ms", "p99_ms"))
        base = base or rate
        cpu = {part: statistics.median(result["cpu"][part] for result in results) for part in results[0]["cpu"]}
        of_mailers = [micros for part, micros in cpu.items() if part.startswith("mailer")]
        shares = " : ".join(f"{micros / sum(of_mailers):.0%}" for micros in of_mailers)
        print(f"| {bound} | {count} | {rate:.0f} | {rate / base:.2f} | {p50:.0f} | {p99:.0f} | {cpu_text(cpu)} "
              f"| {shares} |", flush=True)
