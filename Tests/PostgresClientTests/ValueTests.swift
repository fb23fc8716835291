import Testing

@testable import PostgresClient

@Suite("Values of the client, without a database")
struct ValueTests {
  @Test("That a database is away is told from what it refuses, by the code")
  func unavailable() {
    for code in [
      "08006", "57P03", "57P01", "57014", "53300", "25006", "connection_lost", "client_timeout", "pool_closed",
    ] {
      #expect(PostgresError(.init(rawValue: code), "").isUnavailable, "\(code)")
    }
    for code in ["23505", "40001", "57000", "42501", "0800", "080066", "decoding", "configuration"] {
      #expect(!PostgresError(.init(rawValue: code), "").isUnavailable, "\(code)")
    }
    #expect(PostgresError(.deadlockDetected, "").isRetryable && PostgresError(.serializationFailure, "").isRetryable)
    #expect(!PostgresError(.uniqueViolation, "").isRetryable)
  }

  @Test("A configuration shows where it leads and no password, and has the URL's servers one by one")
  func configuration() throws {
    let url = "postgres://ann:hunter2@db.example:6000/mail?options=-c%20x%3D1"
    let named = try PostgresConfiguration(url: url)
    #expect("\(named)" == "ann@db.example:6000/mail")
    #expect(named.sessionOptions.hasPrefix("-c x=1 -c statement_timeout=30000 "))
    let lists: [(String, [ServerAddress])] = [
      (url, [ServerAddress(host: "db.example", numeric: "", port: "6000")]),
      ("dbname=mail", []),
      ("host=/run/postgres dbname=mail", [ServerAddress(host: "/run/postgres", numeric: "", port: "")]),
      (
        "postgres://a:1,b/mail?target_session_attrs=read-write",
        [ServerAddress(host: "a", numeric: "", port: "1"), ServerAddress(host: "b", numeric: "", port: "")]
      ),
      (
        "host=a,b hostaddr=10.0.0.1,10.0.0.2 port=7",
        [
          ServerAddress(host: "a", numeric: "10.0.0.1", port: "7"),
          ServerAddress(host: "b", numeric: "10.0.0.2", port: "7"),
        ]
      ),
    ]
    for (url, servers) in lists { #expect(try PostgresConfiguration(url: url).servers == servers, "\(url)") }
    #expect(lists.map { $0.1.map(\.needsResolving) } == [[true], [], [false], [true, true], [false, false]])
  }

  @Test("A session is of no use by what is needed of it, and by what the URL asks for")
  func serversToLeave() throws {
    func isLeft(_ attributes: String, needsWrites: Bool) throws -> [Bool] {
      var configuration = try PostgresConfiguration(url: "postgres://a,b/mail\(attributes)")
      configuration.needsWrites = needsWrites
      #expect(
        configuration.judgesServers
          == (needsWrites || attributes.hasSuffix("read-write") || attributes.hasSuffix("primary")))
      // One that takes writes, a primary that does not, a standby.
      return [(false, false), (true, false), (true, true)].map {
        configuration.mustLeave(isReadOnly: $0.0, isStandby: $0.1)
      }
    }
    for attributes in ["", "?target_session_attrs=any", "?target_session_attrs=read-write"] {
      #expect(try isLeft(attributes, needsWrites: true) == [false, true, true])
    }
    for attributes in ["", "?target_session_attrs=any", "?target_session_attrs=prefer-standby"] {
      #expect(try isLeft(attributes, needsWrites: false) == [false, false, false])
    }
    #expect(try isLeft("?target_session_attrs=read-write", needsWrites: false) == [false, true, true])
    #expect(try isLeft("?target_session_attrs=primary", needsWrites: false) == [false, false, true])
  }

  @Test("Servers that kept silent come behind the others, until they answer or are not among them any more")
  func silentServers() {
    let (a, b, c) = (Self.server("10.0.0.1"), Self.server("10.0.0.2"), Self.server("10.0.0.3"))
    var silent = SilentServers()
    #expect(silent.order([a, b, c]) == [a, b, c])
    silent.keptSilent(a)
    #expect(silent.order([a, b, c]) == [b, c, a])
    silent.keptSilent(b)
    #expect(silent.order([a, b, c]) == [c, a, b])
    silent.answered(a)
    #expect(silent.order([a, b, c]) == [a, c, b])
    #expect(silent.order([a, c]) == [a, c])
    #expect(silent.order([a, b, c]) == [a, b, c])
  }

  private static func server(_ address: String) -> ServerAddress {
    ServerAddress(host: "db.example", numeric: address, port: "5432")
  }
}
