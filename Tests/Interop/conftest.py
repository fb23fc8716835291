"""Starts the servers of the interop tests. EMAILMCP_BIN is the folder of the built programs."""

import os
import pathlib
import select
import socket
import subprocess
import sys
import time

import pytest

HERE = pathlib.Path(__file__).parent
BIN = pathlib.Path(os.environ["EMAILMCP_BIN"])
sys.path.insert(0, str(HERE))

import schema  # noqa: E402


def read_line(process, limit=60):
    """The first line that a server prints once it serves."""
    ready, _, _ = select.select([process.stdout], [], [], limit)
    line = process.stdout.readline() if ready else ""
    if not line:
        process.kill()
        pytest.fail(f"{process.args} did not start")
    return line.strip()


def wait_for(port, limit=60):
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail(f"nobody listens on {port}")


def stop(process):
    process.kill()
    process.wait()


@pytest.fixture(scope="session")
def our_server():
    """The port of our interop server."""
    process = subprocess.Popen(
        [BIN / "interop-server", "--port", "0", "--proto_path", schema.PROTO], stdout=subprocess.PIPE, text=True)
    yield int(read_line(process).rsplit(":", 1)[1])
    stop(process)


@pytest.fixture(scope="session")
def inventory():
    """The process of the example server, and its port."""
    process = subprocess.Popen([BIN / "inventory-server", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
    yield process, int(read_line(process).rsplit(":", 1)[1])
    stop(process)


@pytest.fixture(scope="session")
def our_tls_server(tmp_path_factory):
    """The port of our interop server under TLS, and the file with its authority."""
    roots = str(tmp_path_factory.mktemp("tls") / "ca.pem")
    process = subprocess.Popen(
        [BIN / "interop-server", "--port", "0", "--use_tls", "--ca_file", roots], stdout=subprocess.PIPE, text=True)
    yield int(read_line(process).rsplit(":", 1)[1]), roots
    stop(process)


@pytest.fixture(scope="session")
def python_servers(tmp_path_factory):
    """The ports of a server on PyPI's grpcio, plain and under TLS, and the file of the authority behind the latter."""
    folder = tmp_path_factory.mktemp("grpcio")
    ca, ca_key, leaf, key = (folder / name for name in ("ca.pem", "ca.key", "leaf.pem", "leaf.key"))
    for words in [
        ("-subj", "/CN=interop", "-keyout", ca_key, "-out", ca),
        ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=CA:FALSE",
         "-CA", ca, "-CAkey", ca_key, "-keyout", key, "-out", leaf),
    ]:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             *words], check=True, capture_output=True)
    process = subprocess.Popen(
        [sys.executable, HERE / "python_server.py", leaf, key], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True)
    yield [int(word) for word in read_line(process).split()], ca
    stop(process)


@pytest.fixture(scope="session")
def python_server(python_servers):
    return python_servers[0][0]


@pytest.fixture(scope="session")
def liars():
    """The port of each server that lies, by name."""
    process = subprocess.Popen(
        [sys.executable, HERE / "lying_servers.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    yield dict(pair.split(":") for pair in read_line(process).split())
    stop(process)


@pytest.fixture(scope="session")
def ruby_folder():
    """Where Debian's ruby-grpc keeps the official client and server."""
    found = sorted(pathlib.Path("/usr/lib").glob("*/rubygems-integration/*/gems/grpc-*/src/ruby/pb/test/server.rb"))
    assert found, "the package ruby-grpc is missing: script/install-packages test"
    return found[-1].parent


@pytest.fixture(scope="session")
def ruby_server(ruby_folder):
    """The port of the official Ruby server."""
    with socket.socket() as holder:
        # Held without listening, so that nobody else is given it: gRPC's servers set SO_REUSEPORT too.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("0.0.0.0", 0))
        port = holder.getsockname()[1]
        process = subprocess.Popen(["ruby", ruby_folder / "server.rb", "--port", str(port), "--use_tls", "false"])
        wait_for(port)
        yield port
        stop(process)


@pytest.fixture(scope="session")
def our_client():
    """Runs a case of our client; what it printed is in the failure."""

    def run(case, port, *flags):
        done = subprocess.run(
            [BIN / "interop-client", "--server_host", "localhost", "--server_port", str(port), "--test_case", case,
             *flags],
            capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr

    return run
