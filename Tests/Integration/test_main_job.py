"""The main job as a CRM does it: connect an account, send from it, see it in the reports; and what goes wrong on the way."""

import base64
import json
import os
import re
import socket
import time
from datetime import datetime, timedelta, timezone

import psycopg
import pytest
import requests


# What the vault has no part in.
ONE_VAULT = pytest.mark.parametrize("system", ["sealed"], indirect=True)


def sent_by(crm, user: str) -> list[dict]:
    answer = crm.http.get(f"{crm.user(user)}/messages")
    answer.raise_for_status()
    return answer.json()["messages"]


def people(header) -> list[tuple[str, str]]:
    return [(address.display_name, address.addr_spec) for address in header.addresses]


class TestConnect:
    def test_status_before_connecting_offers_to_connect(self, crm, user):
        status = crm.status(user)
        assert status["gmail_connected"] is False
        assert status["status"] == "never_connected"
        assert status["email_address"] is None

    def test_connect_then_status_shows_the_account(self, crm, browser, user, account):
        result = crm.connect(user, browser, account)
        assert result["status"] == "success"
        assert result["email_address"] == account
        assert result["gmail_connected"] is True
        assert result["redirect_url"] == crm.redirect_url
        status = crm.status(user)
        assert status["gmail_connected"] is True
        assert (status["status"], status["email_address"]) == ("active", account)
        assert "https://www.googleapis.com/auth/gmail.send" in status["scopes"]

    def test_the_authorization_url_names_no_user(self, crm, user):
        url = crm.start_connect(user)
        assert user not in url
        for part in ("response_type=code", "access_type=offline", "prompt=consent", "code_challenge_method=S256", "nonce="):
            assert part in url

    def test_denied_consent_is_told_and_stores_nothing(self, crm, browser, user, account):
        landed = browser.consent(crm.start_connect(user), account, until=crm.redirect_url, allow=False)
        assert "error=consent_denied" in landed
        answer = crm.finish_connect(user, landed)
        assert (answer.status_code, answer.json()["code"]) == (400, "consent_denied")
        assert crm.status(user)["status"] == "never_connected"

    def test_unticked_scope_is_told_and_stores_nothing(self, crm, browser, user, account):
        landed = browser.consent(crm.start_connect(user), account, until=crm.redirect_url, untick="gmail.send")
        answer = crm.finish_connect(user, landed)
        assert (answer.status_code, answer.json()["code"]) == (422, "scope_not_granted")
        assert crm.status(user)["gmail_connected"] is False

    def test_a_completion_works_once(self, crm, browser, user, account):
        landed = browser.consent(crm.start_connect(user), account, until=crm.redirect_url)
        assert crm.finish_connect(user, landed).status_code == 200
        again = crm.finish_connect(user, landed)
        assert (again.status_code, again.json()["code"]) == (400, "invalid_state")

    def test_another_user_cannot_complete_the_flow(self, crm, browser, user, account):
        landed = browser.consent(crm.start_connect(user), account, until=crm.redirect_url)
        stolen = crm.finish_connect("mallory", landed)
        assert (stolen.status_code, stolen.json()["code"]) == (400, "invalid_state")
        assert crm.status("mallory")["gmail_connected"] is False

    def test_an_unregistered_redirect_is_refused(self, crm, user):
        answer = crm.http.post(f"{crm.api}/v1/oauth/authorize",
                               json={"user_id": user, "redirect_url": crm.redirect_url + "/"})
        assert (answer.status_code, answer.json()["code"]) == (400, "redirect_url_not_allowed")

    def test_disconnect_and_connect_again(self, crm, browser, connected, account):
        crm.disconnect(connected)
        crm.disconnect(connected)
        status = crm.status(connected)
        assert (status["status"], status["email_address"]) == ("disconnected", None)
        assert crm.send(connected, {"to": ["a@example.com"], "body": "x"})[0] is False
        crm.connect(connected, browser, account)
        assert crm.send(connected, {"to": ["a@example.com"], "body": "x"})[0] is True


