"""The official interop cases: our server under foreign clients, our client at foreign servers, and both together."""

import os
import pathlib
import re
import subprocess

import grpc
import pytest
from hyperframe.frame import HeadersFrame, RstStreamFrame

import python_cases
from forwarder import Forwarder
from lying_servers import LIES
from schema import AS_THEY_CAME


BIN = pathlib.Path(os.environ["EMAILMCP_BIN"])


def names(cases):
    return [case.__name__ for case in cases]


PLAIN, REQUEST, RESPONSE = map(
    names, (python_cases.PLAIN_CASES, python_cases.REQUEST_CASES, python_cases.RESPONSE_CASES))
ALL = PLAIN + REQUEST + RESPONSE
# What these end with is the client's own, whatever a server says.
CLIENTS_OWN = {"cancel_after_begin", "timeout_on_sleeping_server"}


@pytest.mark.parametrize("case", ALL)
def test_our_client_at_our_server(case, our_client, our_server):
    our_client(case, our_server)


@pytest.mark.parametrize("program, flag, value", [
    ("interop-server", "port", "x"), ("interop-server", "port", "99999"), ("interop-client", "server_port", "0"),
    ("interop-client", "use_tls", "maybe"),
])
def test_a_flag_that_is_wrong_is_named(program, flag, value):
    case = ["--test_case", "empty_unary", "--server_port", "1"] if program == "interop-client" else []
    done = subprocess.run([BIN / program, *case, f"--{flag}={value}"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and f"--{flag} is" in done.stderr and f"not {value}" in done.stderr


BY_TLS = pytest.mark.parametrize("case", ["empty_unary", "large_unary", "ping_pong"])


@BY_TLS
def test_tls(case, our_client, our_tls_server):
    port, roots = our_tls_server
    our_client(case, port, "--use_tls", "--ca_file", roots)
    our_client(case, port, "--use_tls=true", "--ca_file", roots, "--server_host_override", "foo.test.google.fr")
    with grpc.secure_channel(
        f"localhost:{port}", grpc.ssl_channel_credentials(pathlib.Path(roots).read_bytes())
    ) as channel:
        getattr(python_cases, case)(channel)


@BY_TLS
def test_our_client_at_grpcio_by_tls(case, our_client, python_servers):
    (_, port), roots = python_servers
    our_client(case, port, "--use_tls", "--ca_file", roots)


def fails(said, our_client, *words):
    """The case does not hold, and the client says why."""
    with pytest.raises(AssertionError) as failed:
        our_client(*words)
    assert re.search(f"^ *interop-client: .*{re.escape(said)}", str(failed.value), re.M)


def test_a_client_fails_at_a_server_that_it_may_not_talk_to(our_client, our_server, our_tls_server, python_servers):
    """The judge itself: exit status 0 only when the case holds."""
    fails("no case", our_client, "no_such_case", our_server)
    for (port, roots) in [our_tls_server, (python_servers[0][1], python_servers[1])]:
        tls = ["--use_tls", "--ca_file", roots]
        fails("UNAVAILABLE", our_client, "empty_unary", port)
        fails("UNAVAILABLE", our_client, "empty_unary", port, *tls, "--server_host_override", "other.example")


@pytest.mark.parametrize("service,case,said", LIES, ids=lambda value: getattr(value, "__name__", value))
def test_a_client_fails_where_the_case_does_not_hold(service, case, said, our_client, liars):
    fails(said, our_client, case, liars[service.__name__])


def test_each_case_is_lied_to():
    assert {case for _, case, _ in LIES} == set(ALL) - CLIENTS_OWN


@pytest.mark.parametrize("case", ["cancel_after_begin", "cancel_after_first_response"])
def test_a_cancellation_meets_the_wire(case, our_client, our_server):
    """Else the case would hold at a server that knows nothing of the call."""
    way = Forwarder(our_server)
    our_client(case, way.port)
    way.close()
    opened = [frame.stream_id for frame in way.frames() if isinstance(frame, HeadersFrame)]
    resets = [(frame.stream_id, frame.error_code) for frame in way.frames() if isinstance(frame, RstStreamFrame)]
    assert resets == [(opened[-2], 8)]  # CANCEL


@pytest.mark.parametrize("case", ALL)
def test_our_client_at_grpcio(case, our_client, python_server):
    our_client(case, python_server)


@pytest.mark.parametrize("case", PLAIN)
def test_our_client_at_ruby(case, our_client, ruby_server):
    our_client(case, ruby_server)


@pytest.mark.parametrize("case,said", [
    ("client_compressed_unary", "the probe was to fail"), ("client_compressed_streaming", "the probe was to fail"),
    ("server_compressed_unary", "flag is false"), ("server_compressed_streaming", "flag is not true")])
def test_rubys_server_has_no_part_in_compression(case, said, our_client, ruby_server):
    """The official program does not look at what these cases ask of it, and our client says so."""
    fails(said, our_client, case, ruby_server)


@pytest.mark.parametrize("case", PLAIN + REQUEST)
def test_grpcio_at_our_server(case, our_server):
    with grpc.insecure_channel(f"127.0.0.1:{our_server}") as channel:
        getattr(python_cases, case)(channel)


@pytest.mark.parametrize("case", RESPONSE)
def test_grpcio_at_our_server_sees_what_is_compressed(case, our_server):
    address = f"127.0.0.1:{our_server}"
    with grpc.insecure_channel(address) as channel, grpc.insecure_channel(address, [AS_THEY_CAME]) as as_they_came:
        getattr(python_cases, case)(channel, as_they_came)


@pytest.fixture(scope="module")
def ruby_results(ruby_folder, our_server):
    here = pathlib.Path(__file__).parent
    done = subprocess.run(
        ["ruby", here / "ruby_cases.rb", ruby_folder, "localhost", str(our_server), *ALL],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=120)
    return done.stderr


@pytest.mark.parametrize("case", ALL)
def test_ruby_at_our_server(case, ruby_results):
    assert f"{case} ok" in ruby_results.splitlines(), ruby_results
