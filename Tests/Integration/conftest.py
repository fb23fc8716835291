"""Runs the whole system as `emailmcp dev` does, once for each vault, for the tests of this folder.

EMAILMCP_BIN is the folder of the built programs; TEST_SECRETS_MANAGER_URL the Secrets Manager (moto) that
script/test has started.
"""

import base64
import email
import email.message
import email.policy
import json
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass

import psycopg
import pytest
import requests

from crm import CRM, Browser

BIN = os.environ["EMAILMCP_BIN"]


def children(pid: int) -> list[int]:
    return [int(word) for word in subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()]


def program(pid: int) -> str:
    with open(f"/proc/{pid}/cmdline") as file:
        return os.path.basename(file.read().split("\0")[0])


@dataclass
class System:
    summary: dict
    process: subprocess.Popen
    log_path: str
    vault: str

    @property
    def api(self) -> str:
        return self.summary["api"]

    @property
    def sandbox(self) -> str:
        return self.summary["sandbox"]

    def crm(self, key: str | None = None) -> CRM:
        return CRM(self.api, key or self.summary["key"], self.summary["platform_page"])

    def log(self) -> str:
        with open(self.log_path, errors="replace") as file:
            return file.read()

    def inbox(self) -> list[dict]:
        return requests.get(f"{self.sandbox}/sandbox/messages", params={"limit": 1000}).json()["messages"]

    def received(self, message_id: str) -> email.message.EmailMessage:
        """The mail as Gmail got it."""
        raw = requests.get(f"{self.sandbox}/sandbox/messages/{message_id}").json()["raw"]
        return email.message_from_bytes(base64.urlsafe_b64decode(raw + "=="), policy=email.policy.default)

    def fault(self, **fault) -> None:
        requests.post(f"{self.sandbox}/sandbox/faults", json=fault).raise_for_status()

    def metrics(self, service: str) -> str:
        return requests.get(f"http://127.0.0.1:{self.summary[service]['admin_port']}/metrics").text

    def memory(self, service: str, peak: bool = False) -> int:
        """A process's resident memory in bytes, from which its peak is counted anew; or that peak."""
        pid = next(pid for pid in children(self.process.pid) if program(pid) == f"{service}-service")
        if not peak:
            with open(f"/proc/{pid}/clear_refs", "w") as file:
                file.write("5")
        with open(f"/proc/{pid}/status") as file:
            return int(re.search(("VmHWM" if peak else "VmRSS") + r":\s+(\d+)", file.read())[1]) << 10

    def cli(self, *arguments: str) -> str:
        """The command line as the operator runs it, with the owner's login."""
        environment = {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": self.summary["owner_database_url"],
            "EMAILMCP_KEY_PEPPER_FILE": f"{self.summary['identities']}/key-pepper",
            "EMAILMCP_VAULT_KEYS_FILE": f"{self.summary['identities']}/vault-keys",
            "EMAILMCP_WEBHOOK_LOOPBACK": "on",
        }
        answer = subprocess.run([f"{BIN}/emailmcp", *arguments], env=environment, capture_output=True, text=True)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout.strip()

    def sql(self, statement: str, *values) -> list[tuple]:
        """Past row-level security."""
        with psycopg.connect(self.summary["owner_database_url"].replace("://emailmcp:", "://postgres:")) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def stop(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


def start_system(data: str, vault: str = "sealed", **settings: str) -> System:
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ} | settings
    environment["EMAILMCP_VAULT"] = vault
    if vault == "aws":
        environment |= {
            "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": os.environ["TEST_SECRETS_MANAGER_URL"]}
    summary, log = os.path.join(data, "summary.json"), os.path.join(data, "log.txt")
    os.makedirs(data, exist_ok=True)
    if os.path.exists(summary):
        os.unlink(summary)
    with open(log, "ab") as output:
        process = subprocess.Popen(
            [f"{BIN}/emailmcp", "dev", "--data", data, "--random-ports", "--summary", summary],
            env=environment, stdout=output, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 90
    while not os.path.exists(summary):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            with open(log, errors="replace") as file:
                pytest.fail(f"the system did not start:\n{file.read()[-8000:]}")
        time.sleep(0.05)
    with open(summary) as file:
        return System(json.load(file), process, log, vault)


@pytest.fixture(scope="session", params=["sealed", "aws"])
def system(request, tmp_path_factory):
    # All that is said at any level, so that the tests see what must not be.
    running = start_system(str(tmp_path_factory.mktemp(request.param)), request.param, EMAILMCP_LOG_LEVEL="debug")
    yield running
    assert running.stop() == 0, running.log()[-8000:]


@pytest.fixture
def crm(system) -> CRM:
    return system.crm()


@pytest.fixture
def browser() -> Browser:
    return Browser()


@pytest.fixture
def user() -> str:
    """A user of the platform that no other test knows."""
    return f"user-{os.urandom(6).hex()}"


@pytest.fixture
def account(user) -> str:
    """The user's own Google account."""
    return f"{user}@example.com"


@pytest.fixture
def connected(crm, browser, user, account) -> str:
    crm.connect(user, browser, account)
    return user
