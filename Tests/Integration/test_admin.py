"""The admin port of running processes."""

import requests


def rpc(system, service, page="/rpc.json"):
    answer = requests.get(f"http://127.0.0.1:{system.summary[service]['admin_port']}{page}", timeout=20)
    answer.raise_for_status()
    return answer


def test_it_shows_who_is_connected_to_whom(system, crm, connected):
    """After a mail from the edge through the mailer, which asks oauth."""
    assert crm.send(connected, {"to": ["grace@example.com"], "body": "x"})[0]
    servers = [server for loop in rpc(system, "mailer").json()["loops"] for server in loop["servers"]]
    peers = {connection.get("identity") for server in servers for connection in server["connections"]}
    assert "spiffe://emailmcp/edge" in peers, peers
    channels = [channel for loop in rpc(system, "edge").json()["loops"] for channel in loop["channels"]]
    replicas = [
        replica for channel in channels if channel["state"] == "ready" for replica in channel["subchannels"]]
    assert any(replica["serving"] and not replica["ejected"] for replica in replicas)
    assert {connection["keepalive"] for replica in replicas for connection in replica["connections"]} <= {
        "waiting", "asking"}
    text = rpc(system, "mailer", "/rpc").text
    assert "identity=spiffe://emailmcp/edge" in text
    assert "grace@example.com" not in text and "Bearer" not in text


def test_it_has_the_page_for_reading_alone(system):
    url = f"http://127.0.0.1:{system.summary['mailer']['admin_port']}/rpc"
    assert requests.post(url, timeout=20).status_code in (404, 405)
