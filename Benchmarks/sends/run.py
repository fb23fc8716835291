#!/usr/bin/env python3
"""Sends a second end to end, beside the same job written with FastAPI; idle memory and start of each service.

    script/bench sends [--seconds 10] [--connections 64] [--users 256] [--loops 1] [--no-peers]
    script/bench sends --slow    memory of the mailer while Gmail takes a second for each of 1,000 mails at once

Everything runs on this machine: the release programs, their own Postgres with its default durability, a stand-in for
Gmail without delay, wrk as the load. The peers use the same Postgres server and the same stand-in, one after the other.
Prints a Markdown table; CPU is µs of each part a send, from /proc.
"""

import argparse
import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from urllib.parse import parse_qs, urlsplit

import requests

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../Tests/Integration"))
from crm import CRM, Browser  # noqa: E402

UNLIMITED = {
    "EMAILMCP_GMAIL_UNITS_PER_MINUTE": "1000000000", "EMAILMCP_GMAIL_PROJECT_UNITS_PER_MINUTE": "1000000000",
    "EMAILMCP_GMAIL_DAILY_RECIPIENTS": "1000000000", "EMAILMCP_RATE_PER_KEY": "1000000/s",
    "EMAILMCP_RATE_PER_USER": "1000000/s", "EMAILMCP_LOG_LEVEL": "warning"}
TICKS = os.sysconf("SC_CLK_TCK")


def start_system(binaries: str, data: str) -> tuple[subprocess.Popen, dict]:
    summary = os.path.join(data, "summary.json")
    log = open(os.path.join(data, "log.txt"), "wb")
    process = subprocess.Popen(
        [f"{binaries}/emailmcp", "dev", "--data", data, "--random-ports", "--summary", summary],
        env={"PATH": os.environ["PATH"], "HOME": data} | UNLIMITED, stdout=log, stderr=log)
    while not os.path.exists(summary):
        if process.poll() is not None:
            sys.exit(open(log.name).read()[-4000:])
        time.sleep(0.05)
    with open(summary) as file:
        return process, json.load(file)


# MARK: What the system says of its processes


def children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        direct = [int(child) for child in file.read().split()]
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children") as file:
            direct += [int(child) for child in file.read().split()]
    return sorted(set(direct))


def name_of(pid: int) -> str:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return os.path.basename(file.read().split(b"\0")[0].decode()).split(":")[0]


def cpu_seconds(pid: int) -> float:
    """Of the process and of its living and reaped descendants."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return sum(map(int, fields[11:15])) / TICKS + sum(cpu_seconds(child) for child in children(pid))
    except FileNotFoundError:
        return 0


def memory_mib(pid: int, kind: str = "Rss") -> float:
    """Rss: all that is mapped and resident. Pss: pages that others map too count by their share. Anonymous: its own data."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return int(re.search(kind + r":\s+(\d+)", file.read())[1]) / 1024


# MARK: Ours


def connect_users(summary: dict, count: int) -> None:
    crm = CRM(summary["api"], summary["key"], summary["platform_page"])
    browser = Browser()
    for index in range(count):
        crm.connect(f"bench-{index}", browser, f"bench-{index}@example.com")


def load(url: str, key: str, options: argparse.Namespace) -> dict:
    environment = os.environ | {"BENCH_KEY": key, "BENCH_USERS": str(options.users)}
    if options.slow:
        environment["BENCH_IN_TURN"] = "yes"
    command = ["wrk", "-t1", f"-c{options.connections}", f"-d{options.seconds}s", "--timeout", "30s", "-s",
               f"{HERE}/send.lua", url]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True)
    sys.stderr.write(answer.stderr)
    return json.loads(next(line for line in answer.stdout.splitlines() if line.startswith("{")))


def measure(name: str, url: str, key: str, processes: dict[str, int], options: argparse.Namespace) -> dict:
    load(url, key, argparse.Namespace(**vars(options) | {"seconds": 2}))  # warm: connections, caches, plans
    before = {part: cpu_seconds(pid) for part, pid in processes.items()}
    result = load(url, key, options)
    done = max(1, result["requests"] - result["failed"])
    result["cpu"] = {part: (cpu_seconds(pid) - before[part]) * 1e6 / done for part, pid in processes.items()}
    result["rate"] = done / result["seconds"]
    cpu = ", ".join(f"{part} {micros:.0f}" for part, micros in result["cpu"].items())
    print(f"| {name} | {result['rate']:.0f} | {result['p50_ms']:.1f} | {result['p99_ms']:.1f} | {result['failed']} | {cpu} |",
          flush=True)
    return result


