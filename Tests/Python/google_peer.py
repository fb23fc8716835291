"""Drives the stand-in for Google with Google's own libraries, and prints what they made of its answers as JSON.

usage: google_peer.py BASE_URL ACCESS_TOKEN ID_TOKEN CLIENT_ID
"""

import base64
import io
import json
import sys

import httplib2
import requests
from google.auth.transport import requests as auth_requests
from google.oauth2 import id_token
from googleapiclient import discovery, discovery_cache
from googleapiclient.errors import HttpError
from googleapiclient.http import MediaIoBaseUpload

base, access_token, identity, client_id = sys.argv[1:]

document = json.loads(discovery_cache.get_static_doc("gmail", "v1"))
for key in ("rootUrl", "baseUrl"):
    document[key] = document[key].replace("https://gmail.googleapis.com", base)
document.pop("mtlsRootUrl", None)


class BearerHttp(httplib2.Http):
    """Sends one access token; google-auth's own transport would try to refresh it at a 401 and hide that answer."""

    def __init__(self, token):
        super().__init__()
        self.token = token

    def request(self, uri, method="GET", body=None, headers=None, **rest):
        headers = {**(headers or {}), "authorization": f"Bearer {self.token}"}
        return super().request(uri, method=method, body=body, headers=headers, **rest)


def service(token):
    return discovery.build_from_document(document, http=BearerHttp(token))


def refusal(token, body):
    try:
        service(token).users().messages().send(userId="me", body=body).execute(num_retries=0)
    except HttpError as error:
        return {"status": error.status_code, "reason": error.error_details[0]["reason"]}
    return None


mail = b"From: ada@example.com\r\nTo: grace@example.com\r\nSubject: From Python\r\n\r\nHello.\r\n"
body = {"raw": base64.urlsafe_b64encode(mail).decode()}
report = {"rate_limited": refusal(access_token, body), "unauthorized": refusal("wrong", body)}

messages = service(access_token).users().messages()


def media():
    return MediaIoBaseUpload(io.BytesIO(mail), mimetype="message/rfc822")


first = messages.send(userId="me", body=body).execute()
second = messages.send(userId="me", media_body=media()).execute()
third = messages.send(userId="me", body={"threadId": first["threadId"]}, media_body=media()).execute()
assert third["threadId"] == first["threadId"], third
report["sent"] = [answer["id"] for answer in (first, second, third)]
documented = set(document["schemas"]["Message"]["properties"])
report["undocumented_fields"] = sorted((set(first) | set(second) | set(third)) - documented)
report["max_upload"] = document["resources"]["users"]["resources"]["messages"]["methods"]["send"]["mediaUpload"]["maxSize"]

session = requests.Session()
claims = id_token.verify_token(
    identity, auth_requests.Request(session), audience=client_id, certs_url=f"{base}/oauth2/v3/certs", clock_skew_in_seconds=10
)
assert claims["iss"] == "https://accounts.google.com", claims
report["email"] = claims["email"]
print(json.dumps(report))
