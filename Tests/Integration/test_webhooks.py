"""Webhooks to the platform, received over a real socket and judged by the reference library of Standard Webhooks."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from jsonschema import Draft202012Validator
from standardwebhooks.webhooks import Webhook, WebhookVerificationError


class Receiver:
    """Keeps what it was posted; answers what `answer` says for the number of the request."""

    def __init__(self):
        self.received, self.answer = [], lambda number: 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.received.append((dict(self.headers.items()), body))
                self.send_response(receiver.answer(len(receiver.received)))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hooks"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def about(self, user):
        events = [(headers, body, json.loads(body)) for headers, body in list(self.received)]
        return [event for event in events if event[2]["data"].get("user_id") == user]

    def wait_for(self, user, count):
        deadline = time.monotonic() + 30
        while len(self.about(user)) < count:
            assert time.monotonic() < deadline, [event[2] for event in self.about(user)]
            time.sleep(0.05)
        return self.about(user)


def is_described(system, event: dict) -> bool:
    """Whether the OpenAPI document's schema for events of this kind holds it."""
    document = requests.get(f"{system.api}/v1/openapi.json").json()
    kind = event["type"].split(".")[0].replace("webhook", "test")
    request = document["webhooks"][kind]["post"]["requestBody"]["content"]["application/json"]["schema"]
    return Draft202012Validator(request | {"components": document["components"]}).is_valid(event)


@pytest.fixture
def receiver():
    running = Receiver()
    yield running
    running.server.shutdown()


def test_the_platform_is_told_of_connections_and_of_every_status_of_a_mail(system, crm, browser, user, account, receiver):
    endpoint, secret = system.cli("webhook", "add", "--tenant", "default", receiver.url).split("\t")
    try:
        crm.connect(user, browser, account)
        assert crm.send(user, {"to": ["grace@example.com"], "subject": "Told", "body": "x"})[0]
        judge = Webhook(secret)
        events = receiver.wait_for(user, 3)
        for headers, body, event in events:
            assert judge.verify(body, {name.lower(): value for name, value in headers.items()}) == event
        with pytest.raises(WebhookVerificationError):
            judge.verify(events[0][1] + b" ", {name.lower(): value for name, value in events[0][0].items()})
        # In order for each subject; the account and its mail are two.
        types = [event["type"] for _, _, event in events]
        assert [kind for kind in types if kind.startswith("message.")] == ["message.sending", "message.success"]
        assert sorted(types)[0] == "account.connected"
        for _, _, event in events:
            assert is_described(system, event), event
            assert not is_described(system, event | {"data": {}})
            assert not is_described(system, event | {"type": event["type"] + "x"})
        assert not any("Told" in body.decode() or "grace" in body.decode() for _, body, _ in events)

        new = system.cli("webhook", "rotate", "--tenant", "default", endpoint)
        crm.disconnect(user)
        headers, body, event = receiver.wait_for(user, 4)[-1]
        assert event["type"] == "account.disconnected" and is_described(system, event)
        for known in (secret, new):
            assert Webhook(known).verify(body, {name.lower(): value for name, value in headers.items()})
    finally:
        system.cli("webhook", "remove", "--tenant", "default", endpoint)
    assert endpoint not in system.cli("webhook", "list", "--tenant", "default")


def test_the_platform_is_told_when_a_user_must_connect_again(system, crm, browser, user, account, receiver):
    crm.connect(user, browser, account)
    endpoint, _ = system.cli("webhook", "add", "--tenant", "default", "--final-only", receiver.url).split("\t")
    try:
        # The user takes the grant back at Google; nobody tells us before the next mail.
        requests.post(f"{system.sandbox}/sandbox/revoke-account", params={"account": account}).raise_for_status()
        answer = crm.http.post(f"{crm.user(user)}/messages", json={"to": ["grace@example.com"], "body": "x"})
        assert (answer.status_code, answer.json()["code"]) == (409, "reauth_required")
        deadline = time.monotonic() + 30
        while not (told := [event for _, _, event in receiver.about(user) if event["type"].startswith("account.")]):
            assert time.monotonic() < deadline, receiver.about(user)
            time.sleep(0.05)
        assert told[0]["type"] == "account.reauth_required" and is_described(system, told[0])
        assert told[0]["data"]["email_address"] == account and told[0]["data"]["reauth_reason"]
        assert crm.status(user)["status"] == "reauth_required"
        crm.connect(user, browser, account)
        while len(told := [event for _, _, event in receiver.about(user) if event["type"].startswith("account.")]) < 2:
            assert time.monotonic() < deadline, told
            time.sleep(0.05)
        assert told[1]["type"] == "account.connected"
        assert crm.send(user, {"to": ["grace@example.com"], "body": "x"})[0]
    finally:
        system.cli("webhook", "remove", "--tenant", "default", endpoint)


