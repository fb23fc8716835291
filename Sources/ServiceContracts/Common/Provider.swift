/// Who carries the mail.
public struct Provider: WordEnum {
  public var rawValue: Int32

  public init(rawValue: Int32) { self.rawValue = rawValue }

  /// Not said: Gmail's API.
  public static let unspecified = Self(rawValue: 0)
  /// The user's own Gmail account through the Gmail API; `gmail_api` in REST.
  public static let gmailAPI = Self(rawValue: 1)

  public static let words: [StaticString] = ["gmail_api"]
}
