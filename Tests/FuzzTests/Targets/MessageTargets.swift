@testable import RPCRuntime
import ServiceContracts
import WireCodec

extension FuzzTarget {
  /// A message of the schemas (the first byte chooses): what was read is written so that it reads the same again.
  static let messages = FuzzTarget(name: "messages") { bytes in
    var input = FuzzInput(bytes)
    try types[Int(input.byte()) % types.count].checkWire(input.rest)
  }

  /// Those with every other message inside them, one way or another.
  private static let types: [any WireMessage.Type] = [
    Mailer.SendMessageRequest.self, Mailer.SendMessageResponse.self, Mailer.SendMessagesRequest.self,
    Mailer.SendMessagesResponse.self, Mailer.GetMessageResponse.self, Mailer.ListMessagesRequest.self,
    Mailer.ListMessagesResponse.self, Mailer.WatchMessagesRequest.self, Mailer.WatchMessagesResponse.self,
    Mailer.ListSuppressionsResponse.self, Mailer.AddSuppressionRequest.self, CallContext.self, SignedCallContext.self,
    OAuth.StartAuthorizationRequest.self, OAuth.StartAuthorizationResponse.self,
    OAuth.CompleteAuthorizationResponse.self, OAuth.GetProfileResponse.self, OAuth.GetAccessTokenResponse.self,
    OAuth.WatchConnectionsResponse.self, Reports.GetUserReportRequest.self, Reports.GetUserReportResponse.self,
    Reports.GetSummaryResponse.self, Reports.ExportMessagesRequest.self, Reports.ExportMessagesResponse.self,
    HealthCheckResponse.self, HealthListResponse.self, Reflection.Request.self, Reflection.Response.self,
    StatusDetails.self, BadRequest.self, QuotaFailure.self, RetryInfo.self, ErrorInfo.self,
  ]
}

extension WireMessage {
  fileprivate static func checkWire(_ wire: UnsafeRawBufferPointer) throws {
    guard let message = try? Self(wire: wire) else { return }
    let written = message.wireBytes()
    guard let again = try? Self(wire: written) else { throw FuzzFault("\(wireName) refuses what it wrote") }
    try require(again.wireBytes() == written, "\(wireName) is written differently the second time")
    // Over itself: every field comes twice, which is never an error.
    var merged = message
    try written.withUnsafeBytes { raw in
      var reader = WireReader(raw)
      try merged.merge(from: &reader)
    }
    _ = merged.wireBytes()
  }
}
