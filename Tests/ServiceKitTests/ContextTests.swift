import CivilTime
import ServiceContracts
import ServiceKit
import TLSSession
import Testing
import WireCodec

@Suite("Call context")
struct ContextTests {
  private let keys = Keyring(generating: "k1")
  private let now = Timestamp(rfc3339: "2026-11-22T10:00:00Z")!

  private func signed(_ keys: Keyring, at time: Timestamp) -> [UInt8] {
    let context = CallContext { context in
      context.tenantID = "default"
      context.userID = "u/1"
      context.scopes = ["send"]
    }
    return ContextSigner(keys: keys, issuer: "edge").sign(context, now: time)
  }

  @Test("What the signer says the verifier reads")
  func roundTrip() throws {
    let context = try ContextVerifier(keys: keys).verify(signed(keys, at: now), now: now + .seconds(100))
    #expect(context.issuer == "edge")
    #expect(context.tenantID == "default")
    #expect(context.userID == "u/1")
    #expect(context.scopes == ["send"])
  }

  @Test("A context counts until its time is over, clocks being at most half a minute apart")
  func times() {
    let value = signed(keys, at: now)
    let verifier = ContextVerifier(keys: keys)
    #expect(throws: Never.self) { try verifier.verify(value, now: now - .seconds(30)) }
    #expect(throws: ContextVerifier.Refusal.notYetValid) { try verifier.verify(value, now: now - .seconds(31)) }
    #expect(throws: Never.self) { try verifier.verify(value, now: now + .seconds(149)) }
    #expect(throws: ContextVerifier.Refusal.expired) { try verifier.verify(value, now: now + .seconds(150)) }
  }

  @Test("A clock is off where a context was refused for its times and the database's is half a minute from ours")
  func clocks() {
    let clock = ClockDoubt()
    #expect(clock.judge(now: now + .seconds(3600), byDatabase: now) == nil, "nobody has met it")
    clock.raise()
    #expect(clock.judge(now: now + .seconds(31), byDatabase: now) == 31)
    #expect(clock.judge(now: now - .seconds(31), byDatabase: now) == -31)
    #expect(clock.judge(now: now + .seconds(30), byDatabase: now) == nil)
    #expect(clock.judge(now: now + .seconds(31), byDatabase: now) == nil, "it was found to be right")
  }

  @Test("A context that lives longer than two minutes is refused, whoever signed it", arguments: [120, 121])
  func lifetime(seconds: Int) throws {
    let context = CallContext {
      $0.tenantID = "default"
      $0.issuedAt = ProtobufTimestamp(now)
      $0.expiresAt = ProtobufTimestamp(now + .seconds(seconds))
    }
    let signed = SignedCallContext {
      $0.context = context.wireBytes()
      $0.keyID = "k1"
      $0.signature = HMACSHA256.authenticate($0.context, key: keys.newest.secret)
    }
    let verifier = ContextVerifier(keys: keys)
    if seconds == 120 {
      #expect(try verifier.verify(signed.wireBytes(), now: now).tenantID == "default")
    } else {
      #expect(throws: ContextVerifier.Refusal.livesTooLong) { try verifier.verify(signed.wireBytes(), now: now) }
    }
  }

  @Test("A request id is 1 to 64 letters, digits, dots, underscores and hyphens")
  func requestIDs() {
    let longest = String(repeating: "aZ09._-x", count: 8)
    #expect(CallContextInterceptor.safeRequestID(longest) == longest)
    for bad in ["", longest + "x", "a b", "a\n", "é", "a/b"] {
      #expect(CallContextInterceptor.safeRequestID(bad) == nil)
    }
  }

  @Test("Every flipped bit is refused")
  func tampering() {
    let value = signed(keys, at: now)
    for index in value.indices {
      var changed = value
      changed[index] ^= 1
      #expect(throws: ContextVerifier.Refusal.self) { try ContextVerifier(keys: keys).verify(changed, now: now) }
    }
  }

  @Test("An older key of the ring still counts, a stranger's does not")
  func rotation() throws {
    let rotated = try Keyring(parsing: Keyring(generating: "k2").revealedText + "," + keys.revealedText)
    #expect(throws: Never.self) { try ContextVerifier(keys: rotated).verify(signed(keys, at: now), now: now) }
    let stranger = Keyring(generating: "k1")
    #expect(throws: ContextVerifier.Refusal.badSignature) {
      try ContextVerifier(keys: keys).verify(signed(stranger, at: now), now: now)
    }
    #expect(throws: ContextVerifier.Refusal.missing) { try ContextVerifier(keys: keys).verify(nil, now: now) }
  }
}
