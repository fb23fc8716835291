import CivilTime
import StrictJSON

/// Entries of a mail's timeline as the log keeps them: a JSON array that is appended to.
enum TimelineText {
  struct Entry {
    var event: String
    var detail: String?
    /// When it happened, where that is not the moment of all.
    var at: Timestamp?

    init(_ event: String, _ detail: String? = nil, at: Timestamp? = nil) {
      self.event = event
      self.detail = detail
      self.at = at
    }
  }

  /// `[{"at","event","detail"?}, …]`, at one moment unless they say otherwise.
  static func json(_ entries: [Entry], at time: Timestamp) -> [UInt8] {
    var json = JSONWriter()
    let moment = time.description
    json.array(of: entries) { json, entry in
      json.object {
        $0.member("at", entry.at?.description ?? moment)
        $0.member("event", entry.event)
        if let detail = entry.detail { $0.member("detail", detail) }
      }
    }
    return json.finish()
  }
}