class TestSend:
    def test_a_plain_mail_arrives_from_the_users_account(self, system, crm, connected, account):
        sent, message_id, error = crm.send(connected, {
            "to": ["grace@example.com"], "subject": "Grüße aus Köln – 你好", "body": "Zeile eins\nZeile zwei: ✓\n"})
        assert (sent, error) == (True, None)
        mail = system.received(message_id)
        assert mail["From"] == account
        assert mail["To"] == "grace@example.com"
        assert mail["Subject"] == "Grüße aus Köln – 你好"
        assert mail.get_content().replace("\r\n", "\n") == "Zeile eins\nZeile zwei: ✓\n"

    def test_html_and_attachments_arrive_whole(self, system, crm, connected):
        content = os.urandom(100_000)
        sent, message_id, _ = crm.send(connected, {
            "to": ["grace@example.com", {"email": "heidi@example.com", "name": "Heidi Müller"}],
            "cc": ["ivan@example.com"], "bcc": ["judy@example.com"], "subject": "Figures",
            "body": "plain", "html": "<p>rich</p>",
            "attachments": [{"filename": "Bericht größer.pdf", "content_type": "application/pdf",
                             "content": base64.b64encode(content).decode()}]})
        assert sent
        mail = system.received(message_id)
        assert mail.get_body(("plain",)).get_content().strip() == "plain"
        assert mail.get_body(("html",)).get_content().strip() == "<p>rich</p>"
        attachment, = mail.iter_attachments()
        assert attachment.get_filename() == "Bericht größer.pdf"
        assert attachment.get_content() == content
        assert mail["Cc"] == "ivan@example.com"

    @ONE_VAULT
    def test_every_field_of_a_mail_arrives(self, system, crm, connected, account):
        thread = crm.http.post(
            f"{crm.user(connected)}/messages", json={"to": ["grace@example.com"], "body": "x"}).json()["thread_id"]
        leaves = datetime.now(timezone.utc) + timedelta(seconds=1)
        image, file, subject = os.urandom(300), os.urandom(5000), f"Every field: Größe – {connected}"
        answer = crm.http.post(f"{crm.user(connected)}/messages", json={
            "to": ["grace@example.com", {"email": "heidi@example.com", "name": "Heidi Müller"}],
            "cc": [{"email": "ivan@example.com", "name": "Ivan, the Second"}, "judy@example.com"],
            "bcc": ["kim@example.com", {"email": "leo@example.com", "name": "Leo"}],
            "subject": subject, "body": "Zeile eins\nZeile zwei: ✓", "html": '<p>Ü <img src="cid:logo@crm.example"></p>',
            "from_email": account.upper(), "from_name": "Ada Sölve", "reply_to": ["mia@example.com", {
                "email": "nils@example.com", "name": "Nils"}],
            "attachments": [
                {"filename": "Bericht größer.pdf", "content_type": "application/pdf",
                 "content": base64.b64encode(file).decode(), "disposition": "attachment"},
                {"filename": "logo.png", "content_type": "image/png", "content": base64.b64encode(image).decode(),
                 "content_id": "logo@crm.example", "disposition": "inline"}],
            "headers": {
                "X-Deal": "Größe 7", "List-Unsubscribe": "<https://crm.example/u/7>",
                "List-Unsubscribe-Post": "List-Unsubscribe=One-Click", "References": "<a@crm.example> <b@crm.example>",
                "In-Reply-To": "<b@crm.example>"},
            "thread_id": thread, "provider": "gmail_api", "send_at": leaves.isoformat().replace("+00:00", "Z"),
            "on_ambiguous": "retry", "priority": "bulk", "metadata": {"deal": "7", "größe": "Ü"}})
        assert (answer.status_code, answer.json()["status"]) == (202, "scheduled"), answer.text
        deadline = time.monotonic() + 20
        while (sent := crm.http.get(crm.api + answer.headers["Location"]).json())["status"] != "success":
            assert time.monotonic() < deadline, sent
            time.sleep(0.05)

        # As the log has it.
        assert (sent["thread_id"], sent["subject"], sent["from_email"]) == (thread, subject, account)
        assert sent["metadata"] == {"deal": "7", "größe": "Ü"}
        assert [entry["event"] for entry in sent["timeline"]][:2] == ["accepted", "scheduled"]
        # As Gmail took it: everyone is written to, and nobody sees the Bcc.
        taken = requests.get(f"{system.sandbox}/sandbox/messages/{sent['message_id']}").json()
        assert (taken["account"], taken["threadId"]) == (account, thread)
        assert (taken["to"], taken["cc"], taken["bcc"]) == (
            ["grace@example.com", "heidi@example.com"], ["ivan@example.com", "judy@example.com"],
            ["kim@example.com", "leo@example.com"])
        mail = system.received(sent["message_id"])
        assert "Bcc" not in mail and b"leo@" not in bytes(mail)
        # As its recipients read it.
        assert people(mail["From"]) == [("Ada Sölve", account)]
        assert people(mail["To"]) == [("", "grace@example.com"), ("Heidi Müller", "heidi@example.com")]
        assert people(mail["Cc"]) == [("Ivan, the Second", "ivan@example.com"), ("", "judy@example.com")]
        assert people(mail["Reply-To"]) == [("", "mia@example.com"), ("Nils", "nils@example.com")]
        assert {name: mail[name] for name in ("Subject", "X-Deal", "List-Unsubscribe", "List-Unsubscribe-Post",
                                              "References", "In-Reply-To")} == {
            "Subject": subject, "X-Deal": "Größe 7", "List-Unsubscribe": "<https://crm.example/u/7>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click", "References": "<a@crm.example> <b@crm.example>",
            "In-Reply-To": "<b@crm.example>"}
        assert mail["Date"].datetime == leaves.replace(microsecond=0)
        assert answer.json()["id"] in mail["Message-ID"]
        assert [part.get_content_type() for part in mail.walk()] == [
            "multipart/mixed", "multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png",
            "application/pdf"]
        _, _, text, _, html, logo, report = mail.walk()
        assert text.get_content().replace("\r\n", "\n").strip() == "Zeile eins\nZeile zwei: ✓"
        assert html.get_content().strip() == '<p>Ü <img src="cid:logo@crm.example"></p>'
        assert (logo.get_content(), logo.get_filename(), logo["Content-ID"], logo.get_content_disposition()) == (
            image, "logo.png", "<logo@crm.example>", "inline")
        assert (report.get_content(), report.get_filename(), report.get_content_disposition()) == (
            file, "Bericht größer.pdf", "attachment")

    def test_a_large_mail_takes_the_upload_form(self, system, crm, connected):
        content = os.urandom(6 << 20)
        sent, message_id, error = crm.send(connected, {
            "to": ["grace@example.com"], "body": "large", "attachments": [
                {"filename": "a.bin", "content_type": "application/octet-stream",
                 "content": base64.b64encode(content).decode()}]})
        assert sent, error
        attachment, = system.received(message_id).iter_attachments()
        assert attachment.get_content() == content

    @ONE_VAULT
    def test_a_large_mail_is_in_the_mailers_memory_less_than_twice_on_its_way_through_the_queue(self, system, crm, connected):
        size = 18 << 20
        mail = {"to": ["grace@example.com"], "body": "large", "attachments": [
            {"filename": "a.bin", "content_type": "application/octet-stream",
             "content": base64.b64encode(os.urandom(size)).decode()}]}
        # So that it is not sent while it is being accepted.
        leaves = datetime.now(timezone.utc) + timedelta(seconds=3)
        before = system.memory("mailer")
        answer = crm.http.post(
            f"{crm.user(connected)}/messages", json=mail | {"send_at": leaves.isoformat().replace("+00:00", "Z")},
            headers={"Prefer": "respond-async"})
        assert answer.status_code == 202, answer.text
        deadline = time.monotonic() + 40
        while crm.http.get(crm.api + answer.headers["Location"]).json()["status"] != "success":
            assert time.monotonic() < deadline
            time.sleep(0.2)
        used = system.memory("mailer", peak=True) - before
        assert used <= 2 * size * 78 / 57, f"{used >> 20} MiB"

    def test_without_a_connection_the_sentence_says_so(self, crm, user):
        sent, _, error = crm.send(user, {"to": ["grace@example.com"], "body": "x"})
        assert not sent
        assert error

    def test_bad_input_names_its_fields(self, crm, connected):
        answer = crm.http.post(f"{crm.user(connected)}/messages", json={"to": ["no address"], "bogus": 1})
        assert answer.status_code == 400
        assert answer.headers["Content-Type"].startswith("application/problem+json")
        fields = {entry["field"] for entry in answer.json()["errors"]}
        assert {"bogus"} <= fields

    def test_header_injection_is_refused(self, crm, connected):
        answer = crm.http.post(f"{crm.user(connected)}/messages",
                               json={"to": ["a@example.com"], "subject": "x\r\nBcc: b@example.com", "body": "x"})
        assert answer.status_code == 400

    def test_the_same_idempotency_key_sends_once(self, system, crm, connected):
        message = {"to": ["grace@example.com"], "subject": f"once {connected}", "body": "x"}
        url, headers = f"{crm.user(connected)}/messages", {"Idempotency-Key": f"key-{connected}"}
        first = crm.http.post(url, json=message, headers=headers)
        again = crm.http.post(url, json=message, headers=headers)
        assert (first.status_code, again.status_code) == (200, 200)
        assert first.json() == again.json()
        assert again.headers["Idempotency-Replayed"] == "true"
        other = crm.http.post(url, json=message | {"body": "y"}, headers=headers)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
        assert sum(m["subject"] == f"once {connected}" for m in system.inbox()) == 1

    def test_respond_async_is_durable_and_then_delivered(self, crm, connected):
        answer = crm.http.post(f"{crm.user(connected)}/messages", json={"to": ["grace@example.com"], "body": "x"},
                               headers={"Prefer": "respond-async"})
        assert answer.status_code == 202
        location = answer.headers["Location"]
        deadline = time.monotonic() + 10
        while (message := crm.http.get(crm.api + location).json())["status"] != "success":
            assert time.monotonic() < deadline, message
            time.sleep(0.05)
        assert [entry["event"] for entry in message["timeline"]][0] == "accepted"

    def test_capacity_shows_what_a_mail_has_used_and_what_waits(self, crm, connected):
        url = f"{crm.user(connected)}/capacity"
        before = crm.http.get(url).json()
        assert (before["status"], before["paused_reason"], before["queue"]["waiting"]) == ("active", None, 0)
        assert crm.send(connected, {"to": ["a@b.example", "c@d.example"], "body": "x"})[0]
        later = datetime.fromtimestamp(time.time() + 3600, timezone.utc).isoformat().replace("+00:00", "Z")
        crm.http.post(f"{crm.user(connected)}/messages", json={"to": ["a@b.example"], "body": "x", "send_at": later})
        after = crm.http.get(url).json()
        assert after["day"]["recipients_used"] == before["day"]["recipients_used"] + 2
        assert after["minute"]["messages_left"] <= after["minute"]["messages_limit"]
        assert after["queue"]["scheduled"] == 1 and after["queue"]["expected_finish_at"] is None

    @ONE_VAULT
    def test_a_recipient_unsubscribes_by_the_mails_own_link(self, system, crm, connected):
        recipient = f"reader-{connected}@example.com"
        message = {"to": [recipient], "body": "x", "one_click_unsubscribe": True}
        sent, message_id, error = crm.send(connected, message)
        assert sent, error
        mail = system.received(message_id)
        assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        link = mail["List-Unsubscribe"].strip("<>")
        admin = requests.Session()
        admin.headers["Authorization"] = f"Bearer {system.cli('key', 'create', '--tenant', 'default', '--scopes', 'admin')}"

        def listed() -> list[dict]:
            entries = admin.get(f"{crm.api}/v1/suppressions").json()["suppressions"]
            return [entry for entry in entries if entry["entry"] == recipient]

        # A scanner of links fetches it, and posts what is no answer: nothing happens.
        assert requests.get(link).status_code == 200
        requests.get(link, params={"List-Unsubscribe": "One-Click"})
        assert requests.post(link, data={"a": "b"}).status_code == 400
        forged = requests.post(f"{link[:-4]}AAAA", data={"List-Unsubscribe": "One-Click"})
        assert forged.status_code == 404 and listed() == [] and crm.send(connected, message)[0]
        # The recipient's mail program, which has no credential of ours; and once more.
        for _ in range(2):
            assert requests.post(link, data={"List-Unsubscribe": "One-Click"}).status_code == 200
        entry, = listed()
        assert entry["source"] == "unsubscribe"
        answer = crm.http.post(f"{crm.user(connected)}/messages", json=message | {"to": [recipient.upper()]})
        assert (answer.status_code, answer.json()["code"]) == (422, "recipient_suppressed")
        assert [error["field"] for error in answer.json()["errors"]] == ["to[0]"]
        assert crm.send(connected, message | {"to": ["another@example.com"]})[0]
        assert len([mail for mail in system.inbox() if mail["to"] == [recipient]]) == 2

    def test_an_expired_access_token_is_refreshed_unseen(self, system, crm, connected, account):
        system.fault(route="send", account=account, status=401)
        assert crm.send(connected, {"to": ["grace@example.com"], "body": "x"})[0]

    def test_a_refusal_is_told_in_a_sentence(self, system, crm, connected, account):
        system.fault(route="send", account=account, status=400, reason="invalidArgument")
        answer = crm.http.post(f"{crm.user(connected)}/messages", json={"to": ["grace@example.com"], "body": "x"})
        body = answer.json()
        assert (answer.status_code, body["code"], body["message_status"]) == (422, "gmail_rejected", "failed")
        assert body["error"] and body["id"]

    def test_an_answer_lost_after_acceptance_is_unknown_and_never_sent_again(self, system, crm, connected, account):
        subject = f"lost {connected}"
        system.fault(route="send", account=account, close=True, accept=True)
        answer = crm.http.post(f"{crm.user(connected)}/messages",
                               json={"to": ["grace@example.com"], "subject": subject, "body": "x"})
        body = answer.json()
        assert (answer.status_code, body["code"], body["message_status"]) == (502, "outcome_unknown", "unknown")
        time.sleep(1)
        assert sum(m["subject"] == subject for m in system.inbox()) == 1


