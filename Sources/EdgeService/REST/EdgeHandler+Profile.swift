import HTTPServer
import HTTPTypes
import RPCRuntime
import ServiceContracts
import StrictJSON
import TLSSession

extension EdgeHandler {
  func getProfile(_ call: EdgeCall) async throws -> HTTPServerResponse {
    let profile = try await backends.oauth.call(
      OAuth.getProfile, OAuth.GetProfileRequest(), options: backends.options(for: call))
    var response = HTTPServerResponse.json { json in
      json.object { json in
        json.member("user_id", profile.userID)
        json.member("gmail_connected", profile.gmailConnected)
        json.member("email_address", profile.emailAddress)
        json.member("provider", profile.provider.word ?? "gmail_api")
        json.member("status", profile.status.word)
        json.member("reauth_reason", profile.reauthReason)
        json.member("scopes", strings: profile.scopes)
        json.member("connected_at", profile.connectedAt)
        json.member("last_used_at", profile.lastUsedAt)
      }
    }
    guard case .bytes(let bytes) = response.body else { return response }
    let tag = "\"\(Hex.encode(SHA256.hash(bytes).prefix(16)))\""
    if ETag.matches(call.request.head.headerFields[values: .ifNoneMatch], tag) {
      response = HTTPServerResponse(.notModified)
    }
    response.head.headerFields[.eTag] = tag
    response.head.headerFields[.cacheControl] = "private, no-cache"
    return response
  }
}

/// Conditional requests (RFC 9110 section 13.1.2).
enum ETag {
  static func matches(_ fields: [String], _ tag: String) -> Bool {
    for candidate in fields.joined(separator: ",").split(separator: ",") {
      let candidate = candidate.drop { $0 == " " || $0 == "\t" }.prefix { $0 != " " && $0 != "\t" }
      // The weak comparison: what matters is the same representation, not the same bytes on the wire.
      if candidate == "*" || candidate == tag || candidate == "W/" + tag { return true }
    }
    return false
  }
}