# MARK: The peers


def access_token(summary: dict, secret: str, account: str) -> str:
    """What the peers need of a connected account: a token of the stand-in's, by the same flow."""
    redirect = f"{summary['api']}/v1/oauth/callback"
    client = "emailmcp-dev.apps.googleusercontent.com"
    page = requests.Request("GET", f"{summary['sandbox']}/o/oauth2/v2/auth", params={
        "client_id": client, "redirect_uri": redirect, "response_type": "code", "access_type": "offline",
        "prompt": "consent", "state": "bench", "nonce": "bench",
        "scope": "openid email https://www.googleapis.com/auth/gmail.send"}).prepare().url
    landed = Browser().consent(page, account, until=redirect)
    code = parse_qs(urlsplit(landed).query)["code"][0]
    answer = requests.post(f"{summary['sandbox']}/token", data={
        "grant_type": "authorization_code", "code": code, "client_id": client, "client_secret": secret,
        "redirect_uri": redirect})
    answer.raise_for_status()
    return answer.json()["access_token"]


def prepare_peers(summary: dict, options: argparse.Namespace) -> None:
    import asyncio

    import asyncpg

    sys.path.insert(0, HERE)
    os.environ.setdefault("PEER_CLIENT", "httpx")
    os.environ.setdefault("GMAIL_URL", summary["sandbox"])
    os.environ.setdefault("BENCH_KEY", summary["key"])
    from fastapi_peer import SCHEMA

    with open(os.path.join(summary["data"], "google-client-secret")) as file:
        secret = file.read()
    rows = []
    for index in range(options.users):
        account = f"bench-{index}@example.com"
        rows.append((f"bench-{index}", account, access_token(summary, secret, account)))

    async def fill():
        connection = await asyncpg.connect(summary["owner_database_url"])
        await connection.execute(SCHEMA)
        await connection.executemany("INSERT INTO peer.accounts VALUES ($1, $2, $3)", rows)
        await connection.close()

    asyncio.run(fill())


def measure_peer(client: str, workers: int, summary: dict, postgres: int, options: argparse.Namespace) -> dict:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "DATABASE_URL": summary["owner_database_url"], "GMAIL_URL": summary["sandbox"], "PEER_CLIENT": client,
        "BENCH_KEY": summary["key"]}
    server = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "fastapi_peer:app", "--port", str(port), "--workers", str(workers),
         "--log-level", "warning", "--no-access-log"], cwd=HERE, env=environment)
    try:
        for _ in range(200):
            try:
                requests.get(f"http://127.0.0.1:{port}/", timeout=1)
                break
            except requests.ConnectionError:
                time.sleep(0.1)
        name = f"FastAPI, {client}, {workers} worker{'s' if workers > 1 else ''}"
        return measure(name, f"http://127.0.0.1:{port}", summary["key"], {"python": server.pid, "postgres": postgres}, options)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(20)


# MARK: Start and memory


def start_to_ready(binaries: str, pid: int, service: str) -> float:
    """Milliseconds from exec to the first 200 of /readyz, of a second replica beside the running one; median of 5."""
    with open(f"/proc/{pid}/environ", "rb") as file:
        environment = dict(entry.split(b"=", 1) for entry in file.read().split(b"\0") if entry)
    times = []
    for _ in range(5):
        ports = []
        for _ in range(2):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                ports.append(probe.getsockname()[1])
        environment[b"EMAILMCP_LISTEN"] = f"127.0.0.1:{ports[0]}".encode()
        environment[b"EMAILMCP_ADMIN_LISTEN"] = f"127.0.0.1:{ports[1]}".encode()
        began = time.monotonic()
        replica = subprocess.Popen([f"{binaries}/{service}"], env=environment, stderr=subprocess.DEVNULL)
        while not is_ready(ports[1]):
            if time.monotonic() > began + 20:
                sys.exit(f"{service} did not become ready")
            time.sleep(0.001)
        times.append((time.monotonic() - began) * 1000)
        replica.terminate()
        replica.wait()
    return sorted(times)[2]


