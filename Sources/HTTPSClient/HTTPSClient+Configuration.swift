package import EventLoop
package import HTTPTypes

extension HTTPSClient {
  /// Whose certificates are believed.
  package enum TrustRoots: Sendable {
    /// The system's own bundle.
    case system
    /// A PEM file with CA certificates, instead of the system's.
    case file(String)
    /// CA certificates as PEM text, instead of the system's.
    case pem([UInt8])
  }

  /// What holds for every request of a client.
  package struct Configuration: Sendable {
    package var trustRoots = TrustRoots.system
    /// A proxy's URL. The environment's proxy variables are never looked at.
    package var proxy: String?
    /// Hosts beside loopback that plain http may go to, in lower case: link-local metadata services, or a stand-in in the same network.
    package var plaintextHosts: Set<String> = []
    /// Most https connections to one host and port. HTTP/2 shares them; libcurl opens one for each request of a burst that the
    /// connections so far have no stream for, hence a low bound.
    package var maxConnectionsPerHost = 16
    /// Most http connections to one host and port, each for one request at a time.
    package var maxPlaintextConnectionsPerHost = 1_024
    /// Most connections in all of each kind, idle ones included.
    package var maxConnections = 1_024
    /// Most requests that share one HTTP/2 connection; the server's own limit counts as well.
    package var maxStreamsPerConnection = 100
    /// Most requests in flight; more wait in order.
    package var maxRequestsInFlight = 2_048
    /// Most requests that wait; more are refused.
    package var maxWaitingRequests = 16_384
    /// How long an idle connection may still be used again. Short, because a server closes idle connections without a word.
    package var maxIdle = Duration.seconds(50)

    package init() {}
  }

  /// What holds for one request.
  package struct Options: Sendable {
    /// For the whole request, waiting in the client's queue included.
    package var timeout = Duration.seconds(30)
    /// For name resolution, TCP and TLS together.
    package var connectTimeout = Duration.seconds(5)
    /// No byte of the body leaves unless its first one does by then, on the clock that goes on while the machine sleeps:
    /// waiting for a connection has no other bound than `timeout`. Nil: whenever a connection is there.
    package var notAfter: ContinuousClock.Instant?
    package var maxRequestBytes = 48 << 20
    package var maxHeadBytes = 32 << 10
    package var maxBodyBytes = 1 << 20
    /// How long the body may take from the head on. With it the head decides: what has come of the body when its time or its
    /// limit is over, or when it breaks off, is the answer's body, and the connection is dropped. Nil: an answer is whole.
    package var bodyTimeout: Duration?
    /// Connect here, whatever the name in the URL resolves to; TLS and Host go by the name all the same. The port is the
    /// URL's. Nil: by the system's resolver.
    package var address: SocketAddress?

    package init() {}
  }

  /// A final response: its head, and its whole body (but see `Options.bodyTimeout`).
  package struct Response: Sendable {
    package let head: HTTPResponse
    package let body: [UInt8]
    package let observation: TransportObservation
  }
}