class TestReports:
    def test_what_was_sent_is_in_the_users_report(self, crm, connected):
        for index in range(3):
            assert crm.send(connected, {"to": ["grace@example.com"], "subject": f"n{index}", "body": "x"})[0]
        report = crm.report(connected)
        today = datetime.now(timezone.utc).date().isoformat()
        assert report["total_emails"] == 3
        assert report["successful_emails"] == 3
        assert report["success_rate"] == 1
        assert len(report["emails_by_day"]) == 30
        assert report["emails_by_day"][-1] == {"date": today, "total": 3, "successful": 3, "failed": 0}
        assert [m["subject"] for m in report["recent_emails"]] == ["n2", "n1", "n0"]
        assert report["top_recipients"] == [{"email": "grace@example.com", "count": 3}]

    def test_failures_count_as_failures(self, system, crm, connected, account):
        system.fault(route="send", account=account, status=400, reason="invalidArgument")
        crm.send(connected, {"to": ["grace@example.com"], "body": "x"})
        report = crm.report(connected)
        assert (report["total_emails"], report["failed_emails"], report["success_rate"]) == (1, 1, 0)

    def test_the_platforms_summary_follows_within_five_seconds(self, crm, connected):
        before = crm.summary()["total_emails_sent"]
        assert crm.send(connected, {"to": ["grace@example.com"], "body": "x"})[0]
        deadline = time.monotonic() + 5
        while (summary := crm.summary())["total_emails_sent"] < before + 1:
            assert time.monotonic() < deadline, summary
            time.sleep(0.1)
        assert summary["total_users"] >= 1
        assert any(sender["user_id"] == connected for sender in crm.summary()["top_senders"]) or \
            len(summary["top_senders"]) == 10

    def test_a_zone_that_does_not_exist_is_refused(self, crm, connected):
        answer = crm.http.get(f"{crm.api}/v1/reports/users/{connected}", params={"tz": "Mars/Olympus"})
        assert answer.status_code == 400

    def test_the_export_has_a_row_a_message(self, crm, connected):
        crm.send(connected, {"to": ["grace@example.com"], "subject": "=cmd()", "body": "x"})
        answer = crm.http.get(f"{crm.api}/v1/reports/users/{connected}/export", params={"format": "csv"})
        lines = answer.text.strip().splitlines()
        assert lines[0].split(",")[:3] == ["id", "message_id", "thread_id"]
        assert len(lines) == 2
        assert ",=cmd()" not in lines[1]


