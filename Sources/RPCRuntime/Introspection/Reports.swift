// What servers and channels of a loop are doing, as values that may leave it: names, addresses, counts and times, no
// metadata, no messages.

/// How much a report shows; the counts beside the lists tell what is left out.
package struct ReportLimits: Sendable {
  /// Of one server, or addresses of one channel; the busiest first.
  package var connections = 100
  /// Of one connection; the oldest first.
  package var streams = 10

  package init() {}
}

package struct ServerReport: Sendable, Equatable {
  package var addresses: [String]
  package var isDraining: Bool
  /// Handlers that run, calls that wait for their turn, how many may run now, how many were turned away.
  package var runningCalls: Int
  package var queuedCalls: Int
  package var callLimit: Int
  package var shedCalls: Int
  package var connectionCount: Int
  package var connections: [ConnectionReport]
}

package struct ConnectionReport: Sendable, Equatable {
  package enum State: String, Sendable {
    case starting, open
    /// GOAWAY was sent or received: calls in flight go on.
    case draining
  }

  package enum Keepalive: Sendable, Equatable {
    case off
    /// A ping follows when nothing comes for long enough.
    case waiting
    /// Nobody pings until there is a call.
    case asleep
    /// A ping is out for so long.
    case asking(Duration)
  }

  package var peer: String
  /// The SPIFFE name, or the certificate's subject; nil without a proven identity.
  package var identity: String?
  package var isTLS: Bool
  package var state: State
  package var age: Duration
  /// Since bytes last came.
  package var quietFor: Duration
  package var sentBytes: Int
  package var receivedBytes: Int
  package var sendWindow: Int
  package var receiveWindow: Int
  /// Written and not taken by the socket.
  package var unsentBytes: Int
  package var keepalive: Keepalive
  package var streamCount: Int
  package var streams: [StreamReport]
}

package struct StreamReport: Sendable, Equatable {
  package var id: Int32
  package var method: String
  package var age: Duration
  /// Until the deadline; nil without one.
  package var timeLeft: Duration?
  package var sendWindow: Int
  package var receiveWindow: Int
  /// Written by the call and not framed, for lack of window or of room below.
  package var unsentBytes: Int
  /// Whole messages that nobody has read.
  package var unreadMessages: Int
  /// Of messages, without their prefixes.
  package var sentBytes: Int
  package var receivedBytes: Int
}

package struct ChannelReport: Sendable, Equatable {
  package var target: String
  package var state: String
  package var balancing: String
  package var waitingCalls: Int
  /// Of retries and hedges; below half nothing is repeated.
  package var retryTokens: Double
  package var maxRetryTokens: Double
  /// Why the last attempt to connect failed; nil once one succeeded.
  package var lastFailure: String?
  /// Until the next round of attempts of a policy that connects to one address.
  package var nextAttemptIn: Duration?
  package var subchannelCount: Int
  package var subchannels: [SubchannelReport]
  /// Connections that take no more calls and still have some.
  package var draining: [ConnectionReport]
}

package struct SubchannelReport: Sendable, Equatable {
  package var address: String
  package var state: String
  /// What the service says of itself; nil where nobody asks, or before it has answered.
  package var isServing: Bool?
  /// Left out for its failures.
  package var isEjected: Bool
  /// Until the next attempt to connect.
  package var nextAttemptIn: Duration?
  package var connection: ConnectionReport?
}
