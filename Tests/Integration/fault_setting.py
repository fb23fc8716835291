"""The system under faults, and the judge of what it promises of a mail: the ledger of the stand-in for Gmail.

A mailer and an edge of the tests' own run beside those of `emailmcp dev`, with Gmail and Postgres behind fault proxies.
Counts are those of CI unless FAULT_SCALE multiplies them; FAULT_SEED repeats a run. See script/promises.
"""

import os
import random
import re
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from urllib.parse import urlsplit

import psycopg
import requests

from conftest import BIN, children, program, start_system
from crm import Browser
from fault_judge import MAY_REPEAT, Mail, breaches
from fault_proxy import LONGEST_HELD, FaultProxy

SCALE = int(os.environ.get("FAULT_SCALE", "1"))
SEED = int(os.environ.get("FAULT_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)
# What is promised is 20 s: a lease of 15 s, a look for lapsed ones each second, a look into the queue each second, then
# the requests of a mailbox one by one. The simulator holds the service to it on a virtual clock, script/promises --full
# on this machine's; a busy machine gets three times that.
FINAL_WITHIN = float(os.environ.get("FINAL_WITHIN", "60"))
USERS = 12
USER_IDS = [f"user-{number}" for number in range(USERS)]
UNLIMITED = {
    "EMAILMCP_GMAIL_UNITS_PER_MINUTE": "1000000000", "EMAILMCP_GMAIL_PROJECT_UNITS_PER_MINUTE": "1000000000",
    "EMAILMCP_GMAIL_DAILY_RECIPIENTS": "1000000000", "EMAILMCP_RATE_PER_KEY": "1000000/s",
    "EMAILMCP_RATE_PER_USER": "1000000/s"}
FINAL = ("success", "failed", "unknown", "cancelled")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Replica:
    """Another process of a service of the development system, started and killed at will."""

    def __init__(self, system, service: str, **changes: str):
        pid = next(pid for pid in children(system.process.pid) if program(pid) == service)
        with open(f"/proc/{pid}/environ") as file:
            self.environment = dict(entry.split("=", 1) for entry in file.read().split("\0") if entry)
        self.port, self.admin = free_port(), free_port()
        self.environment |= {
            "EMAILMCP_LISTEN": f"127.0.0.1:{self.port}", "EMAILMCP_ADMIN_LISTEN": f"127.0.0.1:{self.admin}"} | changes
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

    def end(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.kill()


@dataclass
class Setting:
    """The system with a mailer and an edge of the test's own, and what was acknowledged through them."""

    system: object
    gmail: FaultProxy
    database: FaultProxy
    mailer: Replica
    edge: Replica
    acknowledged: dict[str, str] = field(default_factory=dict)  # id: user
    held_until: str | None = None  # when the network last kept bytes back
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _slow_users: list[str] = field(default_factory=list)

    # Asking.

    def post(
            self, user: str, *, edge: Replica | None = None, timeout: float = 40, query: dict = {},
            may_repeat: bool = False, **headers: str) -> requests.Response:
        headers["Authorization"] = f"Bearer {self.system.summary['key']}"
        mail = {"to": [f"to-{user}@example.com"], "subject": "Faults", "body": "x" * 2000}
        if may_repeat:
            mail |= {"on_ambiguous": "retry", "metadata": MAY_REPEAT}
        answer = requests.post(
            f"http://127.0.0.1:{(edge or self.edge).port}/v1/users/{user}/messages", headers=headers, timeout=timeout,
            params=query, json=mail)
        if answer.status_code in (200, 202):
            with self._lock:
                self.acknowledged[answer.json()["id"]] = user
        return answer

    def send(
            self, random: random.Random, timeout: float = 40, edges: list[Replica] = [], repeated: float = 0,
            **query: int) -> None:
        """One mail, half of them without waiting for the outcome; what fails was not acknowledged. `repeated`: the share
        of those that may be sent again where their fate is unknown."""
        headers = {"Prefer": "respond-async"} if random.random() < 0.5 else {}
        try:
            self.post(
                f"user-{random.randrange(USERS)}", edge=random.choice(edges or [self.edge]), timeout=timeout,
                query=query, may_repeat=random.random() < repeated, **headers)
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

    @contextmanager
    def steady_load(self, threads: int = 16, **how):
        """Mails until the block ends, a hundred or so a second at most, so that what the dead leave behind is soon sent.
        Who waits for an outcome waits 1 s: its mail may be with the dead."""
        ending = threading.Event()

        def work(number: int) -> None:
            own = random.Random(SEED + number)
            while not ending.is_set():
                self.send(own, wait=1, **how)
                ending.wait(own.uniform(0, 0.2))

        running = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(threads)]
        for thread in running:
            thread.start()
        try:
            yield
        finally:
            ending.set()
            for thread in running:
                thread.join()

    # Breaking.

    def crash_database(self) -> None:
        """Kills a server process of Postgres, for which the postmaster kills all of them at once and begins anew by
        recovery from the log: what is committed is there, what is not is gone, and no connection survives."""
        postmaster = next(pid for pid in children(self.system.process.pid) if program(pid).startswith("postgres"))
        deadline = time.monotonic() + 30
        # There is none while it recovers from the last time.
        while not (victims := [pid for pid in children(postmaster) if "walwriter" in self._title(pid)]):
            assert time.monotonic() < deadline, "Postgres does not come back"
            time.sleep(0.05)
        os.kill(victims[0], signal.SIGKILL)

    def await_sessions(self) -> list[int]:
        """The server processes of Postgres that the mailer's statements go to, through the proxy."""
        deadline = time.monotonic() + 30
        while True:
            assert time.monotonic() < deadline, "the mailer has no session of Postgres"
            try:
                ports = self.database.server_ports()
                if pids := [pid for pid, in self._query("SELECT pid FROM pg_stat_activity WHERE client_port = ANY (%s)", ports)]:
                    return pids
            except psycopg.OperationalError:
                pass  # it recovers
            time.sleep(0.1)

    @staticmethod
    def _title(pid: int) -> str:
        try:
            with open(f"/proc/{pid}/cmdline") as file:
                return file.read()
        except OSError:
            return ""

    @contextmanager
    def broken_network(self, gmail: float, database: float):
        """Faults for these shares of the connections."""
        self.gmail.probability, self.database.probability = gmail, database
        try:
            yield
        finally:
            self.gmail.probability = self.database.probability = 0
            self.held_until = datetime.now(timezone.utc).isoformat()

    @contextmanager
    def slow_google(self, answer_ms: int, token_ms: int, users: list[str]):
        """Gmail's answers come late, and so do new access tokens of these users."""
        self.system.fault(route="send", delay_ms=answer_ms, count=0)
        for user in users:
            self.system.fault(route="token", account=f"{user}@example.com", delay_ms=token_ms, count=0)
        self._slow_users = users
        try:
            yield
        finally:
            requests.delete(f"{self.system.sandbox}/sandbox/faults").raise_for_status()

    def expire_tokens(self) -> None:
        """The tokens of those users end who get new ones late, wherever they are kept."""
        self._query("""
            WITH expired AS (
              UPDATE user_email_accounts SET access_token_expires_at = now() WHERE user_id = ANY (%s) RETURNING *)
            SELECT pg_notify('emailmcp_connections', json_build_object(
              'tenant', tenant_id, 'user', user_id, 'status', status, 'grant', grant_version)::text) FROM expired
            """, self._slow_users)

    def stop_at_work(self, mailer: Replica, has_intent: bool) -> dict[str, bool]:
        """Puts a mailer to sleep that has mail in hand, with or without intent, and tells which, and whether with."""
        deadline = time.monotonic() + 60
        while True:
            assert time.monotonic() < deadline, f"seed {SEED}: a mailer has nothing in hand, intent {has_intent}"
            if has_intent not in self.leases(mailer).values():
                if not has_intent:
                    self.expire_tokens()
                time.sleep(0.1)
                continue
            mailer.process.send_signal(signal.SIGSTOP)
            time.sleep(0.5)  # what it asked of the database before is done
            held = self.leases(mailer)
            if has_intent in held.values():
                return held
            mailer.process.send_signal(signal.SIGCONT)

    def await_taken_over(self, mailers: list[Replica]) -> None:
        """Until the leases of those who sleep have lapsed and their mails are another's."""
        deadline = time.monotonic() + FINAL_WITHIN
        while any(held := [self.leases(mailer) for mailer in mailers]):
            assert time.monotonic() < deadline, f"seed {SEED}: never taken over: {held}"
            time.sleep(0.2)

    def leases(self, mailer: Replica) -> dict[str, bool]:
        """The mails that this mailer has in hand, and whether each has its intent."""
        return dict(self._query(
            "SELECT id::text, intent FROM send_jobs WHERE lease_owner LIKE %s", f"mailer-{mailer.process.pid}-%"))

    def _query(self, statement: str, *values) -> list[tuple]:
        return self.system.sql(statement, *values)

    # Judging.

    def ledger(self) -> dict[str, list[str]]:
        """When each mail was taken."""
        sent: dict[str, list[str]] = {}
        after, count = 0, 1
        while after < count:
            page = requests.get(f"{self.system.sandbox}/sandbox/ledger", params={"after": after, "limit": 10_000}).json()
            for entry in page["entries"]:
                id = re.search(r"[0-9a-f]{8}-[0-9a-f-]{27}", entry["message_id_header"])[0]
                sent.setdefault(id, []).append(entry["accepted_at"])
            after, count = after + len(page["entries"]), page["count"]
            if not page["entries"]:
                break
        return sent

    def mails(self) -> dict[str, Mail]:
        """Every mail in the log, acknowledged or not."""
        crm, mails = self.system.crm(), {}
        for user in USER_IDS:
            cursor = None
            while True:
                page = crm.http.get(
                    f"{crm.user(user)}/messages", params={"limit": 100} | ({"cursor": cursor} if cursor else {})).json()
                mails |= {mail["id"]: Mail.of(user, mail) for mail in page["messages"]}
                if not (cursor := page["next_cursor"]):
                    break
        return mails

    def judge(self) -> dict[str, Mail]:
        """Waits until every mail is final, then judges them."""
        began, crm, mails = time.monotonic(), self.system.crm(), self.mails()
        while open_mails := [id for id, mail in mails.items() if mail.status not in FINAL]:
            assert time.monotonic() < began + FINAL_WITHIN, (
                f"seed {SEED}: not final after {FINAL_WITHIN} s: {open_mails[:5]}")
            for id in open_mails:
                user = mails[id].user
                answer = crm.http.get(f"{crm.user(user)}/messages/{id}")
                if answer.status_code == 200:
                    mails[id] = Mail.of(user, answer.json())
            time.sleep(0.2)
        took = time.monotonic() - began
        reported = {user: crm.report(user) for user in USER_IDS}
        broken = breaches(
            set(self.acknowledged), mails, self.ledger(), reported, timedelta(seconds=LONGEST_HELD), self.held_until)
        assert not broken, f"seed {SEED}: {len(broken)} broken promises: {broken[:5]}"
        counts = dict(Counter(mail.status for mail in mails.values()))
        print(f"seed {SEED}: {len(self.acknowledged)} acknowledged, final after {took:.1f} s: {counts}")
        return mails

    def judge_later(self) -> None:
        """In CI the wait for lapsed leases is waited once, by the last test of the module."""
        if SCALE > 1:
            self.judge()


def start_setting(folder: str) -> Setting:
    system = start_system(folder, **UNLIMITED)
    database = urlsplit(system.summary["owner_database_url"])
    proxies = [FaultProxy(("127.0.0.1", port), SEED + port) for port in (urlsplit(system.sandbox).port, database.port)]
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
    return Setting(system, *proxies, own, edge)


def stop_setting(setting: Setting) -> None:
    for replica in (setting.mailer, setting.edge):
        replica.end()
    for proxy in (setting.gmail, setting.database):
        proxy.close()
    assert setting.system.stop() == 0
