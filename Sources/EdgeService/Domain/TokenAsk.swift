/// What a bucket granted, and how long until it is worth asking again where that was less than asked.
typealias TokenGrant = (granted: Int, retryAfter: Duration)

/// A request's wish for tokens of one bucket, as it goes to the database together with others.
struct TokenAsk: Equatable, Sendable {
  var tenant: String
  var bucket: String
  var perSecond: Double
  var burst: Int32
  /// At most the burst.
  var want: Int32

  /// The asks of one tenant at one rate.
  struct Group {
    var tenant: String
    var perSecond: Double
    var burst: Int32
    var buckets: [Bucket] = []
  }

  /// One bucket, and the places of those who ask for it.
  struct Bucket {
    var key: String
    var want: Int32
    var places: [Int]

    /// What was granted, to those who asked, the first first.
    func shares(of granted: Int, among asks: [TokenAsk]) -> [(place: Int, count: Int)] {
      var left = granted
      return places.map { place in
        let count = min(left, Int(asks[place].want))
        left -= count
        return (place, count)
      }
    }
  }

  /// In the order of the tenants' and the keys' bytes, as the database compares them; a bucket that several ask for once.
  static func grouped(_ asks: [TokenAsk]) -> [Group] {
    let places = asks.indices.sorted { left, right in
      let (a, b) = (asks[left], asks[right])
      if !a.tenant.utf8.elementsEqual(b.tenant.utf8) { return a.tenant.utf8.lexicographicallyPrecedes(b.tenant.utf8) }
      if !a.bucket.utf8.elementsEqual(b.bucket.utf8) { return a.bucket.utf8.lexicographicallyPrecedes(b.bucket.utf8) }
      return left < right
    }
    var groups: [Group] = []
    for place in places {
      let ask = asks[place]
      if groups.last.map({ $0.isFor(ask) }) != true {
        groups.append(Group(tenant: ask.tenant, perSecond: ask.perSecond, burst: ask.burst))
      }
      groups[groups.count - 1].add(ask, at: place)
    }
    return groups
  }
}

extension TokenAsk.Group {
  fileprivate func isFor(_ ask: TokenAsk) -> Bool {
    tenant.utf8.elementsEqual(ask.tenant.utf8) && perSecond == ask.perSecond && burst == ask.burst
  }

  fileprivate mutating func add(_ ask: TokenAsk, at place: Int) {
    if let last = buckets.indices.last, buckets[last].key.utf8.elementsEqual(ask.bucket.utf8) {
      buckets[last].want = min(burst, buckets[last].want &+ ask.want)
      buckets[last].places.append(place)
    } else {
      buckets.append(TokenAsk.Bucket(key: ask.bucket, want: ask.want, places: [place]))
    }
  }
}
