"""What a service says of its settings and its addresses before it serves."""

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time
from datetime import datetime, timedelta, timezone

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from conftest import BIN

KEY = "k1:" + "A" * 43 + "="
SETTINGS = {
    "DATABASE_URL": "postgres://u@127.0.0.1:1/none", "EMAILMCP_RPC_TLS": "off", "EMAILMCP_CONTEXT_KEYS": KEY,
    "EMAILMCP_VAULT_KEYS": KEY, "EMAILMCP_TOKEN_KEYS": KEY, "EMAILMCP_KEY_PEPPER": "A" * 43 + "=",
    "EMAILMCP_GOOGLE_CLIENT_ID": "c", "EMAILMCP_GOOGLE_CLIENT_SECRET": "s",
    "EMAILMCP_GOOGLE_REDIRECT_URI": "https://crm.example/callback", "EMAILMCP_ADMIN_LISTEN": "127.0.0.1:0",
    "EMAILMCP_LOOPS": "2"}
SERVICES = ["edge", "mailer", "oauth", "report"]


@pytest.fixture(scope="module")
def identities(tmp_path_factory) -> str:
    folder = str(tmp_path_factory.mktemp("identities"))
    subprocess.run([f"{BIN}/emailmcp", "init", folder], check=True, capture_output=True)
    return folder


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


def check(service: str, **settings: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [f"{BIN}/{service}-service", "--check-config"], env=SETTINGS | settings, capture_output=True, text=True)


@pytest.mark.parametrize("program", [*(f"{service}-service" for service in SERVICES), "google-sandbox", "emailmcp"])
def test_a_program_says_its_version(program):
    answer = subprocess.run([f"{BIN}/{program}", "--version"], env={}, capture_output=True, text=True)
    assert answer.returncode == 0 and answer.stdout.startswith(f"{program} ") and answer.stderr == ""


@pytest.mark.parametrize("program", [*(f"{service}-service" for service in SERVICES), "google-sandbox"])
def test_the_help_names_every_argument(program):
    answer = subprocess.run([f"{BIN}/{program}", "--help"], env={}, capture_output=True, text=True)
    assert answer.returncode == 0 and all(name in answer.stdout for name in ["--check-config ", "--probe ", "--version"])
    assert ("--port N " in answer.stdout) == (program == "google-sandbox")


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


def test_of_two_processes_that_start_in_the_same_instant_one_has_the_port():
    for _ in range(5):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        processes = [start("report", EMAILMCP_LISTEN=f"127.0.0.1:{port}") for _ in range(2)]
        logs = [log_until(process, '"started"') for process in processes]
        assert sorted('"started"' in log for log in logs) == [False, True], logs
        for process, log in zip(processes, logs):
            if '"started"' in log:
                stop(process)
            else:
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


@pytest.mark.parametrize("allowed, starts", [(127, False), (128, True), (12, False), (7, False)])
def test_too_few_descriptors_for_its_loops_stop_the_start_with_clear_words(allowed, starts):
    """Regression: with seven it died by SIGILL."""
    process = subprocess.Popen(
        [f"{BIN}/edge-service"], env=SETTINGS | {"EMAILMCP_LISTEN": "127.0.0.1:0"}, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (6, allowed)))
    log = log_until(process, '"started"')
    if starts:
        return stop(process)
    assert process.wait(60) == 1 and f"edge: {allowed} open files are allowed" in log and "need 128" in log


def test_the_stand_in_for_google_keeps_whole_events_on_a_full_disk_and_says_that_it_keeps_no_more(tmp_path):
    def limit_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # Instead of a full disk: files that may not grow, which the signal is to leave to the call.
    process = subprocess.Popen(
        [f"{BIN}/google-sandbox", "--port", str(port)], env={"EMAILMCP_SANDBOX_DATA": str(tmp_path)},
        stderr=subprocess.PIPE, text=True, preexec_fn=limit_files, restore_signals=False)
    revoke = lambda account: requests.post(
        f"http://127.0.0.1:{port}/sandbox/revoke-account", params={"account": account}).raise_for_status()
    log_until(process, '"started"')
    for number in range(80):
        revoke(f"user-{number}@example.com")
    assert "is not kept for the next start" in log_until(process, "is not kept")
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    revoke("last@example.com")
    stop(process)
    events = [json.loads(line) for line in (tmp_path / "journal.ndjson").read_text().splitlines()]
    assert len(events) > 20 and events[-1] == {"revoked": "last@example.com"}


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


