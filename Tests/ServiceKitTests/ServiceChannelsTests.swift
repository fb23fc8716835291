import EventLoop
import ServiceContracts
import Testing

@testable import RPCRuntime
@testable import ServiceKit

@Suite("How the processes call each other")
struct ServiceChannelsTests {
  private func isRepeated(_ method: MethodDescriptor) -> Bool {
    if case .never = ChannelConfiguration.betweenServices.service.configuration(of: method).repetition { return false }
    return true
  }

  @Test("What only reads is repeated; what a lost answer may have done is not")
  func repetition() {
    for method in [OAuth.getProfile.descriptor, Mailer.listMessages.descriptor, Reports.getSummary.descriptor] {
      #expect(isRepeated(method))
    }
    for method in [
      Mailer.sendMessage.descriptor, Mailer.sendMessages.descriptor, Mailer.cancelMessage.descriptor,
      OAuth.completeAuthorization.descriptor, OAuth.getAccessToken.descriptor, OAuth.disconnect.descriptor,
    ] {
      #expect(!isRepeated(method))
    }
  }

  @Test("Every replica gets calls, and dead connections are found within half a minute")
  func connections() throws {
    let configuration = ChannelConfiguration.betweenServices
    #expect(configuration.service.balancing == .roundRobin)
    let keepalive = try #require(configuration.keepalive)
    #expect(keepalive.time + keepalive.timeout <= .seconds(30))
    #expect(configuration.backoff.limit == .seconds(2))
  }
}
