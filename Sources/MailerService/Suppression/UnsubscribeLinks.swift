import MailSyntax
import RPCRuntime
import SecretVault
import ServiceContracts
import TLSSession

/// Links by which a recipient takes himself off a tenant's mail (RFC 8058). A link's token is tenant and address, sealed:
/// it cannot be forged or read, and needs no row of its own however many mails leave.
struct UnsubscribeLinks: Sendable {
  /// The longest token: a tenant of 63 bytes, an address of 254, a key's id of 32, and what sealing adds; in base64.
  static let maximumLength = 600
  /// So much of the public address still leaves a header word below its 900 bytes.
  static let maximumPublicURL = 200

  private let seal: ColumnSeal
  /// Where strangers reach the edge; nil: no links can be made.
  private let publicURL: String?
  private static let place = ["emailmcp unsubscribe link"]

  init(keys: Keyring, publicURL: String?) {
    seal = ColumnSeal(keys)
    self.publicURL = publicURL.map { $0.hasSuffix("/") ? String($0.dropLast()) : $0 }
  }

  /// The headers of a mail with a link. The link names the one whom it takes off, so there must be exactly one.
  func headers(of draft: MessageDraft, _ user: UserKey) throws(RPCError) -> [MessageDraft.Pair] {
    guard let publicURL else { throw .unsubscribeNotConfigured }
    guard draft.to.count == 1, draft.cc.isEmpty, draft.bcc.isEmpty else {
      throw .invalidField("one_click_unsubscribe", "The mail must have exactly one recipient, in to.")
    }
    // What is no address is refused with the rest of the mail.
    guard let recipient = try? MailAddress(draft.to[0].email) else { return [] }
    return [
      .init(
        name: "List-Unsubscribe",
        value: "<\(publicURL)/v1/unsubscribe/\(try token(tenantID: user.tenantID, recipient))>"),
      .init(name: "List-Unsubscribe-Post", value: "List-Unsubscribe=One-Click"),
    ]
  }

  func token(tenantID: String, _ recipient: MailAddress) throws(RPCError) -> String {
    do throws(TLSError) {
      let sealed = try seal.seal(SecretBytes(Array("\(tenantID) \(recipient.key)".utf8)), for: Self.place)
      return Base64.encode(sealed, .urlSafe)
    } catch {
      throw .unavailable(error)
    }
  }

  /// Whom a token is about; nil for one that is not ours.
  func recipient(of token: String) -> (tenantID: String, entry: SuppressionEntry)? {
    guard token.utf8.count <= Self.maximumLength, let sealed = Base64.decode(token, .urlSafe),
      let opened = try? seal.open(sealed, for: Self.place),
      let text = String(validating: opened.revealed, as: UTF8.self), let space = text.firstIndex(of: " "),
      let entry = try? SuppressionEntry(String(text[text.index(after: space)...]))
    else { return nil }
    return (String(text[..<space]), entry)
  }
}