def test_what_was_given_up_is_listed_and_told_again_under_its_id(system, crm, connected, receiver):
    receiver.answer = lambda number: 410 if number == 1 else 200
    endpoint, _ = system.cli("webhook", "add", "--tenant", "default", "--final-only", receiver.url).split("\t")
    try:
        crm.send(connected, {"to": ["grace@example.com"], "subject": "s", "body": "x"})
        first = receiver.wait_for(connected, 1)[0]
        assert first[2]["type"] == "message.success"
        deadline = time.monotonic() + 30
        while not (dead := system.cli("webhook", "deliveries", "--tenant", "default", endpoint)):
            assert time.monotonic() < deadline
        assert dead.split("\t")[0] == first[0]["webhook-id"]
        assert "disabled" in system.cli("webhook", "list", "--tenant", "default")
        system.cli("webhook", "enable", "--tenant", "default", endpoint)
        assert system.cli("webhook", "replay", "--tenant", "default", endpoint) == "1"
        again = receiver.wait_for(connected, 2)[1]
        assert again[0]["webhook-id"] == first[0]["webhook-id"] and again[1] == first[1]
    finally:
        system.cli("webhook", "remove", "--tenant", "default", endpoint)


def test_dead_letters_of_many_mails_are_told_again_in_order_under_the_new_secret(system, crm, connected, receiver):
    receiver.answer = lambda number: 500
    endpoint, old = system.cli("webhook", "add", "--tenant", "default", receiver.url).split("\t")
    try:
        for number in range(3):
            assert crm.send(connected, {"to": ["grace@example.com"], "subject": f"s{number}", "body": "x"})[0]
        receiver.wait_for(connected, 1)
        deadline = time.monotonic() + 60
        while len(dead := system.cli("webhook", "deliveries", "--tenant", "default", endpoint).split("\n")) < 6:
            assert time.monotonic() < deadline, dead
            # Days go by between the tries, and the next one is the last.
            system.sql("""
                UPDATE webhook_deliveries SET attempts = 9, next_at = now()
                WHERE endpoint_id = %s AND state = 'pending' AND next_at > now() + interval '1 s' AND attempts < 9
                """, endpoint)
            time.sleep(0.2)
        assert all(line.split("\t")[3] == "10" and line.endswith("HTTP 500") for line in dead), dead
        assert system.cli("webhook", "list", "--tenant", "default").split("\t")[4:6] == ["0", "6"]
        told = {headers["webhook-id"]: (body, event["data"]["id"]) for headers, body, event in receiver.about(connected)}

        new = system.cli("webhook", "rotate", "--overlap", "0s", "--tenant", "default", endpoint)
        receiver.answer, before = (lambda number: 200), len(receiver.received)
        assert system.cli("webhook", "replay", "--tenant", "default", endpoint) == "6"
        again = receiver.wait_for(connected, before + 6)[before:]
        for headers, body, event in again:
            assert told[headers["webhook-id"]] == (body, event["data"]["id"]), "the same event"
            signed = {name.lower(): value for name, value in headers.items()}
            assert Webhook(new).verify(body, signed) == event
            with pytest.raises(WebhookVerificationError):
                Webhook(old).verify(body, signed)
        for mail in {event["data"]["id"] for _, _, event in again}:
            types = [event["type"] for _, _, event in again if event["data"]["id"] == mail]
            assert types == ["message.sending", "message.success"]
        assert system.cli("webhook", "deliveries", "--tenant", "default", endpoint) == ""
        delivered = system.cli("webhook", "deliveries", "--state", "delivered", "--tenant", "default", endpoint)
        assert [line.split("\t")[3] for line in delivered.split("\n")] == ["11"] * 6
    finally:
        system.cli("webhook", "remove", "--tenant", "default", endpoint)


def test_the_tenant_administers_its_webhooks_by_the_api(system, crm, connected, receiver):
    key = system.cli("key", "create", "--tenant", "default", "--scopes", "admin")
    http = requests.Session()
    http.headers["Authorization"] = f"Bearer {key}"
    made = http.post(f"{crm.api}/v1/webhooks", json={"url": receiver.url, "final_only": True})
    assert made.status_code == 201, made.text
    endpoint = f"{crm.api}/v1/webhooks/{made.json()['id']}"
    try:
        assert http.post(f"{endpoint}/test").status_code == 202
        deadline = time.monotonic() + 30
        while not receiver.received:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        headers, body = receiver.received[0]
        names = {name.lower(): value for name, value in headers.items()}
        told = Webhook(made.json()["secret"]).verify(body, names)
        assert told["type"] == "webhook.test" and is_described(system, told)
        assert "secret" not in http.get(f"{crm.api}/v1/webhooks").text.replace("previous_secret_until", "")
        receiver.answer = lambda number: 410
        assert crm.send(connected, {"to": ["grace@example.com"], "body": "x"})[0]
        while not (dead := http.get(f"{endpoint}/deliveries?state=dead").json()["deliveries"]):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert (dead[0]["type"], dead[0]["last_status"]) == ("message.success", 410)
        receiver.answer = lambda number: 200
        assert http.patch(endpoint, json={"enabled": True}).json()["enabled"]
        assert http.post(f"{endpoint}/replay", json={}).json() == {"replayed": 1}
        assert receiver.wait_for(connected, 2)[1][2] == receiver.about(connected)[0][2]
        assert http.post(f"{crm.api}/v1/webhooks", json={"url": "https://10.0.0.1/"}).status_code == 400
    finally:
        assert http.delete(endpoint).status_code == 204
