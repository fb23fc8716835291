"""Traces go to a collector: a send is one tree over edge, mailer and oauth, under the caller's own span."""

import os
import time

import pytest
import requests

from conftest import start_system
from crm import Browser
from otlp_receiver import Collector

SERVER, CLIENT = 2, 3


@pytest.fixture(scope="module")
def collector():
    running = Collector()
    yield running
    running.close()


@pytest.fixture(scope="module")
def traced(collector, tmp_path_factory):
    running = start_system(
        str(tmp_path_factory.mktemp("traced")), OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.port}",
        OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20collector-key", OTEL_BSP_SCHEDULE_DELAY="100")
    yield running
    assert running.stop() == 0, running.log()[-8000:]


def send(traced, user, flags):
    """Sends as a platform that traces does; gives the trace's id and the id of the platform's span."""
    trace, span = os.urandom(16).hex(), os.urandom(8).hex()
    answer = requests.post(
        f"{traced.api}/v1/users/{user}/messages", json={"to": ["grace@example.com"], "body": "the secret body"},
        headers={"Authorization": f"Bearer {traced.summary['key']}", "traceparent": f"00-{trace}-{span}-{flags}"})
    assert answer.json()["status"] == "success", answer.text
    return trace, span


def until(collector, trace, count):
    deadline = time.monotonic() + 30
    while len(collector.of(trace)) < count and time.monotonic() < deadline:
        time.sleep(0.05)
    return collector.of(trace)


def test_a_send_is_one_tree_over_edge_mailer_and_oauth(traced, collector):
    user, account = "traced-user", "traced-user@example.com"
    traced.crm().connect(user, Browser(), account)
    trace, platform = send(traced, user, "01")
    spans = until(collector, trace, 6)
    by_id = {span["spanId"]: span for span in spans}
    tops = [span for span in spans if span["parentSpanId"] not in by_id]
    assert [(top["parentSpanId"], top["name"], top["service"], top["kind"]) for top in tops] == [
        (platform, "POST /v1/users/{user_id}/messages", "emailmcp-edge", SERVER)]

    def path(span):
        parent = by_id.get(span["parentSpanId"])
        return (path(parent) if parent else []) + [(span["service"].removeprefix("emailmcp-"), span["kind"], span["name"])]

    paths = [path(span) for span in spans]
    mailer = [("edge", SERVER, "POST /v1/users/{user_id}/messages"), ("edge", CLIENT, "emailmcp.mailer.v1.Mailer/SendMessage"),
              ("mailer", SERVER, "emailmcp.mailer.v1.Mailer/SendMessage")]
    token = "emailmcp.oauth.v1.OAuth/GetAccessToken"
    assert mailer + [("mailer", CLIENT, token), ("oauth", SERVER, token)] in paths
    assert mailer + [("mailer", CLIENT, "POST")] in paths  # Gmail
    assert all(int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"]) for span in spans)
    top = tops[0]["attributes"]
    assert top == {"http.request.method": "POST", "http.route": "/v1/users/{user_id}/messages",
                   "http.response.status_code": 200}
    # Nothing tells of whom, to whom, or what.
    told = "".join(collector.bodies)
    for secret in (user, account, "grace@example.com", "the secret body", traced.summary["key"]):
        assert secret not in told, secret
    assert set(collector.credentials) == {"Bearer collector-key"}


def test_a_trace_that_its_beginner_does_not_keep_leaves_no_span(traced, collector):
    user = "unsampled-user"
    traced.crm().connect(user, Browser(), f"{user}@example.com")
    unkept, _ = send(traced, user, "00")
    kept, _ = send(traced, user, "01")
    assert until(collector, kept, 4)
    assert not collector.of(unkept)


def test_a_collector_that_is_away_costs_spans_and_nothing_else(tmp_path):
    running = start_system(str(tmp_path / "data"), OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
                           OTEL_BSP_SCHEDULE_DELAY="50")
    try:
        running.crm().connect("ada", Browser(), "ada@example.com")
        assert running.crm().send("ada", {"to": ["grace@example.com"], "body": "x"})[0]
        deadline = time.monotonic() + 30
        dropped = 0
        while not dropped and time.monotonic() < deadline:
            time.sleep(0.1)
            dropped = sum(float(line.split()[-1]) for line in running.metrics("edge").splitlines()
                          if line.startswith("emailmcp_trace_spans_dropped_total"))
        assert dropped
    finally:
        assert running.stop() == 0
