"""The official interop cases: our server under foreign clients, our client at foreign servers, and both together."""

import pathlib
import subprocess

import grpc
import pytest

import python_cases

PLAIN = [case.__name__ for case in python_cases.PLAIN_CASES]
COMPRESSION = [case.__name__ for case in python_cases.COMPRESSION_CASES]
# The cases that the official Ruby client has; its server has no part in those about compression.
RUBY_CLIENT = [name for name in PLAIN if name != "special_status_message"] + [
    "client_compressed_unary", "client_compressed_streaming"]
# grpcio's server does not tell how a request came, which the cases of compressed requests ask of it.
GRPCIO_SERVER = PLAIN + ["server_compressed_unary", "server_compressed_streaming"]


@pytest.mark.parametrize("case", PLAIN + COMPRESSION)
def test_our_client_at_our_server(case, our_client, our_server):
    our_client(case, our_server)


@pytest.mark.parametrize("case", ["empty_unary", "large_unary", "ping_pong"])
def test_tls(case, our_client, our_tls_server):
    port, roots = our_tls_server
    our_client(case, port, "--use_tls", "--ca_file", roots)
    our_client(case, port, "--use_tls=true", "--ca_file", roots, "--server_host_override", "foo.test.google.fr")
    with grpc.secure_channel(
        f"localhost:{port}", grpc.ssl_channel_credentials(pathlib.Path(roots).read_bytes())
    ) as channel:
        getattr(python_cases, case)(channel)


def test_a_client_fails_where_the_case_does_not_hold(our_client, our_server, our_tls_server):
    """The judge itself: exit status 0 only when the case holds."""
    for case, port, *flags in [
        ("no_such_case", our_server),
        ("empty_unary", our_tls_server[0]),
        ("empty_unary", our_tls_server[0], "--use_tls", "--ca_file", our_tls_server[1],
         "--server_host_override", "other.example"),
    ]:
        with pytest.raises(AssertionError):
            our_client(case, port, *flags)


@pytest.mark.parametrize("case", GRPCIO_SERVER)
def test_our_client_at_grpcio(case, our_client, python_server):
    our_client(case, python_server)


@pytest.mark.parametrize("case", PLAIN)
def test_our_client_at_ruby(case, our_client, ruby_server):
    our_client(case, ruby_server)


@pytest.mark.parametrize("case", PLAIN + COMPRESSION)
def test_grpcio_at_our_server(case, our_server):
    with grpc.insecure_channel(f"127.0.0.1:{our_server}") as channel:
        getattr(python_cases, case)(channel)


@pytest.fixture(scope="module")
def ruby_results(ruby_folder, our_server):
    here = pathlib.Path(__file__).parent
    done = subprocess.run(
        ["ruby", here / "ruby_cases.rb", ruby_folder, "localhost", str(our_server), *RUBY_CLIENT],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=120)
    return done.stderr


@pytest.mark.parametrize("case", RUBY_CLIENT)
def test_ruby_at_our_server(case, ruby_results):
    assert f"{case} ok" in ruby_results.splitlines(), ruby_results
