#!/usr/bin/env python3
"""Sends a second end to end, beside the same job written with FastAPI; idle memory and start of each service.

    script/bench sends [--seconds 10] [--connections 64] [--users 256] [--loops 1] [--no-peers]
    script/bench sends --slow                        memory of the mailer while Gmail takes a second for each of 1,000 mails at once
    script/bench sends --large                       latency of a small mail while mails of 24.6 MiB come
    script/bench sends --backlog [100000]            latency of an interactive mail while so many bulk mails drain
    script/bench sends --mailboxes [10,1000,100000]  what a send costs with so many mailboxes in use
    script/bench sends --log [0,1000000,10000000]    what a send costs with so many mails in the log
    script/bench sends --mailers [2]                 one mailer and so many, each with a twentieth of a core

Everything runs on this machine: the release programs, their own Postgres with its default durability, a stand-in for
Gmail without delay, wrk as the load. The peers use the same Postgres server and the same stand-in, one after the other.
Prints Markdown tables; CPU is µs of each part a send, from /proc.
"""

import argparse
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../Tests/Integration"))
import backlog  # noqa: E402
import footprint  # noqa: E402
import growth  # noqa: E402
import large  # noqa: E402
import peers  # noqa: E402
import replicas  # noqa: E402
from system import SERVICES, UNLIMITED, System, memory_mib  # noqa: E402


def sizes(text: str) -> list[int]:
    return [int(part) for part in text.replace("_", "").split(",")]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=10, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5, help="of --mailboxes, --log and --mailers: medians of so many")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--users", type=int, default=256)
    parser.add_argument("--loops", help="threads of each service; by default as many as cores")
    parser.add_argument("--no-peers", action="store_true")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--slow", action="store_true")
    what.add_argument("--large", action="store_true")
    what.add_argument("--backlog", type=int, nargs="?", const=100_000)
    what.add_argument("--mailboxes", type=sizes, nargs="?", const=[10, 1_000, 100_000])
    what.add_argument("--log", type=sizes, nargs="?", const=[0, 1_000_000, 10_000_000])
    what.add_argument("--mailers", type=int, nargs="?", const=2)
    return parser.parse_args()


def rates(options: argparse.Namespace) -> None:
    with System() as system:
        time.sleep(2)
        footprint.idle(system)
        footprint.connect_users(system.summary, options.users)
        footprint.large_mail(system)
        footprint.many_large_mails(system)
        print("\n| stack | sends/s | p50, ms | p99, ms | failed | CPU µs a send |\n| --- | --- | --- | --- | --- | --- |")
        ours = peers.measure("EmailMCP", system.api, system.key, system.parts(), options)
        resident = ", ".join(f"{service} {memory_mib(system.pids[service]):.1f}" for service in SERVICES)
        print(f"\nresident after the load, MiB: {resident}\n")
        if not options.no_peers:
            peers.run(system, ours, options)


def main() -> None:
    options = parse()
    if options.loops:
        UNLIMITED["EMAILMCP_LOOPS"] = options.loops
    if options.slow:
        footprint.slow_gmail(options)
    elif options.large:
        large.run(options)
    elif options.backlog:
        backlog.run(options)
    elif options.mailboxes:
        growth.mailboxes(options)
    elif options.log:
        growth.log(options)
    elif options.mailers:
        replicas.run(options)
    else:
        rates(options)


if __name__ == "__main__":
    main()
