"""The functions that a CRM's front end has for its users' Gmail, as its own developers would write them from the API's
description: connect, status, send, reports. They know the public routes and nothing else of the system.
"""

from html.parser import HTMLParser
from urllib.parse import parse_qs, quote, urljoin, urlsplit

import requests


class CRM:
    """One platform: where the API is, its key, and the page that Google's consent comes back to."""

    def __init__(self, api: str, key: str, redirect_url: str):
        self.api, self.redirect_url = api, redirect_url
        self.http = requests.Session()
        self.http.headers["Authorization"] = f"Bearer {key}"

    def user(self, user_id: str) -> str:
        return f"{self.api}/v1/users/{quote(user_id, safe='')}"

    # The "Connect Gmail" button: where to send the browser.
    def start_connect(self, user_id: str, **options) -> str:
        answer = self.http.post(
            f"{self.api}/v1/oauth/authorize",
            json={"user_id": user_id, "redirect_url": self.redirect_url, **options})
        answer.raise_for_status()
        return answer.json()["authorization_url"]

    # The page that the browser comes back to: it has code and state in its address, and knows who is logged in.
    def finish_connect(self, user_id: str, landed_on: str) -> requests.Response:
        query = {name: values[0] for name, values in parse_qs(urlsplit(landed_on).query).items()}
        return self.http.post(f"{self.api}/v1/oauth/callback", json={
            "user_id": user_id, **{name: query[name] for name in ("code", "state", "error") if name in query}})

    def connect(self, user_id: str, browser: "Browser", account: str, **consent) -> dict:
        landed_on = browser.consent(self.start_connect(user_id), account, until=self.redirect_url, **consent)
        answer = self.finish_connect(user_id, landed_on)
        answer.raise_for_status()
        return answer.json()

    def status(self, user_id: str) -> dict:
        answer = self.http.get(f"{self.user(user_id)}/profile")
        answer.raise_for_status()
        return answer.json()

    # What the "Send" button shows: (sent, Gmail's message id or None, a sentence for the user or None).
    def send(self, user_id: str, message: dict, **headers) -> tuple[bool, str | None, str | None]:
        result = self.http.post(f"{self.user(user_id)}/messages", json=message, headers=headers).json()
        if result["status"] == "success":
            return True, result["message_id"], None
        return False, None, result["error"]

    # The figures of the user's page.
    def report(self, user_id: str, **query) -> dict:
        answer = self.http.get(f"{self.api}/v1/reports/users/{quote(user_id, safe='')}", params=query)
        answer.raise_for_status()
        return answer.json()

    def summary(self, **query) -> dict:
        answer = self.http.get(f"{self.api}/v1/reports/summary", params=query)
        answer.raise_for_status()
        return answer.json()

    def disconnect(self, user_id: str) -> None:
        self.http.delete(f"{self.user(user_id)}/gmail").raise_for_status()


class Form(HTMLParser):
    """The first form of a page: where it goes, and its fields as a browser without JavaScript would send them."""

    def __init__(self, page: str):
        super().__init__()
        self.action, self.method = None, "get"
        self.fields: list[tuple[str, str, str, bool]] = []  # name, type, value, checked
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "form" and self.action is None:
            self._inside, self.action = True, attributes.get("action", "")
            self.method = attributes.get("method", "get").lower()
        elif self._inside and tag in ("input", "button") and attributes.get("name"):
            kind = attributes.get("type", "submit" if tag == "button" else "text")
            self.fields.append((attributes["name"], kind, attributes.get("value", "on" if kind == "checkbox" else ""),
                                "checked" in attributes))

    def handle_endtag(self, tag):
        if tag == "form":
            self._inside = False


class Browser:
    """A person's browser without JavaScript: follows redirects, fills Google's consent page."""

    def __init__(self):
        self.http = requests.Session()

    def consent(self, url: str, account: str, *, until: str, allow: bool = True, untick: str | None = None) -> str:
        """Opens `url`, chooses `account`, presses Allow or Deny, and returns the address under `until` it ends at."""
        answer = self.http.get(url, allow_redirects=False)
        assert answer.status_code == 200, f"{answer.status_code}: {answer.text[:500]}"
        form = Form(answer.text)
        data, custom = [], None
        for name, kind, value, checked in form.fields:
            if kind == "hidden":
                data.append((name, value))
            elif kind == "checkbox" and checked and not (untick and untick in value):
                data.append((name, value))
            elif kind in ("text", "email"):
                custom = name
            elif kind == "submit" and value.lower().startswith("allow" if allow else "deny"):
                data.append((name, value))
        assert custom, "the consent page lets one type an address"
        data.append((custom, account))
        answer = self.http.request(form.method, urljoin(url, form.action), data=data, allow_redirects=False)
        return self._follow(answer, until)

    def _follow(self, answer: requests.Response, until: str) -> str:
        for _ in range(5):
            assert answer.is_redirect, f"{answer.status_code}: {answer.text[:500]}"
            target = urljoin(answer.url, answer.headers["Location"])
            if target.split("?")[0] == until:
                return target
            answer = self.http.get(target, allow_redirects=False)
        raise AssertionError(f"never came back to {until}")
