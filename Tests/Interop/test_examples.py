"""The package under Examples/, as its reader would run it, and under a foreign client that knows no schema."""

import os
import pathlib
import re
import signal
import subprocess

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

import reflection

BIN = pathlib.Path(os.environ["EMAILMCP_BIN"])
SOURCES = pathlib.Path(__file__).parents[2] / "Examples" / "Sources"


def test_the_example_client_at_the_example_server(inventory):
    _, port = inventory
    done = subprocess.run(
        [BIN / "inventory-client", f"ipv4:127.0.0.1:{port}", "apples", "5", "pears", "3", "apples", "-9"],
        capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "apples: now 5", "pears: now 3", "apples: There are not as many. (FAILED_PRECONDITION, out_of_stock)",
        "apples 5", "pears 3"]


def test_a_foreign_client_at_the_example_server(inventory):
    _, port = inventory
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        pool = reflection.pool(channel)
        move, move_request = reflection.method(channel, pool, "inventory.v1.Inventory.Move")
        listing, list_request = reflection.method(channel, pool, "inventory.v1.Inventory.List")
        assert move(move_request(article="quinces", pieces=7), timeout=20).pieces == 7
        assert [(stock.article, stock.pieces) for stock in listing(list_request(prefix="qu"), timeout=20)] == [
            ("quinces", 7)]
        with pytest.raises(grpc.RpcError) as failed:
            move(move_request(article="quinces", pieces=-8), timeout=20)
        assert failed.value.code() == grpc.StatusCode.FAILED_PRECONDITION
        details = dict(failed.value.trailing_metadata())["grpc-status-details-bin"]
        info = error_details_pb2.ErrorInfo()
        assert status_pb2.Status.FromString(details).details[0].Unpack(info)
        assert (info.reason, info.domain) == ("out_of_stock", "inventory")


def test_the_example_server_drains_at_sigterm():
    process = subprocess.Popen([BIN / "inventory-server", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().startswith("listening on ")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0


@pytest.mark.parametrize("program, argument, words", [
    ("inventory-client", "foo:///localhost:1", "there is no scheme foo"),
    ("inventory-client", "ipv4:127.0.0.1:1", "DEADLINE_EXCEEDED"),
    ("inventory-server", "nonsense", "is not host:port"),
])
def test_the_examples_say_what_is_wrong(program, argument, words):
    done = subprocess.run([BIN / program, argument], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and words in done.stdout and len(done.stdout.splitlines()) == 1
    assert "Fatal error" not in done.stderr


def test_a_second_example_server_takes_no_share_of_the_first_ones_port(inventory):
    _, port = inventory
    done = subprocess.run([BIN / "inventory-server", f"127.0.0.1:{port}"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "Address already in use" in done.stdout


def test_the_examples_stay_short():
    """Forty lines each, and nothing but what strangers may import."""
    for name in ["InventoryServer", "InventoryClient"]:
        text = (SOURCES / name / f"{name}.swift").read_text()
        assert len(text.splitlines()) <= 40, name
        assert set(re.findall(r"^import (\w+)", text, re.M)) <= {
            "EventLoop", "Glibc", "InventorySchema", "RPCRuntime", "Synchronization", "WireCodec"}


def test_the_packages_name_the_same_targets():
    """Examples/Package.swift, which a stranger copies, and the root package, which the tests build."""
    root = SOURCES.parents[1]
    named = re.compile(r'name: "(InventorySchema|inventory-[a-z]+)", dependencies')
    ours, theirs = (named.findall((folder / "Package.swift").read_text()) for folder in (root, root / "Examples"))
    assert len(ours) == 3 and sorted(ours) == sorted(theirs)
