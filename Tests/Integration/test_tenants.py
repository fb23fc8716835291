"""A tenant that the operator disables and enables again."""

import os
import time
from datetime import datetime, timedelta, timezone

import requests


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

    def until(condition, seconds=30):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.05)

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
