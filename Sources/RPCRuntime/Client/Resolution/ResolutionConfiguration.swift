/// How often a channel asks for the addresses of a name.
public struct ResolutionConfiguration: Sendable, Hashable {
  /// At least so long between the beginnings of two look-ups, whatever fails. Lost connections and failed attempts ask
  /// again within this bound.
  public var minimumInterval = Duration.seconds(5)
  /// Without a failure a name is looked up again after so long (±20 %), so that servers that were added get calls. Nil:
  /// only after failures.
  public var refreshInterval: Duration? = .seconds(30)

  public init() {}
}
