"""A tenant that the operator disables and enables again."""

import os
import time
from datetime import datetime, timedelta, timezone

import requests


def until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_disabled_tenant_stands_still_and_goes_on_where_it_was_stopped(system, browser, user, account):
    tenant = f"t-{os.urandom(4).hex()}"
    system.cli("tenant", "create", tenant)
    system.cli("tenant", "add-redirect", tenant, system.summary["platform_page"])
    key = system.cli("key", "create", "--tenant", tenant, "--scopes", "connect,send,read,admin")
    crm = system.crm(key)
    crm.connect(user, browser, account)
    token = crm.http.post(f"{crm.user(user)}/tokens", json={}).json()["token"]
    message = {"to": ["grace@example.com"], "subject": f"now {user}", "body": "x"}
    assert crm.send(user, message)[0]
    later = (datetime.now(timezone.utc) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    kept = crm.http.post(f"{crm.user(user)}/messages", json=message | {"subject": f"later {user}", "send_at": later})
    assert kept.status_code == 202, kept.text

    def subjects() -> list[str]:
        return sorted(mail["subject"] for mail in system.inbox() if user in mail["subject"])

    def refusal(credential) -> tuple[int, str]:
        answer = requests.get(f"{crm.user(user)}/profile", headers={"Authorization": f"Bearer {credential}"})
        return answer.status_code, answer.json().get("code", "")

    system.cli("tenant", "disable", tenant)
    # No mail is accepted from now on; a key may be believed for 5 s.
    answer = crm.http.post(f"{crm.user(user)}/messages", json=message)
    assert (answer.status_code, answer.json()["code"]) == (403, "tenant_disabled")
    for credential in (key, token):
        until(lambda: refusal(credential) == (403, "tenant_disabled"), seconds=10)
    assert f"{tenant}\t" in system.cli("tenant", "list") and "disabled since" in system.cli("tenant", "show", tenant)
    assert "unsent\t1" in system.cli("tenant", "show", tenant)
    until(lambda: system.sql("SELECT parked FROM send_jobs WHERE tenant_id = %s", tenant) == [("tenant_disabled",)])
    # Its time comes while the tenant is disabled.
    system.sql("UPDATE send_jobs SET resume_at = now() WHERE tenant_id = %s", tenant)
    assert system.crm().http.get(f"{crm.api}/v1/users/{user}/profile").status_code == 200, "the others go on"
    assert subjects() == [f"now {user}"]

    system.cli("tenant", "enable", tenant)
    until(lambda: subjects() == [f"later {user}", f"now {user}"])
    until(lambda: refusal(key)[0] == 200, seconds=10)
    assert crm.http.get(f"{crm.user(user)}/messages/{kept.json()['id']}").json()["status"] == "success"


def test_a_recipient_may_leave_a_disabled_tenant_and_nobody_may_join_it(system, browser, user, account):
    tenant = f"t-{os.urandom(4).hex()}"
    system.cli("tenant", "create", tenant)
    system.cli("tenant", "add-redirect", tenant, system.summary["platform_page"])
    crm = system.crm(system.cli("key", "create", "--tenant", tenant, "--scopes", "connect,send,read,admin"))
    crm.connect(user, browser, account)
    recipient, late = f"reader-{user}@example.com", f"late-{user}"
    sent, message_id, error = crm.send(user, {"to": [recipient], "body": "x", "one_click_unsubscribe": True})
    assert sent, error
    link = system.received(message_id)["List-Unsubscribe"].strip("<>")
    google = crm.start_connect(late)

    # By the one connection of this session, so that it is one loop of the edge that has to hear of it.
    def profile(user_id: str) -> requests.Response:
        return crm.http.get(f"{crm.user(user_id)}/profile")

    system.cli("tenant", "disable", tenant)
    until(lambda: profile(user).status_code == 403)
    assert requests.get(link).status_code == 200
    assert requests.post(link, data={"List-Unsubscribe": "One-Click"}).status_code == 200
    assert system.sql("SELECT entry, source FROM suppressions WHERE tenant_id = %s", tenant) == [
        (recipient, "unsubscribe")]
    # Google's consent page was open: the browser comes back to the platform, which can do nothing with what it brings.
    landed_on = browser.consent(google, f"{late}@example.com", until=crm.redirect_url)
    refused = crm.finish_connect(late, landed_on)
    assert (refused.status_code, refused.json()["code"]) == (403, "tenant_disabled")
    assert system.sql("SELECT user_id FROM user_email_accounts WHERE tenant_id = %s", tenant) == [(user,)]

    system.cli("tenant", "enable", tenant)
    until(lambda: profile(user).status_code == 200)
    answer = crm.http.post(f"{crm.user(user)}/messages", json={"to": [recipient], "body": "x"})
    assert (answer.status_code, answer.json()["code"]) == (422, "recipient_suppressed")
    assert not profile(late).json()["gmail_connected"]
    finished = crm.finish_connect(late, landed_on)
    assert finished.status_code == 200, finished.text
    assert profile(late).json()["gmail_connected"]