@pytest.mark.parametrize("service, settings, words", [
    ("report", {"DATABASE_URL": "postgress://u:sekret@127.0.0.1/db"}, "the database URL cannot be read"),
    ("report", {"DATABASE_URL": ""}, "is not set"),
    ("report", {"DATABASE_URL": "postgres://u:sekret@127.0.0.1/db?sslmode=foo"}, "sslmode is one of"),
    ("report", {"DATABASE_URL": "postgres://u:sekret@127.0.0.1:99999/db"}, "port"),
    ("edge", {"EMAILMCP_MAILER_TARGET": "ipv4:1.2.3.4:0"}, "port"),
    ("mailer", {"EMAILMCP_GMAIL_API_URL": "https://gmail.googleapis.com/gmail"}, "without a path"),
    ("mailer", {"OTEL_SDK_DISABLED": "maybe"}, "must be true or false"),
    ("mailer", {"OTEL_EXPORTER_OTLP_HEADERS": "sekret"}, "must be name=value"),
    ("mailer", {"EMAILMCP_LISTEN": "127.0.0.1:7", "EMAILMCP_ADMIN_LISTEN": "127.0.0.1:7"}, "EMAILMCP_LISTEN too"),
    ("mailer", {"EMAILMCP_FOO": "1"}, "EMAILMCP_FOO is not a setting"),
])
def test_what_no_start_could_use_is_one_problem_of_the_settings(service, settings, words):
    answer = check(service, **settings)
    assert answer.returncode == 1 and words in answer.stderr, answer.stderr
    assert len(answer.stderr.splitlines()) == 1 and "sekret" not in answer.stdout + answer.stderr
    assert "did you mean" not in answer.stderr


@pytest.mark.parametrize("certificate, key, authority, words", [
    ("mailer.pem", "mailer.key", "ca.pem", None),
    ("none.pem", "mailer.key", "ca.pem", "none.pem"),
    ("mailer.pem", "edge.key", "ca.pem", "edge.key"),
    ("mailer.pem", "mailer.key", "mailer.key", "no certificate in"),
    ("edge.pem", "edge.key", "ca.pem", "is the certificate of spiffe://emailmcp/edge, not of spiffe://emailmcp/mailer"),
])
def test_certificates_that_do_not_fit_are_problems_of_the_settings(identities, certificate, key, authority, words):
    answer = check(
        "mailer", EMAILMCP_RPC_TLS="on", EMAILMCP_TLS_CERT=f"{identities}/{certificate}",
        EMAILMCP_TLS_KEY=f"{identities}/{key}", EMAILMCP_TLS_CA=f"{identities}/{authority}")
    assert answer.returncode == (1 if words else 0), answer.stderr
    assert (words or "") in answer.stderr and len(answer.stderr.splitlines()) == (1 if words else 0)


