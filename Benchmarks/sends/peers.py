"""The same job written with FastAPI, on the same Postgres and the same stand-in."""

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import time
from urllib.parse import parse_qs, urlsplit

import asyncpg
import requests

from crm import Browser
from load import HERE, cpu_text, load, measured_load
from system import System, free_port


def measure(name: str, url: str, key: str, processes: dict[str, int], options: argparse.Namespace) -> dict:
    """A row of the table, ours or theirs."""
    shape = {"users": options.users, "connections": options.connections}
    load(url, key, seconds=2, **shape)  # warm: connections, caches, plans
    result = measured_load(url, key, processes, seconds=options.seconds, **shape)
    print(f"| {name} | {result['rate']:.0f} | {result['p50_ms']:.1f} | {result['p99_ms']:.1f} | {result['failed']} "
          f"| {cpu_text(result['cpu'])} |", flush=True)
    return result


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


def prepare(system: System, options: argparse.Namespace) -> None:
    os.environ.setdefault("PEER_CLIENT", "httpx")
    os.environ.setdefault("GMAIL_URL", system.summary["sandbox"])
    os.environ.setdefault("BENCH_KEY", system.key)
    from fastapi_peer import SCHEMA

    with open(os.path.join(system.summary["data"], "google-client-secret")) as file:
        secret = file.read()
    rows = []
    for index in range(options.users):
        account = f"bench-{index}@example.com"
        rows.append((f"bench-{index}", account, access_token(system.summary, secret, account)))

    async def fill() -> None:
        connection = await asyncpg.connect(system.summary["owner_database_url"])
        await connection.execute(SCHEMA)
        await connection.executemany("INSERT INTO peer.accounts VALUES ($1, $2, $3)", rows)
        await connection.close()

    asyncio.run(fill())


def measure_peer(client: str, workers: int, system: System, options: argparse.Namespace) -> dict:
    port = free_port()
    environment = os.environ | {
        "DATABASE_URL": system.summary["owner_database_url"], "GMAIL_URL": system.summary["sandbox"],
        "PEER_CLIENT": client, "BENCH_KEY": system.key}
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
        parts = {"python": server.pid, "postgres": system.pids["postgres"]}
        return measure(name, f"http://127.0.0.1:{port}", system.key, parts, options)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(20)


def run(system: System, ours: dict, options: argparse.Namespace) -> None:
    prepare(system, options)
    for client, workers in (("httpx", 1), ("httpx", 2), ("aiohttp", 1), ("aiohttp", 2)):
        peer = measure_peer(client, workers, system, options)
        print(f"\nEmailMCP : this = {ours['rate'] / peer['rate']:.2f}\n", flush=True)
