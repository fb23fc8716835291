"""Memory of the services and how soon they are ready."""

import argparse
import base64
import os

import requests

from crm import CRM, Browser
from load import load
from system import SERVICES, System, memory_mib, peak_memory_mib

LARGE_MIB = 18
"""Of attachment: with base64 a mail of 24.6 MiB, just under Gmail's limit of 25."""


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
    """What one large mail adds to the memory of the mailer, at its peak, beside the size of the mail as it leaves."""
    mailer = system.pids["mailer-service"]
    content = base64.b64encode(os.urandom(LARGE_MIB << 20)).decode()
    mail = {"to": ["ada@example.com"], "subject": "Large", "body": "See the file.", "attachments": [
        {"filename": "large.bin", "content_type": "application/octet-stream", "content": content}]}
    before = memory_mib(mailer)
    with open(f"/proc/{mailer}/clear_refs", "w") as file:
        file.write("5")  # the high-water mark begins anew
    requests.post(f"{system.api}/v1/users/bench-0/messages", json=mail,
                  headers={"Authorization": f"Bearer {system.key}"}).raise_for_status()
    more, size = peak_memory_mib(mailer) - before, LARGE_MIB * 78 / 57
    print(f"\none mail of {size:.1f} MiB: {more:.1f} MiB more in the mailer, {more / size:.2f} times its size")


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
