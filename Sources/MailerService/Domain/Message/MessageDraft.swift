import CivilTime

/// A message as a sender gave it, before any rule was applied.
struct MessageDraft: Sendable, Equatable {
  struct Address: Sendable, Equatable {
    var email: String
    var name: String?

    init(email: String, name: String? = nil) {
      self.email = email
      self.name = name
    }
  }

  struct Attachment: Sendable, Equatable {
    var filename = ""
    var contentType = ""
    var content: [UInt8] = []
    var contentID: String?
    /// `attachment` or `inline`; by default what has a content id is inline.
    var disposition: String?
  }

  struct Pair: Sendable, Hashable {
    var name: String
    var value: String
  }

  var to: [Address] = []
  var cc: [Address] = []
  var bcc: [Address] = []
  var subject = ""
  var text: String?
  var html: String?
  var fromEmail: String?
  var fromName: String?
  var replyTo: [Address] = []
  var attachments: [Attachment] = []
  var headers: [Pair] = []
  /// What the service adds to them; not counted among the sender's.
  var ownHeaders: [Pair] = []
  var threadID: String?
  var provider: String?
  var sendAt: Timestamp?
  var metadata: [Pair] = []
}
