import EventLoop
import HTTPTypes
import TestSupport
import Testing

@testable import HTTPSClient

/// Runs `body` with a client on a loop of its own.
func withClient<T: Sendable>(
  _ configuration: HTTPSClient.Configuration = .init(), _ body: @Sendable (HTTPSClient, Reactor) async throws -> T
) async throws -> T {
  try await onLoop { reactor in
    let client = try HTTPSClient(reactor: reactor, configuration: configuration)
    defer { client.close() }
    return try await body(client, reactor)
  }
}

func request(_ method: HTTPRequest.Method, _ authority: String, _ path: String = "/", scheme: String = "http")
  -> HTTPRequest
{
  HTTPRequest(method: method, scheme: scheme, authority: authority, path: path)
}

extension HTTPSClient {
  /// Sends, and gives the error as a value.
  func outcome(
    _ request: HTTPRequest, body: RequestBody = .none, options: Options = Options()
  ) async -> Result<Response, HTTPSClientError> {
    do throws(HTTPSClientError) {
      return .success(try await send(request, body: body, options: options))
    } catch {
      return .failure(error)
    }
  }
}

extension Result where Failure == HTTPSClientError {
  var error: HTTPSClientError? {
    if case .failure(let error) = self { return error }
    return nil
  }
}

extension ForeignServer {
  /// A client's configuration that believes this server's authority alone.
  var trusting: HTTPSClient.Configuration {
    var configuration = HTTPSClient.Configuration()
    configuration.trustRoots = .pem(authorityPEM)
    return configuration
  }
}
