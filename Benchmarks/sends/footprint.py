"""Memory of the services and how soon they are ready."""

import argparse
import asyncio
import base64
import json
import os
import time
from datetime import datetime, timedelta, timezone
from typing import Callable

import asyncpg
import requests

from crm import CRM, Browser
from load import load
from system import SERVICES, System, memory_mib, peak_memory_mib

LARGE_MIB = 18
"""Of attachment: with base64 a mail of 24.6 MiB, just under Gmail's limit of 25."""
LARGE_SIZE = LARGE_MIB * 78 / 57


def connect_users(summary: dict, count: int) -> None:
    crm = CRM(summary["api"], summary["key"], summary["platform_page"])
    browser = Browser()
    for index in range(count):
        crm.connect(f"bench-{index}", browser, f"bench-{index}@example.com")


def start_to_ready(system: System, service: str) -> float:
    """Milliseconds from exec to the first 200 of /readyz, of a second replica beside the running one; median of 5."""
    times = []
    for _ in range(5):
        with system.replica(service) as replica:
            times.append(replica.ready_after * 1000)
    return sorted(times)[2]


def idle(system: System) -> None:
    kinds = ("Pss", "Rss", "Anonymous")
    print("| service | idle PSS, MiB | RSS | own data | start to ready, ms |\n| --- | --- | --- | --- | --- |")
    for service in SERVICES:
        ready = start_to_ready(system, service)
        memory = " | ".join(f"{memory_mib(system.pids[service], kind):.1f}" for kind in kinds)
        print(f"| {service} | {memory} | {ready:.0f} |", flush=True)


def large_mail(system: System) -> None:
    """What one large mail adds to the memory of the mailer, at its peak, beside the size of the mail as it leaves: on its
    way in, on its way through the queue, and on its way out of it."""
    print("\n| a mail of 24.6 MiB | accepted, MiB more | times its size | sent from the queue, MiB more | times its size |")
    print("| --- | --- | --- | --- | --- |")
    for name, fields, headers in [
            ("awaited", {}, {}), ("awaited, `retry`", {"on_ambiguous": "retry"}, {}),
            ("`respond-async`", {}, {"Prefer": "respond-async"}), ("`send_at`", {"send_at": in_an_hour()}, {})]:
        # Its mailbox pauses until it is there, so that the two ways are measured apart.
        is_queued = "Prefer" in headers or "send_at" in fields
        if is_queued:
            execute(system, "UPDATE mailboxes SET next_free_at = now() + interval '1 hour'")
        accepted = more_memory(system, lambda: send_large(system, fields, headers))
        row = f"{accepted:.1f} | {accepted / LARGE_SIZE:.2f}"
        if is_queued:
            sent = more_memory(system, lambda: drain(system))
            row += f" | {sent:.1f} | {sent / LARGE_SIZE:.2f}"
        else:
            row += " | – | –"
        print(f"| {name} | {row} |", flush=True)


def in_an_hour() -> str:
    return (datetime.now(timezone.utc) + timedelta(hours=1)).isoformat().replace("+00:00", "Z")


def many_large_mails(system: System) -> None:
    """Twelve large mails due at once, while Gmail takes a second for each."""
    for user in range(12):
        send_large(system, {"send_at": in_an_hour()}, {}, user)
    requests.post(f"{system.summary['sandbox']}/sandbox/faults", json={
        "route": "send", "delay_ms": 1000, "count": 12}).raise_for_status()
    sent = more_memory(system, lambda: drain(system))
    print(f"\ntwelve of {LARGE_SIZE:.1f} MiB due at once, Gmail takes 1 s: {sent:.1f} MiB more in the mailer")


def large_request(system: System, fields: dict = {}, headers: dict = {}, user: int = 0) -> Callable[[], None]:
    """Sends a large mail each time it is called, made once."""
    content = base64.b64encode(os.urandom(LARGE_MIB << 20)).decode()
    mail = {"to": ["ada@example.com"], "subject": "Large", "body": "See the file.", "attachments": [
        {"filename": "large.bin", "content_type": "application/octet-stream", "content": content}]}
    body = json.dumps(mail | fields).encode()
    headers = {"Authorization": f"Bearer {system.key}", "Content-Type": "application/json"} | headers
    url = f"{system.api}/v1/users/bench-{user}/messages"
    return lambda: requests.post(url, data=body, headers=headers).raise_for_status()


def send_large(system: System, fields: dict, headers: dict, user: int = 0) -> None:
    large_request(system, fields, headers, user)()


def drain(system: System) -> None:
    """Lets the queue go, and waits until it is empty."""
    execute(system, "UPDATE send_jobs SET run_at = now()", "UPDATE mailboxes SET next_free_at = now()",
            "SELECT emailmcp.repair_wakes()")
    while execute(system, "SELECT FROM send_jobs LIMIT 1"):
        time.sleep(0.05)


def execute(system: System, *statements: str) -> list:
    async def run() -> list:
        connection = await asyncpg.connect(system.superuser_url)
        answers = [await connection.fetch(statement) for statement in statements]
        await connection.close()
        return answers[-1]

    return asyncio.run(run())


def more_memory(system: System, act: Callable[[], None]) -> float:
    """By how much the mailer's peak while it acts is above what it had before, in MiB."""
    mailer = system.pids["mailer-service"]
    time.sleep(3)  # what went before is given back
    before = memory_mib(mailer)
    with open(f"/proc/{mailer}/clear_refs", "w") as file:
        file.write("5")  # the high-water mark begins anew
    act()
    return peak_memory_mib(mailer) - before


def slow_gmail(options: argparse.Namespace) -> None:
    users, connections = 1200, 1050
    with System() as system:
        mailer = system.pids["mailer-service"]
        connect_users(system.summary, users)
        requests.post(f"{system.summary['sandbox']}/sandbox/faults", json={
            "route": "send", "delay_ms": 1000, "count": 0}).raise_for_status()
        before = memory_mib(mailer)
        result = load(
            system.api, system.key, users=users, connections=connections, seconds=options.seconds, in_turn=True)
        print(f"Gmail takes 1 s: {result['rate']:.0f} sends/s over {connections} connections, so many are under way at once; "
              f"{result['failed']} failed; p99 {result['p99_ms']:.0f} ms; mailer {before:.1f} MiB before, "
              f"{peak_memory_mib(mailer):.1f} at its peak")
