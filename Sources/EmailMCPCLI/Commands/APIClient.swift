import ArgumentParser
import EventLoop
import Glibc
import HTTPSClient
import HTTPTypes
import ServiceKit
import StrictJSON
import URLSyntax

/// The REST API as a shell calls it: `EMAILMCP_URL` and `EMAILMCP_API_KEY`, by default those of the development system in
/// this folder.
struct APIClient {
  private let url: HTTPURL
  private let key: String

  init() throws {
    let environment = processEnvironment()
    guard let url = HTTPURL(environment["EMAILMCP_URL"] ?? "http://127.0.0.1:8080"), url.target == "/" else {
      throw ValidationError("EMAILMCP_URL is not an http or https URL without a path")
    }
    self.url = url
    if let key = environment["EMAILMCP_API_KEY"] {
      self.key = key
    } else if let key = try? PrivateFile.readText(".emailmcp/api-key").trimmingWhitespace() {
      self.key = key
    } else {
      throw ValidationError("EMAILMCP_API_KEY is not set, and no development system keeps its data in ./.emailmcp")
    }
  }

  /// Calls the API and prints its answer.
  ///
  /// - Throws: `ExitCode.failure` where the answer is an error.
  func call(_ method: HTTPRequest.Method, _ path: String, body: [UInt8]? = nil, headers: HTTPFields = [:]) async throws
  {
    var request = HTTPRequest(method, to: url, path: path, headerFields: headers)
    request.headerFields[.authorization] = "Bearer \(key)"
    if body != nil { request.headerFields[.contentType] = "application/json" }
    let loop = try EventLoop.start(name: "cli")
    let (request_, body_) = (request, body)
    let result = await loop.run { reactor -> Result<(status: Int, body: [UInt8]), DevError> in
      do {
        let client = try HTTPSClient(reactor: reactor)
        defer { client.close() }
        var options = HTTPSClient.Options()
        options.timeout = .seconds(70)
        options.maxBodyBytes = 16 << 20
        let response = try await client.send(request_, body: body_.map { RequestBody($0) } ?? .none, options: options)
        return .success((response.head.status.code, response.body))
      } catch {
        return .failure(DevError("\(url): \(error)"))
      }
    }
    await loop.shutdown()
    let answer = try result.get()
    printText(String(decoding: answer.body, as: UTF8.self) + (answer.body.last == 0x0A ? "" : "\n"))
    guard 200..<300 ~= answer.status else { throw ExitCode.failure }
  }
}
