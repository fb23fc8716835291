import Foundation
import Testing

/// Python's `email` package, which knows nothing of how we write mail, reads it.
enum PythonJudge {
  static let interpreter: String? = {
    let environment = ProcessInfo.processInfo.environment["EMAILMCP_TEST_PYTHON"]
    let candidates = [environment, ".build/venv/bin/python", "/usr/bin/python3", "/usr/local/bin/python3"]
    return candidates.compactMap { $0 }.first(where: FileManager.default.isExecutableFile)
  }()

  struct Address: Decodable, Equatable {
    var name: String
    var email: String
  }

  struct Part: Decodable, Equatable {
    var type: String
    /// The types of the parts that it lies in, outermost first.
    var path: [String]
    var filename: String?
    var disposition: String?
    var contentID: String?
    var charset: String?
    var text: String?
    var base64: String?
  }

  struct Verdict: Decodable {
    var headers: [[String]]
    var addresses: [String: [Address]]
    var defects: [String]
    var parts: [Part]
    var longestLine: Int
    var isASCII: Bool

    func header(_ name: String) -> [String] {
      headers.filter { $0[0].lowercased() == name.lowercased() }.map { $0[1] }
    }
  }

  private static let script = """
    import base64, email, json, sys
    from email import policy
    from email.header import decode_header, make_header
    from email.utils import getaddresses
    raw = sys.stdin.buffer.read()
    msg = email.message_from_bytes(raw, policy=policy.default)
    defects, parts = [], []
    def note(where, found):
        defects.extend(f"{where}: {type(d).__name__}" for d in found)
    def walk(part, path):
        note(part.get_content_type(), part.defects)
        for name, value in part.items():
            note(name, getattr(value, "defects", []))
        if part.is_multipart():
            for inner in part.iter_parts():
                walk(inner, path + [part.get_content_type()])
            return
        data = part.get_payload(decode=True)
        entry = dict(type=part.get_content_type(), path=path, filename=part.get_filename(),
                     disposition=part.get_content_disposition(), contentID=part["Content-ID"],
                     charset=part.get_content_charset(), text=None, base64=None)
        if part.get_content_maintype() == "text" and part.get_content_disposition() is None:
            entry["text"] = data.decode("utf-8")
        else:
            entry["base64"] = base64.b64encode(data).decode()
        parts.append(entry)
    walk(msg, [])
    # Names are read by the older parser: the newer one keeps the space between two encoded-words of a phrase (bpo-35547).
    old = email.message_from_bytes(raw)
    addresses = {n: [dict(name=str(make_header(decode_header(name))), email=a.addr_spec)
                     for (name, _), a in zip(getaddresses([old[n].replace("\\r\\n", "")]), msg[n].addresses, strict=True)]
                 for n in ("From", "To", "Cc", "Bcc", "Reply-To") if msg[n] is not None}
    lines = raw.split(b"\\r\\n")
    bare = [l for l in lines if b"\\r" in l or b"\\n" in l]
    if bare: defects.append("bare CR or LF")
    print(json.dumps(dict(headers=[[k, str(v)] for k, v in msg.items()], addresses=addresses, defects=defects,
                          parts=parts, longestLine=max(map(len, lines)), isASCII=raw.isascii())))
    """

  static func read(_ mail: [UInt8]) throws -> Verdict {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: try #require(interpreter))
    process.arguments = ["-c", script]
    let input = Pipe()
    let output = Pipe()
    process.standardInput = input
    process.standardOutput = output
    try process.run()
    let writer = Thread {
      input.fileHandleForWriting.write(Data(mail))
      try? input.fileHandleForWriting.close()
    }
    writer.start()
    let data = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    try #require(process.terminationStatus == 0)
    return try JSONDecoder().decode(Verdict.self, from: data)
  }
}
