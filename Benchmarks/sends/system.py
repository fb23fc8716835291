"""A whole system of its own in a temporary folder, and what /proc says of its processes."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from typing import Callable

UNLIMITED = {
    "EMAILMCP_GMAIL_UNITS_PER_MINUTE": "1000000000", "EMAILMCP_GMAIL_PROJECT_UNITS_PER_MINUTE": "1000000000",
    "EMAILMCP_GMAIL_DAILY_RECIPIENTS": "1000000000", "EMAILMCP_RATE_PER_KEY": "1000000/s",
    "EMAILMCP_RATE_PER_USER": "1000000/s", "EMAILMCP_MAX_UNSENT_PER_TENANT": "100000000",
    "EMAILMCP_LOG_LEVEL": "warning"}
SERVICES = ["edge-service", "oauth-service", "mailer-service", "report-service"]
TICKS = os.sysconf("SC_CLK_TCK")


class System:
    """`emailmcp dev` with all quotas lifted: the release programs, their own Postgres with its default durability, and
    the stand-in for Gmail. As a context it ends with its folder."""

    def __init__(self, prepare: Callable[[str], None] | None = None, **settings: str):
        """`prepare` gets the folder before anything runs in it."""
        self.binaries = os.environ["EMAILMCP_BIN"]
        self.data = tempfile.mkdtemp(prefix="emailmcp-bench-")
        os.chmod(self.data, 0o755)
        if prepare:
            prepare(self.data)
        summary = os.path.join(self.data, "summary.json")
        log = open(os.path.join(self.data, "log.txt"), "wb")
        self.process = subprocess.Popen(
            [f"{self.binaries}/emailmcp", "dev", "--data", self.data, "--random-ports", "--summary", summary],
            env={"PATH": os.environ["PATH"], "HOME": self.data} | UNLIMITED | settings, stdout=log, stderr=log)
        while not os.path.exists(summary):
            if self.process.poll() is not None:
                sys.exit(open(log.name).read()[-4000:])
            time.sleep(0.05)
        with open(summary) as file:
            self.summary = json.load(file)
        self.pids = {name_of(pid): pid for pid in children(self.process.pid)}

    def __enter__(self) -> "System":
        return self

    def __exit__(self, *_) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(120)
        shutil.rmtree(self.data)

    @property
    def api(self) -> str:
        return self.summary["api"]

    @property
    def key(self) -> str:
        return self.summary["key"]

    @property
    def superuser_url(self) -> str:
        """Past row-level security, for filling tables."""
        return self.summary["owner_database_url"].replace("://emailmcp:", "://postgres:")

    def parts(self) -> dict[str, int]:
        """The processes whose CPU a send costs."""
        services = {name.removesuffix("-service"): self.pids[name] for name in SERVICES if name != "report-service"}
        return services | {"postgres": self.pids["postgres"], "sandbox": self.pids["google-sandbox"]}

    def replica(self, service: str, **settings: str) -> "Replica":
        """Another process of a service beside the running one, with its environment and ports of its own."""
        return Replica(self, service, settings)


class Replica:
    def __init__(self, system: System, service: str, settings: dict[str, str]):
        self.port, self.admin_port = free_port(), free_port()
        environment = environment_of(system.pids[service]) | settings | {
            "EMAILMCP_LISTEN": f"127.0.0.1:{self.port}", "EMAILMCP_ADMIN_LISTEN": f"127.0.0.1:{self.admin_port}"}
        began = time.monotonic()
        self.process = subprocess.Popen([f"{system.binaries}/{service}"], env=environment, stderr=subprocess.DEVNULL)
        while not is_ready(self.admin_port):
            if time.monotonic() > began + 20:
                sys.exit(f"{service} did not become ready")
            time.sleep(0.001)
        self.ready_after = time.monotonic() - began
        """Seconds from exec to the first 200 of /readyz."""

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()

    def __enter__(self) -> "Replica":
        return self

    def __exit__(self, *_) -> None:
        self.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_ready(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return connection.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


# MARK: What the system says of its processes


def children(pid: int) -> list[int]:
    found: list[int] = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children") as file:
            found += [int(child) for child in file.read().split()]
    return sorted(set(found))


def name_of(pid: int) -> str:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return os.path.basename(file.read().split(b"\0")[0].decode()).split(":")[0]


def environment_of(pid: int) -> dict[str, str]:
    with open(f"/proc/{pid}/environ") as file:
        return dict(entry.split("=", 1) for entry in file.read().split("\0") if entry)


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


def peak_memory_mib(pid: int) -> float:
    with open(f"/proc/{pid}/status") as file:
        return int(re.search(r"VmHWM:\s+(\d+)", file.read())[1]) / 1024
