"""The pages in a real browser (Chromium): a platform's own page that talks to the API from another origin with a user
token, the consent page with and without scripts, and two browsers where one attacks the other."""

import http.server
import json
import os
import threading

import pytest
import requests
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

# A page does not see where the secrets lie.
pytestmark = pytest.mark.parametrize("system", ["sealed"], indirect=True, scope="session")

PATIENCE = 60  # seconds; a browser on a busy machine is slow


class Platform(http.server.ThreadingHTTPServer):
    """A CRM: one page, and a session that knows who is logged in by a cookie."""

    def __init__(self, api: str, key: str):
        super().__init__(("127.0.0.1", 0), PlatformRequest)
        self.api, self.key = api, key
        self.origin = f"http://localhost:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class PlatformRequest(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path = self.path.split("?")[0]
        user = dict(part.strip().split("=", 1) for part in self.headers.get("Cookie", "").split(";") if "=" in part).get("user")
        if path == "/session":
            minted = requests.post(
                f"{self.server.api}/v1/users/{user}/tokens", json={},
                headers={"Authorization": f"Bearer {self.server.key}"}).json()
            self.answer("application/json", json.dumps({"api": self.server.api, "user": user, "token": minted["token"]}))
        elif path == "/mail":
            with open(os.path.join(os.path.dirname(__file__), "platform.html"), encoding="utf-8") as page:
                self.answer("text/html; charset=utf-8", page.read())
        elif path.startswith("/login/"):
            self.answer("text/html", "<p>Welcome</p>", ("Set-Cookie", f"user={path[7:]}; Path=/; HttpOnly"))
        else:
            self.send_error(404)

    def answer(self, kind: str, text: str, *headers):
        body = text.encode()
        self.send_response(200)
        for name, value in (("Content-Type", kind), ("Content-Length", str(len(body))), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def platform(system):
    server = Platform(system.api, system.summary["key"])
    system.cli("tenant", "add-redirect", "default", f"{server.origin}/mail")
    system.cli("tenant", "add-origin", "default", server.origin)
    yield server
    server.shutdown()
    server.server_close()


class Window:
    """A person's browser, with a profile of its own."""

    def __init__(self, scripts: bool = True):
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
            options.add_argument(argument)
        if not scripts:
            options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
        self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))
        self.driver.set_page_load_timeout(PATIENCE)

    def open(self, url: str):
        self.driver.get(url)

    def find(self, selector: str):
        return WebDriverWait(self.driver, PATIENCE).until(lambda driver: driver.find_element(By.CSS_SELECTOR, selector))

    def text(self, selector: str, wanted: str):
        """Waits for an element that says `wanted`."""
        WebDriverWait(self.driver, PATIENCE).until(
            lambda driver: any(wanted in e.text for e in driver.find_elements(By.CSS_SELECTOR, selector)),
            f"no {selector} with {wanted!r} on {self.driver.current_url}: {self.driver.page_source[:2000]}")

    def until_at(self, start: str):
        WebDriverWait(self.driver, PATIENCE).until(lambda driver: driver.current_url.startswith(start))

    def consent(self, account: str, decision: str = "allow"):
        self.find("input[name=email]").send_keys(account)
        self.find(f"button[value={decision}]").click()


@pytest.fixture
def open_window():
    windows = []

    def make(**options) -> Window:
        windows.append(Window(**options))
        return windows[-1]

    yield make
    for window in windows:
        window.driver.quit()


def test_a_user_connects_and_sends_from_the_platforms_page(platform, open_window, user, account):
    window = open_window()
    window.open(f"{platform.origin}/login/{user}")
    window.open(f"{platform.origin}/mail")
    window.text("#status", "never_connected")

    window.find("#connect").click()
    window.consent(account, "deny")
    window.text("#result", "consent_denied")
    window.text("#status", "never_connected")

    window.find("#connect").click()
    window.consent(account)
    window.text("#result", "connected")
    window.text("#status", account)

    window.find("#send").click()
    window.text("#result", "sent ")


def test_the_consent_page_works_without_scripts(crm, open_window, user, account):
    window = open_window(scripts=False)
    window.open("data:text/html,<p id=p>off</p><script>document.getElementById('p').textContent='on'</script>")
    assert window.find("#p").text == "off"
    window.open(crm.start_connect(user))
    window.consent(account)
    window.until_at(crm.redirect_url)
    assert crm.finish_connect(user, window.driver.current_url).json()["email_address"] == account
    assert crm.status(user)["gmail_connected"]


def test_another_persons_flow_is_of_no_use_in_ones_own_browser(platform, crm, open_window, user, account):
    """Session fixation (RFC 9700, 4.7): the attacker starts a flow and has the victim end it, or ends the victim's."""
    attacker, victim = f"{user}-attacker", f"{user}-victim"
    theirs = open_window()
    theirs.open(f"{platform.origin}/login/{victim}")
    started = crm.http.post(f"{crm.api}/v1/oauth/authorize", json={
        "user_id": attacker, "redirect_url": f"{platform.origin}/mail"}).json()["authorization_url"]
    theirs.open(started)
    theirs.consent(account)
    theirs.text("#result", "invalid_state")
    for person in (attacker, victim):
        assert not crm.status(person)["gmail_connected"]

    # The page's address with the victim's code, opened by the attacker before the victim's page could use it.
    mine = open_window()
    mine.open(f"{platform.origin}/login/{attacker}")
    landed_on = open_window(scripts=False)
    landed_on.open(crm.http.post(f"{crm.api}/v1/oauth/authorize", json={
        "user_id": victim, "redirect_url": f"{platform.origin}/mail"}).json()["authorization_url"])
    landed_on.consent(account)
    landed_on.until_at(f"{platform.origin}/mail")
    mine.open(landed_on.driver.current_url)
    mine.text("#result", "invalid_state")
    assert not crm.status(attacker)["gmail_connected"]
