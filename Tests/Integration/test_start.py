"""What a service says of its addresses before it serves."""

import os
import signal
import socket
import subprocess
import time

import pytest

from conftest import BIN

KEY = "k1:" + "A" * 43 + "="
SETTINGS = {
    "DATABASE_URL": "postgres://u@127.0.0.1:1/none", "EMAILMCP_RPC_TLS": "off", "EMAILMCP_CONTEXT_KEYS": KEY,
    "EMAILMCP_VAULT_KEYS": KEY, "EMAILMCP_TOKEN_KEYS": KEY, "EMAILMCP_KEY_PEPPER": "A" * 43 + "=",
    "EMAILMCP_GOOGLE_CLIENT_ID": "c", "EMAILMCP_GOOGLE_CLIENT_SECRET": "s",
    "EMAILMCP_GOOGLE_REDIRECT_URI": "https://crm.example/callback", "EMAILMCP_ADMIN_LISTEN": "127.0.0.1:0",
    "EMAILMCP_LOOPS": "2"}
SERVICES = ["edge", "mailer", "oauth", "report"]


def start(service: str, **settings: str) -> subprocess.Popen:
    return subprocess.Popen(
        [f"{BIN}/{service}-service"], env=SETTINGS | {"EMAILMCP_LISTEN": "127.0.0.1:0"} | settings,
        stderr=subprocess.PIPE, text=True)


def log_until(process: subprocess.Popen, text: str) -> str:
    """The log up to a line with the text, or to its end."""
    lines = ""
    for line in process.stderr:
        lines += line
        if text in line:
            break
    return lines


def stop(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGTERM)
    process.stderr.close()
    assert process.wait(60) == 0


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("setting", ["EMAILMCP_LISTEN", "EMAILMCP_ADMIN_LISTEN"])
def test_a_port_of_a_running_process_is_not_shared(service, setting):
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        process = start(service, **{setting: f"127.0.0.1:{other.getsockname()[1]}"})
        log = log_until(process, '"started"')
        process.terminate()
        assert "Address already in use" in log and process.wait(60) == 1


def test_a_service_starts_at_once_where_it_ran_before():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for _ in range(2):
        process = start("edge", EMAILMCP_LISTEN=f"127.0.0.1:{port}")
        assert '"started"' in log_until(process, '"started"')
        # The server ends the connection, so that it is in TIME-WAIT at the server's port.
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            while client.recv(4096):
                pass
        stop(process)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_listens_at_a_path_however_many_loops_it_may_have(service, tmp_path):
    path = str(tmp_path / "s")
    process = start(service, EMAILMCP_LISTEN=f"unix:{path}")
    log = log_until(process, '"started"')
    assert '"started"' in log
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
    stop(process)
    assert not os.path.exists(path)
