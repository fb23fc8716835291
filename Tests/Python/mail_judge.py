"""Reads mails with a parser that knows nothing of how we write them, and tells what it saw, a JSON line a mail.

    mail_judge.py email|mail-parser FILE     FILE: mails, each with its length in four bytes before it
"""

import base64
import email
import json
import sys
from email import policy
from email.header import decode_header, make_header
from email.utils import getaddresses

import mailparser

FIELDS = ("From", "To", "Cc", "Bcc")
TEXTS = ("Message-ID", "Date", "List-Unsubscribe", "X-Note")


def mails(path):
    data = open(path, "rb").read()
    while data:
        size = int.from_bytes(data[:4], "big")
        yield data[4:4 + size]
        data = data[4 + size:]


def lines(data):
    return base64.b64encode(data.replace(b"\r\n", b"\n")).decode()


def addresses(raw, name):
    """By the older half of the package: the newer one puts spaces between the encoded words of a long name."""
    field = email.message_from_bytes(raw)[name]
    pairs = getaddresses([field.replace("\r\n", "")]) if field else []
    return [[str(make_header(decode_header(phrase))), address] for phrase, address in pairs]


def by_email(raw):
    message = email.message_from_bytes(raw, policy=policy.default)
    seen = dict(
        subject=str(message["Subject"]), texts=[], htmls=[], files=[], paths=[],
        addresses={n: addresses(raw, n) for n in FIELDS if message[n]},
        fields={n: str(message[n]) for n in TEXTS if message[n] is not None})
    seen["defects"] = [type(d).__name__ for part in message.walk() for d in part.defects]

    def walk(part, path):
        path += [part.get_content_type()]
        if part.is_multipart():
            for inner in part.iter_parts():
                walk(inner, list(path))
            return
        seen["paths"].append(">".join(path))
        data = part.get_payload(decode=True)
        if part["Content-Disposition"] is None:
            seen["texts" if path[-1] == "text/plain" else "htmls"].append(lines(data))
        else:
            seen["files"].append(dict(
                name=part["Content-Disposition"].params.get("filename"), id=part["Content-ID"],
                kind=part["Content-Disposition"].content_disposition, data=base64.b64encode(data).decode()))

    walk(message, [])
    return seen


def by_mail_parser(raw):
    message = mailparser.parse_from_bytes(raw)
    return dict(
        # It leaves the folds in.
        subject=message.subject.replace("\r\n", ""), defects=list(message.defects_categories),
        texts=[lines(t.encode()) for t in message.text_plain], htmls=[lines(t.encode()) for t in message.text_html],
        files=[dict(name=f["filename"], id=f["content-id"] or None, kind=None,
                    data=base64.b64encode(base64.b64decode(f["payload"])).decode()) for f in message.attachments],
        addresses={n: [list(p) for p in getattr(message, n.lower() if n != "From" else "from_")]
                   for n in FIELDS if getattr(message, n.lower() if n != "From" else "from_")},
        fields={n: message.headers[n] for n in TEXTS if n in message.headers})


if __name__ == "__main__":
    read = {"email": by_email, "mail-parser": by_mail_parser}[sys.argv[1]]
    for raw in mails(sys.argv[2]):
        print(json.dumps(read(raw)))
