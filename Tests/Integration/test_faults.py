"""What is promised of a mail while the network breaks and processes die: an acknowledged mail is never lost, none is
sent twice under `hold`, each becomes final soon after the last fault. The ledger of the stand-in for Gmail is the judge.

A mailer and an edge of the tests' own run beside those of `emailmcp dev`, with Gmail and Postgres behind fault proxies.
Counts here are those of CI; FAULT_SCALE multiplies them, FAULT_SEED repeats a run:

    FAULT_SCALE=10 EMAILMCP_BIN=$(swift build --show-bin-path) $(script/python) -m pytest -s Tests/Integration/test_faults.py
"""

import os
import random
import re
import signal
import socket
import subprocess
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
import requests

from conftest import BIN, start_system
from crm import Browser
from fault_proxy import FaultProxy

SCALE = int(os.environ.get("FAULT_SCALE", "1"))
SEED = int(os.environ.get("FAULT_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)
USERS = 12
UNLIMITED = {
    "EMAILMCP_GMAIL_UNITS_PER_MINUTE": "1000000000", "EMAILMCP_GMAIL_PROJECT_UNITS_PER_MINUTE": "1000000000",
    "EMAILMCP_GMAIL_DAILY_RECIPIENTS": "1000000000", "EMAILMCP_RATE_PER_KEY": "1000000/s",
    "EMAILMCP_RATE_PER_USER": "1000000/s"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Replica:
    """Another process of a service of the development system, started and killed at will."""

    def __init__(self, system, service: str, **changes: str):
        pid = next(
            pid for pid in map(int, subprocess.run(
                ["pgrep", "-P", str(system.process.pid)], capture_output=True, text=True).stdout.split())
            if os.path.basename(open(f"/proc/{pid}/cmdline").read().split("\0")[0]) == service)
        with open(f"/proc/{pid}/environ") as file:
            self.environment = dict(entry.split("=", 1) for entry in file.read().split("\0") if entry)
        self.port, self.admin = free_port(), free_port()
        self.environment |= changes | {
            "EMAILMCP_LISTEN": f"127.0.0.1:{self.port}", "EMAILMCP_ADMIN_LISTEN": f"127.0.0.1:{self.admin}"}
        self.service, self.process = service, None
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [f"{BIN}/{self.service}"], env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def is_ready(self) -> bool:
        try:
            return requests.get(f"http://127.0.0.1:{self.admin}/readyz", timeout=2).status_code == 200
        except requests.RequestException:
            return False

    def await_ready(self) -> None:
        deadline = time.monotonic() + 60
        while not self.is_ready():
            assert time.monotonic() < deadline, f"{self.service} does not become ready"
            time.sleep(0.02)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@dataclass
class Setting:
    """The system with a mailer and an edge of the test's own, and what was acknowledged through them."""

    system: object
    gmail: FaultProxy
    database: FaultProxy
    mailer: Replica
    edge: Replica
    acknowledged: dict[str, str] = field(default_factory=dict)  # id: user
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, random: random.Random) -> None:
        """One mail, half of them without waiting for the outcome; what fails was not acknowledged."""
        user = f"user-{random.randrange(USERS)}"
        headers = {"Authorization": f"Bearer {self.system.summary['key']}"}
        if random.random() < 0.5:
            headers["Prefer"] = "respond-async"
        try:
            answer = requests.post(
                f"http://127.0.0.1:{self.edge.port}/v1/users/{user}/messages", headers=headers, timeout=40,
                json={"to": [f"to-{random.randrange(1000)}@example.com"], "subject": "Faults", "body": "x" * 2000})
            if answer.status_code in (200, 202):
                with self._lock:
                    self.acknowledged[answer.json()["id"]] = user
        except (requests.RequestException, ValueError):
            time.sleep(0.05)

    def load(self, count: int, threads: int = 8) -> list[threading.Thread]:
        def work(number: int) -> None:
            own = random.Random(SEED + number)
            for _ in range(count // threads):
                self.send(own)

        running = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(threads)]
        for thread in running:
            thread.start()
        return running

    def judge(self) -> dict[str, int]:
        """Waits until every acknowledged mail is final, then holds each against the ledger."""
        crm, began = self.system.crm(), time.monotonic()
        states: dict[str, str] = {}
        # 20 s are promised: a lease of 15 s, then the next look. A busy machine gets three times that.
        while open_mails := [id for id in self.acknowledged if states.get(id) not in ("success", "failed", "unknown")]:
            assert time.monotonic() < began + 60, f"seed {SEED}: not final after 60 s: {open_mails[:5]}"
            for id in open_mails:
                answer = crm.http.get(f"{crm.user(self.acknowledged[id])}/messages/{id}")
                assert answer.status_code != 404, f"seed {SEED}: an acknowledged mail is lost: {id}"
                states[id] = answer.json().get("status", "")
            time.sleep(0.2)
        sent: dict[str, int] = {}
        ledger = requests.get(f"{self.system.sandbox}/sandbox/ledger", params={"limit": 100_000}).json()["entries"]
        for entry in ledger:
            id = re.search(r"[0-9a-f]{8}-[0-9a-f-]{27}", entry["message_id_header"])[0]
            sent[id] = sent.get(id, 0) + 1
        twice = [id for id, count in sent.items() if count > 1]
        assert not twice, f"seed {SEED}: sent twice: {twice}"
        for id, state in states.items():
            if state == "success":
                assert sent.get(id) == 1, f"seed {SEED}: {id} is called sent and is not in the ledger"
            if state == "failed":
                assert id not in sent, f"seed {SEED}: {id} is called failed and was sent"
        return {state: list(states.values()).count(state) for state in set(states.values())}


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    system = start_system(str(tmp_path_factory.mktemp("faults")), **UNLIMITED)
    database = urlsplit(system.summary["owner_database_url"])
    proxies = FaultProxy(("127.0.0.1", urlsplit(system.sandbox).port), SEED), FaultProxy(("127.0.0.1", database.port), SEED + 1)
    own = Replica(system, "mailer-service")
    own.kill()
    own.environment["EMAILMCP_GMAIL_API_URL"] = f"http://127.0.0.1:{proxies[0].port}"
    own.environment["DATABASE_URL"] = own.environment["DATABASE_URL"].replace(f":{database.port}/", f":{proxies[1].port}/")
    own.start()
    edge = Replica(system, "edge-service", EMAILMCP_MAILER_TARGET=f"ipv4:127.0.0.1:{own.port}")
    crm, browser = system.crm(), Browser()
    for number in range(USERS):
        crm.connect(f"user-{number}", browser, f"user-{number}@example.com")
    own.await_ready()
    edge.await_ready()
    yield Setting(system, *proxies, own, edge)
    for replica in (own, edge):
        replica.process.send_signal(signal.SIGCONT)
        replica.kill()
    for proxy in proxies:
        proxy.close()
    assert system.stop() == 0


def test_a_network_that_breaks_loses_no_mail_and_sends_none_twice(setting):
    before = len(setting.acknowledged)
    # Most connections to Gmail break: they are used again and again, so each break makes a few new ones.
    setting.gmail.probability, setting.database.probability = 0.9, 0.3
    for _ in range(3 * SCALE):
        for thread in setting.load(64):
            thread.join()
        setting.mailer.kill()
        setting.mailer.start()
    setting.gmail.probability = setting.database.probability = 0
    setting.mailer.await_ready()
    states = setting.judge()
    assert len(setting.acknowledged) - before > 20 * SCALE, setting.gmail.hits
    assert sum(setting.gmail.hits.values()) >= 3 * SCALE, setting.gmail.hits
    print(f"seed {SEED}: {states}, faults {setting.gmail.hits} {setting.database.hits}")


def test_killed_mailers_and_edges_lose_no_mail_and_send_none_twice(setting):
    before, kills = len(setting.acknowledged), 0
    own = random.Random(SEED)
    stop = time.monotonic() + 240 * SCALE
    while kills < 50 * SCALE and time.monotonic() < stop:
        running = setting.load(16)
        time.sleep(own.uniform(0.05, 0.4))
        for victim in own.sample([setting.mailer, setting.edge], 2):
            victim.kill()
            kills += 1
        for victim in (setting.mailer, setting.edge):
            victim.start()
        for victim in (setting.mailer, setting.edge):
            victim.await_ready()
        for thread in running:
            thread.join()
    states = setting.judge()
    assert kills >= 50 * SCALE, f"only {kills} kills"
    assert len(setting.acknowledged) - before > 20 * SCALE
    print(f"seed {SEED}: {kills} kills, {states}")


def test_a_mailer_that_sleeps_past_its_leases_sends_nothing_late(setting):
    for _ in range(SCALE):
        running = setting.load(64)
        time.sleep(0.3)
        setting.mailer.process.send_signal(signal.SIGSTOP)
        time.sleep(17)  # a lease lasts 15 s
        setting.mailer.process.send_signal(signal.SIGCONT)
        for thread in running:
            thread.join()
    print(f"seed {SEED}: {setting.judge()}")