def ended(path: str, identities: str, target: str) -> str:
    """The same certificate as it would be two days after its end."""
    with open(path, "rb") as file:
        old = x509.load_pem_x509_certificate(file.read())
    with open(f"{identities}/ca.key", "rb") as file:
        authority = serialization.load_pem_private_key(file.read(), None)
    now = datetime.now(timezone.utc)
    builder = x509.CertificateBuilder(
        old.issuer, old.subject, old.public_key(), old.serial_number, now - timedelta(9), now - timedelta(2),
        list(old.extensions))
    with open(target, "wb") as file:
        file.write(builder.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return target


def test_a_certificate_that_has_ended_is_a_problem_of_the_settings_unless_only_strangers_see_it(identities, tmp_path):
    old = ended(f"{identities}/edge.pem", identities, str(tmp_path / "edge.pem"))
    answer = check(
        "edge", EMAILMCP_RPC_TLS="on", EMAILMCP_TLS_CERT=old, EMAILMCP_TLS_KEY=f"{identities}/edge.key",
        EMAILMCP_TLS_CA=f"{identities}/ca.pem", EMAILMCP_EDGE_TLS_CERT=old, EMAILMCP_EDGE_TLS_KEY=f"{identities}/edge.key")
    assert answer.returncode == 1 and len(answer.stderr.splitlines()) == 1
    assert "CN=emailmcp edge has ended" in answer.stderr


@pytest.mark.parametrize("service", ["report", "edge"])
def test_a_running_service_tells_of_a_new_certificate_that_cannot_be_used(identities, tmp_path, service):
    for name in (f"{service}.pem", f"{service}.key", "ca.pem"):
        shutil.copy(f"{identities}/{name}", tmp_path)
    certificate, key = str(tmp_path / f"{service}.pem"), str(tmp_path / f"{service}.key")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    files = {"EMAILMCP_EDGE_TLS_CERT": certificate, "EMAILMCP_EDGE_TLS_KEY": key} if service == "edge" else {
        "EMAILMCP_RPC_TLS": "on", "EMAILMCP_TLS_CERT": certificate, "EMAILMCP_TLS_KEY": key,
        "EMAILMCP_TLS_CA": str(tmp_path / "ca.pem")}
    process = start(service, EMAILMCP_LISTEN=f"127.0.0.1:{port}", **files)
    assert '"started"' in log_until(process, '"started"')
    ended(certificate, identities, certificate)
    told = threading.Event()

    def ask() -> None:
        """The files are looked at when somebody connects."""
        deadline = time.monotonic() + 30
        while not told.wait(0.1) and time.monotonic() < deadline:
            socket.create_connection(("127.0.0.1", port)).close()
        if not told.is_set():
            process.kill()

    asking = threading.Thread(target=ask)
    asking.start()
    log = log_until(process, "changed certificates")
    told.set()
    asking.join()
    assert "changed certificates cannot be used" in log and f"CN=emailmcp {service} has ended" in log
    stop(process)


def test_the_public_certificate_must_fit_its_key(identities):
    answer = check(
        "edge", EMAILMCP_EDGE_TLS_CERT=f"{identities}/edge.pem", EMAILMCP_EDGE_TLS_KEY=f"{identities}/mailer.key")
    assert answer.returncode == 1 and "mailer.key" in answer.stderr


def diagnosis(**settings: str) -> list[str]:
    """What the doctor finds wrong with certificates."""
    answer = subprocess.run(
        [f"{BIN}/emailmcp", "doctor"], env=settings, capture_output=True, text=True)
    lines = [line for line in answer.stdout.splitlines() if "certificate" in line]
    return [line for line in lines if line.startswith("!!")]


def test_the_doctor_names_what_peers_would_refuse(identities, tmp_path):
    other = str(tmp_path / "other")
    subprocess.run([f"{BIN}/emailmcp", "init", other], check=True, capture_output=True)

    def wrong(certificate: str, key: str, authority: str) -> list[str]:
        return diagnosis(
            EMAILMCP_TLS_CERT=certificate, EMAILMCP_TLS_KEY=key, EMAILMCP_TLS_CA=authority,
            EMAILMCP_EDGE_TLS_CERT=f"{identities}/edge.pem", EMAILMCP_EDGE_TLS_KEY=f"{identities}/edge.key")

    both = tmp_path / "both.pem"
    with open(f"{identities}/ca.pem") as one, open(f"{other}/ca.pem") as another:
        both.write_text(one.read() + another.read())
    certificate, key, authority = (f"{identities}/{name}" for name in ("mailer.pem", "mailer.key", "ca.pem"))
    assert wrong(certificate, key, authority) == wrong(certificate, key, str(both)) == []
    assert "mailer.key" in wrong(certificate, f"{other}/mailer.key", authority)[0]
    assert "certificate_rejected" in wrong(certificate, key, f"{other}/ca.pem")[0]
    old = ended(certificate, identities, str(tmp_path / "mailer.pem"))
    assert ["not valid now" in line or "expired" in line for line in wrong(old, key, authority)] == [True, True]
    # The public certificate's peers are browsers, whose authorities nobody knows here.
    public = diagnosis(EMAILMCP_EDGE_TLS_CERT=f"{identities}/edge.pem", EMAILMCP_EDGE_TLS_KEY=f"{other}/edge.key")
    assert len(public) == 1 and "_CERT and _KEY do not fit" in public[0] and "peer" not in public[0]


def test_no_command_repeats_the_password_of_a_url_that_it_cannot_read():
    for command in (["doctor"], ["tenant", "list"], ["migrate"]):
        answer = subprocess.run(
            [f"{BIN}/emailmcp", *command], env={"DATABASE_URL": "postgress://u:sekret@127.0.0.1/db"},
            capture_output=True, text=True)
        said = answer.stdout + answer.stderr
        assert answer.returncode != 0 and "sekret" not in said
        assert "the database URL cannot be read" in said and "connection_lost" not in said
