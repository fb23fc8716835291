import CoreMetrics

/// `emailmcp_token_refresh_total{result}`.
enum TokenRefreshMetric {
  static let name = "emailmcp_token_refresh_total"

  static func count(_ outcome: TokenKeeper.RefreshOutcome) {
    Counter(label: name, dimensions: [("result", outcome.rawValue)]).increment()
  }
}
