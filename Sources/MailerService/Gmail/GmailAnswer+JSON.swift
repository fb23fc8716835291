import StrictJSON

extension GmailAnswer {
  /// Reads a success (`{"id", "threadId", …}`) or Google's error object, in its old form (`errors[].reason`) and its new
  /// one (`status`, `details[].reason`). `nil` when it is no JSON object: then only the status line speaks.
  init?(json bytes: [UInt8]) {
    var limits = JSONLimits()
    limits.maximumBytes = 256 << 10
    guard let value = try? JSONValue(parsing: bytes, limits: limits), value.objectValue != nil else { return nil }
    id = value["id"]?.stringValue
    threadID = value["threadId"]?.stringValue
    guard let error = value["error"] else { return }
    status = error["status"]?.stringValue
    message = error["message"]?.stringValue
    for list in [error["errors"], error["details"]] {
      for entry in list?.arrayValue ?? [] {
        if let reason = entry["reason"]?.stringValue { reasons.append(reason) }
        if let quota = entry["metadata"]?["quota_limit"]?.stringValue { quotaLimit = quota }
      }
    }
  }
}
