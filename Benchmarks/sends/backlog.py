"""An interactive mail's latency while a bulk backlog drains."""

import argparse
import asyncio
import json
import os
import socket
import statistics
import time
from urllib.parse import urlsplit

import asyncpg
import requests

from accounts import settle, with_mailboxes
from load import SCALE, each_once, load
from system import System, cpu_seconds

MAILBOXES = 2_000
CALLERS = 200
"""Mailboxes of the one who sends interactive mail, one after the other: none of them has mail in the backlog."""
IDLE_SENDS = 3_000
SAMPLE = 0.5
"""Seconds between two looks at how many mails the stand-in has taken."""


class Caller:
    """One who sends a mail, waits for its answer, and sends the next from another mailbox: a bare socket, so that what is
    measured is not a client library."""

    def __init__(self, system: System, first: int, count: int):
        api = urlsplit(system.api)
        self.socket = socket.create_connection((api.hostname, api.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        body = json.dumps({"to": ["ada@example.com"], "subject": "Your code", "body": "Dear Ada, here it is. " * 20})
        self.requests = [
            (f"POST /v1/users/bench-{index}/messages HTTP/1.1\r\nHost: {api.netloc}\r\n"
             f"Authorization: Bearer {system.key}\r\nContent-Type: application/json\r\n"
             f"Content-Length: {len(body)}\r\n\r\n{body}").encode() for index in range(first, first + count)]
        self.sent = 0

    def send(self) -> float:
        """Milliseconds to the answer."""
        began = time.perf_counter()
        self.socket.sendall(self.requests[self.sent % len(self.requests)])
        answer, wanted = b"", 0
        while b"\r\n\r\n" not in answer or len(answer) < wanted:
            chunk = self.socket.recv(65536)
            if not chunk:
                raise ConnectionError(answer)
            answer += chunk
            head, _, _ = answer.partition(b"\r\n\r\n")
            lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            wanted = len(head) + 4 + (int(lengths[0].split(b":")[1]) if lengths else 0)
        took = (time.perf_counter() - began) * 1000
        if not answer.startswith(b"HTTP/1.1 200"):
            raise AssertionError(answer.decode(errors="replace")[:500])
        self.sent += 1
        return took


def accepted(system: System) -> int:
    return requests.get(f"{system.summary['sandbox']}/sandbox/ledger?limit=0").json()["count"]


def release(system: System) -> int:
    """Makes what is scheduled due, as if its time had come; answers how many mails that are."""
    async def run() -> int:
        connection = await asyncpg.connect(system.superuser_url, command_timeout=600)
        changed = await connection.execute("UPDATE send_jobs SET run_at = now()")
        await connection.execute("VACUUM ANALYZE send_jobs")
        await connection.execute("SELECT emailmcp.repair_wakes()")
        await connection.close()
        return int(changed.split()[1])

    return asyncio.run(run())


def fill(system: System, mails: int) -> None:
    """Accepts them by the API, as bulk mail for tomorrow."""
    tomorrow = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 86_400))
    result = load(
        system.api, system.key, users=MAILBOXES, connections=64, seconds=3600, in_turn=True, stride=SCALE, count=mails,
        send_at=tomorrow)
    if result["failed"]:
        raise AssertionError(f"{result['failed']} of the backlog were not accepted")
    print(f"backlog accepted at {result['rate']:.0f} mails/s\n", flush=True)


def drain(system: System, caller: Caller, mails: int) -> tuple[list[float], list[float], list[int]]:
    """Sends until the backlog is nearly gone. Latencies, the rate of the backlog in each sample, and what was left."""
    latencies, rates, left = [], [], []
    gone_before, own_before = accepted(system), caller.sent
    start = gone_before
    sampled = time.monotonic()
    while True:
        latencies.append(caller.send())
        now = time.monotonic()
        if now < sampled + SAMPLE:
            continue
        gone = accepted(system)
        rates.append((gone - gone_before - (caller.sent - own_before)) / (now - sampled))
        left.append(mails - (gone - start - len(latencies)))
        gone_before, own_before, sampled = gone, caller.sent, now
        if left[-1] < mails * 0.03:
            return latencies, rates, left
        if len(rates) > 20 and not any(rates[-20:]):
            raise AssertionError("the backlog does not drain")


def row(name: str, latencies: list[float], rate: str) -> None:
    ordered = sorted(latencies)
    p50, p99, p999 = (ordered[int(len(ordered) * share)] for share in (0.5, 0.99, 0.999))
    print(f"| {name} | {len(ordered)} | {p50:.1f} | {p99:.1f} | {p999:.1f} | {ordered[-1]:.1f} | {rate} |", flush=True)


def in_real_time(*processes: int) -> None:
    """Who asks for mails and who takes them are on machines of their own, not behind ours in this one's queues."""
    for process in processes:
        for thread in os.listdir(f"/proc/{process}/task"):
            os.sched_setscheduler(int(thread), os.SCHED_FIFO, os.sched_param(1))


def run(options: argparse.Namespace) -> None:
    with with_mailboxes(MAILBOXES + CALLERS) as system:
        each_once(system, MAILBOXES + CALLERS)
        fill(system, options.backlog)
        settle(system)
        caller = Caller(system, MAILBOXES, CALLERS)
        in_real_time(os.getpid(), system.pids["google-sandbox"])
        idle = [caller.send() for _ in range(IDLE_SENDS)][CALLERS:]
        mails = release(system)
        before = {part: cpu_seconds(pid) for part, pid in system.parts().items()}
        began = time.monotonic()
        latencies, rates, left = drain(system, caller, mails)
        seconds = time.monotonic() - began
        cpu = sum(cpu_seconds(pid) - before[part] for part, pid in system.parts().items()) / seconds
        print("| one interactive mail after the other | mails | p50, ms | p99, ms | p99.9, ms | longest, ms | backlog, mails/s |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        row("no mail due", idle, "0")
        row(f"while {mails} bulk mails of {MAILBOXES} mailboxes drain", latencies, f"{statistics.mean(rates):.0f}")
        print(f"\nThe whole of a latency is counted as our own time: the caller and the stand-in, which answers without delay, "
              f"run in real time, but what they take is in it. Every {SAMPLE} s the backlog was seen shrinking: by {min(rates):.0f} to {max(rates):.0f} "
              f"mails/s, from {mails} to {left[-1]} when the last mail was measured; {cpu:.2f} cores were in use.")
