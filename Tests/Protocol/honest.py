"""An honest client in a process of its own, so that it does not share an interpreter with the attacker: calls both
servers all the time, one call after the other, and prints `kind begun seconds` of each, or `failed begun reason`.

`honest.py RPC_PORT HTTP_PORT`; ends when its input does. Times are those of the system's monotonic clock.
"""

import sys
import threading
import time
import urllib.request

import grpc

LIMIT = 30


def rpc(port):
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    call = channel.unary_unary("/grpc.testing.TestService/EmptyCall")
    return lambda: call(b"", timeout=LIMIT, wait_for_ready=True)


def get(port):
    return lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/hello", timeout=LIMIT).read()


def run(kind, call):
    while True:
        begun = time.monotonic()
        try:
            call()
            line = f"{kind} {begun} {time.monotonic() - begun}\n"
        except Exception as error:
            line = f"failed {begun} {kind}: {error!r}".replace("\n", " ") + "\n"
        sys.stdout.write(line)
        sys.stdout.flush()
        time.sleep(0.002)


for kind, call in (("rpc", rpc(sys.argv[1])), ("http", get(sys.argv[2]))):
    threading.Thread(target=run, args=(kind, call), daemon=True).start()
sys.stdin.read()
