"""Reads mails with a parser that knows nothing of how we write them, and tells what it saw, a JSON line a mail.

    mail_judge.py email|mail-parser FILE [headers]    FILE: mails, each with its length in four bytes before it

With `headers` it tells which fields stand where, and the values of those that a sender fills.
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
OTHERS = ("References", "In-Reply-To", "List-Unsubscribe", "List-Id")
TEXTS = ("Message-ID", "Date", "List-Unsubscribe", "X-Note")


def mails(path):
    with open(path, "rb") as file:
        while length := file.read(4):
            yield file.read(int.from_bytes(length, "big"))


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


def headers_by_email(raw):
    message = email.message_from_bytes(raw, policy=policy.default)
    parts = list(message.iter_parts())
    return dict(
        names=message.keys(), parts=[part.keys() for part in parts], subject=str(message["Subject"]),
        custom=str(message["X-Custom"]),
        others={n: str(message[n]) for n in message.keys() if n in OTHERS or n.startswith("X-") and n != "X-Custom"},
        # As a parameter, since `get_filename` takes quotes off a second time.
        filenames=[part["Content-Disposition"].params.get("filename") for part in parts[1:]],
        ids=[part["Content-ID"] for part in parts[1:]],
        recipients=[a.addr_spec for n in ("To", "Cc", "Bcc", "Reply-To") if message[n] is not None for a in message[n].addresses],
        defects=[type(d).__name__ for part in [message, *parts] for d in part.defects])


def headers_by_mail_parser(raw):
    """It tells each name once, in no order, and nothing of the parts' headers."""
    message = mailparser.parse_from_bytes(raw)
    files = message.attachments
    return dict(
        names=sorted(message.headers), parts=[],
        ids=[file["content-id"] or None for file in files], defects=list(message.defects_categories),
        recipients=[address for _, address in message.to + message.cc + message.bcc + message.reply_to])


if __name__ == "__main__":
    read = {
        ("email",): by_email, ("mail-parser",): by_mail_parser, ("email", "headers"): headers_by_email,
        ("mail-parser", "headers"): headers_by_mail_parser}[sys.argv[1], *sys.argv[3:]]
    for raw in mails(sys.argv[2]):
        print(json.dumps(read(raw)))
