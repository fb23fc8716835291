import CivilTime
import RPCRuntime
import ServiceContracts
import Testing
import WireCodec

@Test("an enum's words are those of the REST API and the tables")
func words() {
  #expect(
    (1...7).map { MessageStatus(rawValue: $0).word } == [
      "queued", "scheduled", "sending", "success", "failed", "unknown", "cancelled",
    ])
  #expect(MessageStatus(word: "cancelled") == .cancelled)
  #expect(MessageStatus(word: "Cancelled") == nil)
  #expect(MessageStatus(word: "unspecified") == nil)
  #expect(MessageStatus.unspecified.word == nil)
  #expect(MessageStatus(rawValue: 8).word == nil)
  #expect(MessageStatus(rawValue: -1).word == nil)
  #expect(Provider(word: "gmail_api") == .gmailAPI)
  #expect(OAuth.ConnectionStatus.neverConnected.word == "never_connected")
}

@Test(
  "a time goes into the message and back, rounded down to the microsecond",
  arguments: [-62_135_596_800_000_000, -1, 0, 1, 253_402_300_799_999_999] as [Int64])
func timestamps(_ microseconds: Int64) {
  let time = Timestamp(microseconds: microseconds)
  let message = ProtobufTimestamp(time)
  #expect(0...999_999_999 ~= message.nanos)
  #expect(message.timestamp == time)
}

@Test("a message that holds a token does not print it")
func redaction() {
  let response = OAuth.GetAccessTokenResponse { $0.accessToken = "ya29.secret" }
  #expect(!"\(response)".contains("ya29"))
}
