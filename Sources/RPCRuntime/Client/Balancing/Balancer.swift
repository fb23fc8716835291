import EventLoop

/// The connections of a channel, as a value: which addresses are connected to, when, and what the channel is in sum.
///
/// `pick_first` connects in rounds over its addresses until one answers, and again only when a call needs it; a failed
/// round is followed by a wait that grows and by the next one, and calls fail until one of them connects. `round_robin`
/// and `least_request` keep a connection to every address, each with a wait of its own. Who takes a call among those
/// that are ready is `Picker`'s matter.
///
/// Spec: grpc/doc/connectivity-semantics-and-api.md, connection-backoff.md; proposals A61, A62.
struct Balancer: Equatable {
  struct Link: Equatable {
    enum Phase: String, Equatable {
      case idle, connecting, ready
      case backingOff = "backing_off"
    }

    let id: Int
    let address: SocketAddress
    fileprivate(set) var phase = Phase.idle
    /// pick_first: an attempt was made in this round.
    fileprivate var isTried = false
    /// No connection since the last failure: it counts as failing also while it tries again.
    fileprivate(set) var hasFailed = false
    /// What the service says of itself; true without health checks, nil before it has spoken.
    fileprivate(set) var isServing: Bool?
    /// How many connections in a row were lost soon after they were made.
    fileprivate var briefCount = 0
    fileprivate var isFickle: Bool { briefCount > Balancer.briefAllowed }
    fileprivate var isUsable: Bool { phase == .ready && isServing == true }
    fileprivate var backoff: Backoff
  }

  enum Action: Equatable {
    /// Ask for the addresses, as soon as the resolver's bounds allow.
    case resolve
    case connect(Int, SocketAddress)
    /// Take no more calls there; those in flight end. An attempt under way stops.
    case drop(Int)
    /// Say `staggerElapsed` after the delay; takes the place of an earlier one.
    case stagger(Duration)
    /// Say `backoffElapsed` with the same key after the delay: a link's id, or `roundKey`.
    case backOff(Int, Duration)
  }

  /// Connections in a row that are lost soon and made again at once: servers that are replaced one after the other. From
  /// then on each counts as a failed attempt, or whoever lets connect and goes would be asked in a loop.
  private static let briefAllowed = 4

  /// The back-off of a whole round, or of a name without addresses.
  static let roundKey = 0

  let policy: LoadBalancingPolicy
  /// A connection takes calls once `reported` has said so.
  let checksHealth: Bool
  /// In the order of the resolver, or of RFC 8305.
  private(set) var links: [Link] = []
  /// What a new link, and a new round, begin with.
  private let freshBackoff: Backoff
  private var backoff: Backoff
  private var lastID = roundKey
  /// A call wants a connection, and the first addresses are not here yet.
  private var isStarting = false
  private var isBackingOff = false
  /// pick_first: no connection since a round failed. It counts as failing also while it tries again (proposal A62).
  private var hasFailed = false
  /// Connections are wanted to all addresses.
  private var isActive = false
  private var isClosed = false

  init(policy: LoadBalancingPolicy, backoff: Backoff, checksHealth: Bool = false) {
    self.policy = policy
    self.checksHealth = checksHealth
    self.backoff = backoff
    freshBackoff = backoff
  }

  var state: ChannelState {
    if isClosed { return .closed }
    if links.contains(where: \.isUsable) { return .ready }
    if isBackingOff || hasFailed { return .failing }
    if policy.connectsToAll, !links.isEmpty, links.allSatisfy(\.hasFailed) { return .failing }
    return isStarting || isConnecting || links.contains { $0.phase == .ready } ? .connecting : .idle
  }

  /// The links that take calls, in order.
  var ready: [Int] { links.filter(\.isUsable).map(\.id) }

  private var isConnecting: Bool { links.contains { $0.phase == .connecting } }

  // MARK: Calls and addresses

  /// A call needs a connection.
  mutating func wanted() -> [Action] {
    guard state == .idle else { return [] }
    guard !links.isEmpty else {
      isStarting = true
      return [.resolve]
    }
    // The addresses may be old: the channel was idle.
    return [.resolve] + begin()
  }

  /// The resolver's addresses, for the first time or again.
  mutating func resolved(_ addresses: [SocketAddress], isWanted: Bool, random: Double) -> [Action] {
    guard !isClosed else { return [] }
    guard !addresses.isEmpty else { return resolutionFailed(random: random) }
    let ordered = policy.connectsToAll ? addresses.unique : HappyEyeballs.order(addresses)
    let begins = isStarting || isWanted || isActive || hasFailed
    isStarting = false
    guard ordered != links.map(\.address) else { return [] }
    let known = lastID
    let dropped = take(ordered)
    let drops = dropped.filter { $0.phase != .idle }.map { Action.drop($0.id) }
    // Only who has not been tried yet is worth ending a back-off for.
    if isBackingOff, lastID == known { return drops }
    isBackingOff = false
    if policy.connectsToAll { return drops + (begins ? begin() : []) }
    if links.contains(where: { $0.phase == .ready }) { return drops }
    return drops + (isConnecting ? [.stagger(HappyEyeballs.attemptDelay)] : begins ? begin() : [])
  }