def is_ready(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return connection.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


LARGE_MIB = 18
"""Of attachment: with base64 a mail of 24.6 MiB, just under Gmail's limit of 25."""


def cost_of_large_mail(summary: dict, pids: dict[str, int]) -> None:
    """What one large mail adds to the memory of the mailer, at its peak, beside the size of the mail as it leaves."""
    content = base64.b64encode(os.urandom(LARGE_MIB << 20)).decode()
    mail = {"to": ["ada@example.com"], "subject": "Large", "body": "See the file.", "attachments": [
        {"filename": "large.bin", "content_type": "application/octet-stream", "content": content}]}
    before = memory_mib(pids["mailer-service"])
    with open(f"/proc/{pids['mailer-service']}/clear_refs", "w") as file:
        file.write("5")  # the high-water mark begins anew
    requests.post(f"{summary['api']}/v1/users/bench-0/messages", json=mail,
                  headers={"Authorization": f"Bearer {summary['key']}"}).raise_for_status()
    with open(f"/proc/{pids['mailer-service']}/status") as file:
        peak = int(re.search(r"VmHWM:\s+(\d+)", file.read())[1]) / 1024
    size = LARGE_MIB * 78 / 57
    print(f"\none mail of {size:.1f} MiB: {peak - before:.1f} MiB more in the mailer, {(peak - before) / size:.2f} times its size")


def slow_gmail(summary: dict, pids: dict[str, int], options: argparse.Namespace) -> None:
    options.users, options.connections = 1200, 1050
    connect_users(summary, options.users)
    requests.post(f"{summary['sandbox']}/sandbox/faults", json={
        "route": "send", "delay_ms": 1000, "count": 0}).raise_for_status()
    before = memory_mib(pids["mailer-service"])
    result = load(summary["api"], summary["key"], options)
    with open(f"/proc/{pids['mailer-service']}/status") as file:
        peak = int(re.search(r"VmHWM:\s+(\d+)", file.read())[1]) / 1024
    rate = (result["requests"] - result["failed"]) / result["seconds"]
    print(f"Gmail takes 1 s: {rate:.0f} sends/s over {options.connections} connections, so many are under way at once; "
          f"{result['failed']} failed; p99 {result['p99_ms']:.0f} ms; mailer {before:.1f} MiB before, {peak:.1f} at its peak")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--users", type=int, default=256)
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--slow", action="store_true")
    parser.add_argument("--loops", help="threads of each service; by default as many as cores")
    options = parser.parse_args()
    if options.loops:
        UNLIMITED["EMAILMCP_LOOPS"] = options.loops
    binaries = os.environ["EMAILMCP_BIN"]
    data = tempfile.mkdtemp(prefix="emailmcp-bench-")
    os.chmod(data, 0o755)
    process, summary = start_system(binaries, data)
    try:
        pids = {name_of(pid): pid for pid in children(process.pid)}
        services = ["edge-service", "oauth-service", "mailer-service", "report-service"]
        if options.slow:
            return slow_gmail(summary, pids, options)
        time.sleep(2)
        kinds = ("Pss", "Rss", "Anonymous")
        print("| service | idle PSS, MiB | RSS | own data | start to ready, ms |\n| --- | --- | --- | --- | --- |")
        for service in services:
            ready = start_to_ready(binaries, pids[service], service)
            idle = " | ".join(f"{memory_mib(pids[service], kind):.1f}" for kind in kinds)
            print(f"| {service} | {idle} | {ready:.0f} |", flush=True)
        connect_users(summary, options.users)
        cost_of_large_mail(summary, pids)
        print("\n| stack | sends/s | p50, ms | p99, ms | failed | CPU µs a send |\n| --- | --- | --- | --- | --- | --- |")
        parts = {name.removesuffix("-service"): pids[name] for name in services if name != "report-service"}
        parts |= {"postgres": pids["postgres"], "sandbox": pids["google-sandbox"]}
        ours = measure("EmailMCP", summary["api"], summary["key"], parts, options)
        print(f"\nresident after the load, MiB: " + ", ".join(f"{s} {memory_mib(pids[s]):.1f}" for s in services) + "\n")
        if not options.no_peers:
            prepare_peers(summary, options)
            for client, workers in (("httpx", 1), ("httpx", 2), ("aiohttp", 1), ("aiohttp", 2)):
                peer = measure_peer(client, workers, summary, pids["postgres"], options)
                print(f"\nEmailMCP : this = {ours['rate'] / peer['rate']:.2f}\n", flush=True)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


if __name__ == "__main__":
    main()
