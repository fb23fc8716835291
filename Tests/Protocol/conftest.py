"""The servers under test. EMAILMCP_BIN is the folder of the built programs."""

import dataclasses
import os
import pathlib
import select
import ssl
import subprocess
import sys
import urllib.request

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))


@dataclasses.dataclass
class Target:
    """One of our servers, and a request that it answers."""

    name: str
    port: int
    path: str
    method: str = "POST"

    def fields(self, *more, **changed):
        """The request's fields; `path=None` leaves one out, as `method`, `scheme` do."""
        pseudo = {"method": self.method, "scheme": "http", "path": self.path, "authority": "localhost"} | changed
        fields = [(f":{name}", value) for name, value in pseudo.items() if value is not None]
        if self.name == "rpc":
            fields += [("te", "trailers"), ("content-type", "application/grpc")]
        return fields + list(more)


@dataclasses.dataclass
class Process:
    process: subprocess.Popen
    ports: dict
    roots: str

    @property
    def pid(self):
        return self.process.pid

    def target(self, name):
        path = "/grpc.testing.TestService/EmptyCall" if name == "rpc" else "/echo"
        return Target(name, self.ports[name], path)

    def metrics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['http']}/metrics", timeout=30) as answer:
            lines = [line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in lines}

    def tls(self):
        context = ssl.create_default_context(cafile=self.roots)
        context.set_alpn_protocols(["h2"])
        return context


def start(folder, timeout):
    roots = str(folder / "ca.pem")
    process = subprocess.Popen(
        [pathlib.Path(os.environ["EMAILMCP_BIN"]) / "protocol-target", "--timeout", str(timeout), "--ca_file", roots],
        stdout=subprocess.PIPE, stderr=open(folder / "log", "wb"), text=True)
    ready, _, _ = select.select([process.stdout], [], [], 60)
    ports = process.stdout.readline().split() if ready else []
    assert len(ports) == 4, "protocol-target did not start"
    return Process(process, dict(zip(["rpc", "rpc_tls", "http", "http_tls"], map(int, ports))), roots)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """Both servers with the product's own time limits."""
    running = start(tmp_path_factory.mktemp("target"), timeout=10)
    yield running
    assert running.process.poll() is None, "the server ended under the tests"
    running.process.kill()
    running.process.wait()


@pytest.fixture(params=["rpc", "http"])
def target(request, server):
    return server.target(request.param)