class TestEdge:
    def test_no_credential_is_401(self, system):
        answer = requests.get(f"{system.api}/v1/users/x/profile")
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")

    def test_a_key_without_the_scope_is_403_and_a_revoked_one_401(self, system, user):
        key = system.cli("key", "create", "--tenant", "default", "--scopes", "read")
        crm = system.crm(key)
        assert crm.status(user)["gmail_connected"] is False
        assert crm.http.post(f"{crm.user(user)}/messages", json={}).status_code == 403
        system.cli("key", "revoke", key.split("_")[2])
        deadline = time.monotonic() + 6
        while crm.http.get(f"{crm.user(user)}/profile").status_code != 401:
            assert time.monotonic() < deadline
            time.sleep(0.2)

    def test_another_tenant_sees_nothing(self, system, crm, connected):
        tenant = f"t-{os.urandom(4).hex()}"
        system.cli("tenant", "create", tenant)
        other = system.crm(system.cli("key", "create", "--tenant", tenant, "--scopes", "read,reports,send"))
        assert crm.send(connected, {"to": ["grace@example.com"], "body": "x"})[0]
        message = crm.http.get(f"{crm.user(connected)}/messages").json()["messages"][0]
        assert other.status(connected)["status"] == "never_connected"
        assert other.http.get(f"{other.user(connected)}/messages").json()["messages"] == []
        assert other.http.get(f"{other.user(connected)}/messages/{message['id']}").status_code == 404
        assert other.report(connected)["total_emails"] == 0

    def test_the_description_is_served_to_anyone(self, system):
        assert requests.get(f"{system.api}/v1/openapi.json").json()["openapi"].startswith("3.1")

    def test_unknown_routes_methods_and_health(self, system, crm):
        assert crm.http.get(f"{crm.api}/v1/nothing").status_code == 404
        wrong = crm.http.put(f"{crm.api}/v1/oauth/authorize")
        assert (wrong.status_code, wrong.headers["Allow"]) == (405, "POST")
        assert requests.get(f"{system.api}/healthz").status_code == 200
        assert requests.get(f"{system.api}/readyz").status_code == 200


