"""The corpora of the fuzzers: Corpus/TARGET.hex has one input a line. script/fuzz unpacks them for libFuzzer, with the seeds
below, and packs what is worth keeping.

    corpora.py unpack TARGET FOLDER    the kept inputs and the seeds, a file each
    corpora.py pack TARGET FOLDER      the files of FOLDER, small ones first, as the kept inputs
    corpora.py line FILE               a file as a line, for a regression test
"""

import gzip
import hashlib
import pathlib
import struct
import sys

CORPUS = pathlib.Path(__file__).parent / "Corpus"
LONGEST = 1024  # bytes of a kept input
MOST = 150  # kept inputs a target


def field(number, value):
    value = value.encode() if isinstance(value, str) else value
    return bytes([number << 3 | 2, len(value)]) + value


def frame(message, flag=0):
    return bytes([flag]) + struct.pack(">I", len(message)) + message


def http2(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
ADDRESS = field(1, "ann@example.com") + field(2, "Ann \u00e9")
STATUS = b"\x08\x03" + field(2, "no") + field(3, field(1, "type.googleapis.com/google.rpc.ErrorInfo") + field(2, field(1, "R")))
MAIL = ["bob@b.example", "Bob \u00e9", "Gr\u00fc\u00dfe", "Ann, Lee", "text\n.\nFrom x", "<p>hi</p>", "a b \u00fc.png",
        "image/png; name=\"a\"", "PNG", "logo", "X-Tag", "v \u00e9", "h@b.example", "18c"]


def array(element, *values):
    return struct.pack(">iiIii", 1, 0, element, len(values), 1) + b"".join(struct.pack(">i", len(v)) + v for v in values)


SEEDS = {
    "messages": [bytes([kind]) + body for kind in range(33) for body in (
        field(1, ADDRESS) + field(2, "x") + field(3, ADDRESS), b"\x08\x96\x01\x10\x00" + field(4, b"\x01\xac\x02"))],
    "frames": [bytes([cut]) + frame(b"hello") + frame(b"", 1) + frame(b"z" * 299) for cut in (0, 1, 5, 7)]
    + [b"\x03" + frame(b"a" * 301), b"\x00\x02\x00\x00\x00\x00"],
    "gzip": [gzip.compress(b, mtime=0) for b in (b"", b"hello" * 30, bytes(64 * 1024), bytes(64 * 1024 + 1))] + [b"plain " * 20],
    "calls": [b"\x02\x03abc\x02\x00\x01\x02\x00\x0510S%4\x01\x05oh %4" + STATUS, b"\x01\x04 a b\x00\x00\x03 x "],
    "headers": [b"10S", b"99999999H", b"1n", b"a%20b%zz%E4%B8%AD%", b"identity, gzip ,", b"x-a-bin:AAECAw==,AA", b"x-a: b",
                b"CAMSAm5v", STATUS, b"application/grpc+proto;a=b"],
    "http2-server": [
        b"\x00" + b"\x00\x01\x04abcd\x00\x00\x02xy\x0c\x03\x01\x03abc\x04\x08\x0c",
        b"\x04" + b"\x00\x00\x00\x08\x01\x00\x00\x00\x99\x0c\x0d\x01\x0d\x02",
        b"\x02" + b"\x01\x00\x03\x83\x86\x84\x02\x04\x03\x41\x01\x61\x0c",
        b"\x01" + PREFACE + http2(4, 0, 0) + http2(1, 5, 1, b"\x82\x86\x84\x41\x01\x61") + http2(6, 0, 0, b"12345678"),
    ],
    "http2-client": [
        b"\x00" + b"\x00\x00\x03abc\x03\x00\x03xyz\x00\x01\x00\x0c",
        b"\x00" + b"\x30\x00\x00\x33\x01\x04data\x54\x08\x07\x03\x08\x05\x01\x00\x00\xff\x0c",
        b"\x01" + http2(4, 0, 0) + http2(4, 1, 0) + http2(1, 4, 1, b"\x88") + http2(0, 1, 1, b"x") + http2(7, 0, 0, bytes(8)),
    ],
    "json": [b'{"a":[1,-0.5e+3,true,null,"\\ud83d\\ude00\\n"],"b":{"a":{}}}', b"[[[[[[]]]]]]", b' "\xc3\xa9\\u0000" ', b"1e999"],
    "http1": [bytes([cut]) + text for cut in (0, 1, 7) for text in (
        b"GET /a?b HTTP/1.1\r\nHost: a\r\nConnection: close, x\r\n\r\n",
        b"\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabcPUT * HTTP/1.0\r\n\r\n",
        b"POST http://a:1/b HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\n")],
    "mail-address": [t.encode() for t in (
        "ann@example.com", "Ann Lee <ann@example.com>", '"Lee, \\"A\\"" <"a b"@b\u00fccher.example>', "a@x\u3002org", "example.org",
        'text/plain; charset=utf-8; name="a b\\"c"', "List-Unsubscribe:<https://x.example/u>", "X-A:\u00fc =?x?=", "References:<a@b>")],
    "mail-message": [b"\xff".join(t.encode() for t in MAIL), b"\xff".join(t.encode() for t in MAIL[:5]),
                     b"a@b.example\xff\xff" + b"x" * 900 + b"\xff\xff" + b"y" * 90],
    "postgres": [bytes([i]) + v for i, v in (
        (0, b"\x01"), (3, bytes(8)), (10, array(25, b"a", b"")), (12, array(20, bytes(8))), (14, bytes(4)), (15, b"\x7f" + b"\xff" * 7),
        (16, bytes(16)), (17, array(2950, bytes(16))), (18, b"\x01{}"), (10, struct.pack(">iiI", 0, 0, 25)))],
}


def kept(target):
    file = CORPUS / f"{target}.hex"
    return [bytes.fromhex(line) for line in file.read_text().splitlines()] if file.exists() else []


def main(command, *arguments):
    if command == "line":
        return print(pathlib.Path(arguments[0]).read_bytes().hex())
    target, folder = arguments[0], pathlib.Path(arguments[1])
    if command == "unpack":
        folder.mkdir(parents=True, exist_ok=True)
        for data in kept(target) + SEEDS.get(target, []):
            (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)
    elif command == "pack":
        inputs = {data for data in (f.read_bytes() for f in folder.iterdir()) if len(data) <= LONGEST}
        lines = [data.hex() for data in sorted(inputs, key=lambda d: (len(d), d))]
        # Of too many, evenly by size.
        chosen = lines if len(lines) <= MOST else [lines[i * len(lines) // MOST] for i in range(MOST)]
        CORPUS.mkdir(exist_ok=True)
        (CORPUS / f"{target}.hex").write_text("".join(line + "\n" for line in chosen))
        print(f"{target}: {len(chosen)} inputs kept of {len(lines)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
