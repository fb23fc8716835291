package import HTTPTypes
package import URLSyntax

extension HTTPRequest {
  /// - Parameter path: with its query, instead of the URL's own.
  package init(_ method: Method, to url: HTTPURL, path: String? = nil, headerFields: HTTPFields = [:]) {
    self.init(
      method: method, scheme: url.scheme.rawValue, authority: url.authority, path: path ?? url.target,
      headerFields: headerFields)
  }
}