  /// Keeps the links whose address stays.
  ///
  /// - Returns: those whose address is gone.
  private mutating func take(_ addresses: [SocketAddress]) -> [Link] {
    var old = links
    links = addresses.map { address in
      if let index = old.firstIndex(where: { $0.address == address }) { return old.remove(at: index) }
      lastID += 1
      return Link(id: lastID, address: address, backoff: freshBackoff)
    }
    return old
  }

  /// No addresses came. Known ones stay in use.
  mutating func resolutionFailed(random: Double) -> [Action] {
    guard isStarting, !isClosed else { return [] }
    isStarting = false
    isBackingOff = true
    return [.backOff(Self.roundKey, backoff.next(random: random))]
  }

  private mutating func begin() -> [Action] {
    guard policy.connectsToAll else {
      for index in links.indices { links[index].isTried = false }
      return connectNext()
    }
    isActive = true
    return links.indices.filter { links[$0].phase == .idle }.map { connect($0) }
  }

  private mutating func connect(_ index: Int) -> Action {
    links[index].phase = .connecting
    links[index].isTried = true
    return .connect(links[index].id, links[index].address)
  }

  /// The next address of the round, if one is left.
  private mutating func connectNext() -> [Action] {
    guard let next = links.firstIndex(where: { !$0.isTried }) else { return [] }
    let action = connect(next)
    return links.contains { !$0.isTried } ? [action, .stagger(HappyEyeballs.attemptDelay)] : [action]
  }

  // MARK: Connections

  /// The attempts so far had their time alone.
  mutating func staggerElapsed() -> [Action] {
    guard !policy.connectsToAll, isConnecting else { return [] }
    return connectNext()
  }

  /// The server's SETTINGS are here: it is an HTTP/2 server, and it takes calls.
  mutating func connected(_ id: Int) -> [Action] {
    guard let index = index(of: id), links[index].phase == .connecting else { return [] }
    links[index].phase = .ready
    if !links[index].isFickle { resetBackoff(index) }
    links[index].isServing = checksHealth ? nil : true
    if !checksHealth { links[index].hasFailed = false }
    guard !policy.connectsToAll else { return [] }
    hasFailed = false
    var drops: [Action] = []
    for other in links.indices where links[other].phase == .connecting {
      links[other].phase = .idle
      drops.append(.drop(links[other].id))
    }
    return drops
  }

  private mutating func resetBackoff(_ index: Int) {
    links[index].backoff.reset()
    backoff.reset()
  }

  /// The service behind a ready connection says whether it takes calls.
  mutating func reported(_ id: Int, isServing: Bool) {
    guard let index = index(of: id), links[index].phase == .ready else { return }
    links[index].isServing = isServing
    links[index].hasFailed = !isServing
  }

  /// An attempt to connect failed.
  mutating func failed(_ id: Int, random: Double) -> [Action] {
    guard let index = index(of: id), links[index].phase == .connecting else { return [] }
    guard !policy.connectsToAll else {
      let failedBefore = links[index].hasFailed
      links[index].phase = .backingOff
      links[index].hasFailed = true
      let wait = Action.backOff(id, links[index].backoff.next(random: random))
      // An address that never answers, beside others that do, is no reason to doubt them again and again.
      return failedBefore && state == .ready ? [wait] : [.resolve, wait]
    }
    links[index].phase = .idle
    let next = connectNext()
    guard next.isEmpty, !isConnecting else { return next }
    isBackingOff = true
    hasFailed = true
    return [.resolve, .backOff(Self.roundKey, backoff.next(random: random))]
  }

  /// A ready connection takes no more calls: lost, or told so by GOAWAY.
  ///
  /// - Parameter isBrief: it did not last as long as the first wait after a failure.
  mutating func lost(_ id: Int, isBrief: Bool, isWanted: Bool, random: Double) -> [Action] {
    guard let index = index(of: id), links[index].phase == .ready else { return [] }
    links[index].briefCount = isBrief ? links[index].briefCount + 1 : 0
    if !isBrief { resetBackoff(index) }
    if links[index].isFickle, policy.connectsToAll || isWanted {
      links[index].phase = .connecting
      return failed(id, random: random)
    }
    links[index].phase = .idle
    if policy.connectsToAll { return [.resolve, connect(index)] }
    return [.resolve] + (isWanted ? begin() : [])
  }

  mutating func backoffElapsed(_ key: Int, isWanted: Bool) -> [Action] {
    guard key == Self.roundKey else {
      guard let index = index(of: key), links[index].phase == .backingOff else { return [] }
      return [connect(index)]
    }
    guard isBackingOff else { return [] }
    isBackingOff = false
    guard links.isEmpty else { return begin() }
    isStarting = isWanted
    return isStarting ? [.resolve] : []
  }

  /// Nobody has called for long: every connection is given up until the next call.
  mutating func goIdle() -> [Action] {
    isActive = false
    isBackingOff = false
    hasFailed = false
    var drops: [Action] = []
    for index in links.indices where links[index].phase != .idle {
      links[index].phase = .idle
      links[index].hasFailed = false
      drops.append(.drop(links[index].id))
    }
    return drops
  }

  mutating func close() { isClosed = true }

  private func index(of id: Int) -> Int? { links.firstIndex { $0.id == id } }
}

extension [SocketAddress] {
  fileprivate var unique: Self {
    var seen: Set<SocketAddress> = []
    return filter { seen.insert($0).inserted }
  }
}
