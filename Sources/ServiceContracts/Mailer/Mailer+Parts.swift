public import WireCodec

extension Mailer {
  /// An address with an optional name to show.
  public struct Address: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.Address"

    /// The address, `local@domain`: the domain in any script, the local part in ASCII.
    public var email = ""

    /// The name. Empty: none.
    public var name = ""

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.string(1, email)
      w.string(2, name)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&email)
      case 2: try r.string(&name)
      default: try r.skip()
      }
    }
  }

  /// A file in a mail.
  public struct Attachment: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.Attachment"

    /// Its name, without a path.
    public var filename = ""

    /// Its MIME type, for instance "application/pdf". Empty: "application/octet-stream".
    public var contentType = ""

    /// Its bytes.
    public var content: [UInt8] = []

    /// What the HTML part calls it by `cid:`. Absent: nothing.
    public var contentID: String?

    /// How a mail reader shows it.
    public var disposition = Disposition.unspecified

    public init() {}

    public var encodedSizeHint: Int { content.count + filename.utf8.count + 128 }

    public func encode(into w: inout WireWriter) {
      w.string(1, filename)
      w.string(2, contentType)
      w.bytes(3, content)
      w.string(4, contentID)
      w.enum(5, disposition)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&filename)
      case 2: try r.string(&contentType)
      case 3: try r.bytes(&content)
      case 4: try r.string(&contentID)
      case 5: try r.enum(&disposition)
      default: try r.skip()
      }
    }

    /// Ways to show an attachment.
    public struct Disposition: WordEnum {
      public var rawValue: Int32

      public init(rawValue: Int32) { self.rawValue = rawValue }

      /// Not said: `inline` with a content_id, else `attachment`.
      public static let unspecified = Self(rawValue: 0)
      /// As a file beside the text.
      public static let attachment = Self(rawValue: 1)
      /// Inside the text.
      public static let inline = Self(rawValue: 2)

      public static let words: [StaticString] = ["attachment", "inline"]
    }
  }

  /// An extra header of the mail.
  public struct Header: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.Header"

    /// Its name. Allowed: X-*, List-Unsubscribe, List-Unsubscribe-Post, References, In-Reply-To and a few more.
    public var name = ""

    /// Its value, unfolded and unencoded.
    public var value = ""

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.string(1, name)
      w.string(2, value)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&name)
      case 2: try r.string(&value)
      default: try r.skip()
      }
    }
  }

  /// Whose turn a mail waits for.
  public struct Priority: WordEnum {
    public var rawValue: Int32

    public init(rawValue: Int32) { self.rawValue = rawValue }

    /// Not said: `interactive` for SendMessage with a wait, `bulk` for SendMessages, without a wait, and with a
    /// `send_at`.
    public static let unspecified = Self(rawValue: 0)
    /// Before all bulk mail of its mailbox, and of others.
    public static let interactive = Self(rawValue: 1)
    /// In turn with other tenants' and mailboxes' bulk mail.
    public static let bulk = Self(rawValue: 2)

    public static let words: [StaticString] = ["interactive", "bulk"]
  }

  /// What to do when nobody can tell whether a mail left.
  public struct AmbiguityPolicy: WordEnum {
    public var rawValue: Int32

    public init(rawValue: Int32) { self.rawValue = rawValue }

    /// Not said: `hold`.
    public static let unspecified = Self(rawValue: 0)
    /// Leave it at `unknown` and never send it again.
    public static let hold = Self(rawValue: 1)
    /// Send it again, at the risk of a duplicate.
    public static let retry = Self(rawValue: 2)

    public static let words: [StaticString] = ["hold", "retry"]
  }
}