class TestOperations:
    def test_every_process_shows_its_figures(self, system, crm, connected):
        crm.send(connected, {"to": ["grace@example.com"], "body": "x"})
        for service in ("edge", "oauth", "mailer", "report"):
            text = system.metrics(service)
            assert "process_resident_memory_bytes" in text, service
            assert connected not in text, "a user id is no label"
        assert re.search(r'emailmcp_send_outcomes_total\{outcome="success"\} [1-9]', system.metrics("mailer"))

    @ONE_VAULT
    def test_the_database_shows_whose_each_session_is(self, system):
        with psycopg.connect(system.summary["owner_database_url"]) as connection:
            names = connection.execute(
                "SELECT DISTINCT application_name FROM pg_stat_activity WHERE usename <> current_user").fetchall()
        services = {f"emailmcp/{service}" for service in ("edge", "oauth", "mailer", "report")}
        assert services == {name for name, in names if name.startswith("emailmcp")}

    def test_nothing_of_a_mail_is_in_the_logs_whatever_becomes_of_it(self, system, crm, browser, user):
        """At the level `debug`: sent, queued, refused by us and by Gmail, unknown, cancelled, parked."""
        canary, account = f"canary-{os.urandom(6).hex()}", f"{user}@example.com"
        crm.connect(user, browser, account)
        mail = {
            "to": [{"email": f"{canary}@b.example", "name": canary}], "bcc": [f"bcc-{canary}@b.example"],
            "subject": f"Subject {canary}", "body": f"Body {canary}", "html": f"<p>{canary}</p>", "from_name": canary,
            "headers": {"X-Deal": canary}, "metadata": {"deal": canary}, "attachments": [
                {"filename": canary, "content_type": "text/plain", "content": base64.b64encode(canary.encode()).decode()}]}
        url = f"{crm.user(user)}/messages"

        def post(changes: dict = {}, expected: int = 200, **headers) -> requests.Response:
            answer = crm.http.post(url, json=mail | changes, headers=headers)
            assert answer.status_code == expected, answer.text
            return answer

        post(**{"Idempotency-Key": canary})
        post({"body": canary}, 422, **{"Idempotency-Key": canary})
        queued = post({}, 202, Prefer="respond-async").headers["Location"]
        later = datetime.fromtimestamp(time.time() + 3600, timezone.utc).isoformat().replace("+00:00", "Z")
        crm.http.delete(crm.api + post({"send_at": later}, 202).headers["Location"]).raise_for_status()
        post({"to": [f"{canary}\r\nBcc: x@b.example"], "subject": f"{canary}\0", canary: 1, "headers": {canary: "x"}}, 400)
        post({"from_email": f"{canary}@b.example"}, 403)
        assert crm.http.post(url, data=f'{{"to": "{canary}').status_code in (400, 415)
        assert crm.http.get(url, params={"subject": canary, "to": f"{canary}@b.example"}).json()["messages"]
        deadline = time.monotonic() + 20
        while crm.http.get(crm.api + queued).json()["status"] != "success":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        # Google repeats what it was given.
        told = {"route": "send", "account": account, "message": f"Invalid To header: {canary}@b.example"}
        system.fault(**told, status=400, reason="invalidArgument")
        post({}, 422)
        system.fault(**told, status=403, reason="domainPolicy", accept=False)
        post({}, 422)
        system.fault(route="send", account=account, status=401)
        post()
        system.fault(**told, status=500)
        post({}, 502)
        requests.post(f"{system.sandbox}/sandbox/revoke-account", params={"account": account}).raise_for_status()
        post({}, 409)
        lines = [line for line in system.log().splitlines() if re.match(r"\w+ +\| ", line)]
        for service in ("edge", "mailer"):
            assert any(service in line.split(" | ")[0] and "debug" in line for line in lines), f"{service} says nothing"
        secrets = [
            canary, base64.b64encode(canary.encode()).decode(), account, user, "ya29.",
            system.summary["key"].split("_")[3]]
        told = [line for line in lines if any(secret in line for secret in secrets)]
        assert not told, told[:5]


def test_a_caller_that_hangs_up_leaves_no_mail_half_sent(system, crm, browser, user):
    """Regression: cancelled around the accepting transaction, the mailer dropped the lease that it had just been given;
    the mail became unknown and its mailbox stood still until the lease had lapsed."""
    host, port = system.api.removeprefix("http://").split(":")
    body = json.dumps({"to": ["grace@example.com"], "subject": "Hang-up", "body": "x"})
    for part in range(2):  # few enough a mailbox for its burst
        who = f"{user}-{part}"
        crm.connect(who, browser, f"{who}@example.com")
        for attempt in range(9):
            with socket.create_connection((host, int(port))) as caller:
                caller.sendall((
                    f"POST /v1/users/{who}/messages HTTP/1.1\r\nHost: edge\r\nContent-Type: application/json\r\n"
                    f"Authorization: Bearer {system.summary['key']}\r\nContent-Length: {len(body)}\r\n\r\n{body}").encode())
                time.sleep((9 * part + attempt) * 0.0008)
            time.sleep(0.05)
        deadline = time.monotonic() + 5
        while statuses := {mail["status"] for mail in sent_by(crm, who)} - {"success"}:
            assert time.monotonic() < deadline, statuses
            time.sleep(0.05)
