import Testing

@testable import TLSSession

@Suite("Cryptography against published vectors")
struct CryptoTests {
  private func bytes(_ hex: String) throws -> [UInt8] { try #require(Hex.decode(hex)) }

  @Test(
    "SHA-256 (FIPS 180-4)",
    arguments: [
      ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
      ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
      (
        "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
      ),
    ])
  func sha256(text: String, digest: String) {
    #expect(Hex.encode(SHA256.hash(text.utf8)) == digest)
    var inPieces = SHA256()
    for byte in text.utf8 { inPieces.update(CollectionOfOne(byte)) }
    #expect(Hex.encode(inPieces.finalize()) == digest)
  }

  @Test(
    "HMAC-SHA-256 (RFC 4231, cases 1, 2 and 6)",
    arguments: [
      (
        String(repeating: "0b", count: 20), "Hi There",
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
      ),
      (
        "4a656665", "what do ya want for nothing?",
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
      ),
      (
        String(repeating: "aa", count: 131), "Test Using Larger Than Block-Size Key - Hash Key First",
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
      ),
    ])
  func hmac(key: String, message: String, code: String) throws {
    let key = try bytes(key)
    #expect(Hex.encode(HMACSHA256.authenticate(Array(message.utf8), key: key)) == code)
    #expect(HMACSHA256.isValid(try bytes(code), for: Array(message.utf8), key: SecretBytes(key)))
    #expect(!HMACSHA256.isValid(Array(try bytes(code).dropLast()), for: Array(message.utf8), key: SecretBytes(key)))
  }

  @Test("HMAC with an empty key and message")
  func emptyHMAC() {
    #expect(
      Hex.encode(HMACSHA256.authenticate([], key: [UInt8]()))
        == "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad")
  }

  @Test(
    "AES-256-GCM (the GCM specification, cases 13, 14 and 16)",
    arguments: [
      (
        String(repeating: "00", count: 32), String(repeating: "00", count: 12), "", "",
        "530f8afbc74536b9a963b4f1c4cb738b"
      ),
      (
        String(repeating: "00", count: 32), String(repeating: "00", count: 12), "", String(repeating: "00", count: 16),
        "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"
      ),
      (
        "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
        "feedfacedeadbeeffeedfacedeadbeefabaddad2",
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657"
          + "ba637b39",
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0a"
          + "bcc9f66276fc6ece0f4e1768cddf8853bb2d551b"
      ),
    ])
  func gcm(key: String, nonce: String, data: String, plaintext: String, ciphertext: String) throws {
    let key = SecretBytes(try bytes(key))
    let data = try bytes(data)
    let plaintext = SecretBytes(try bytes(plaintext))
    let sealed = try AESGCM.seal(plaintext, key: key, nonce: try bytes(nonce), authenticating: data)
    #expect(Hex.encode(sealed.ciphertext) == ciphertext)
    #expect(try AESGCM.open(sealed, key: key, authenticating: data) == plaintext)
  }

  @Test("A sealed message opens only whole, with its key and its data")
  func gcmRefuses() throws {
    let key = SecretBytes(randomCount: 32)
    let sealed = try AESGCM.seal(SecretBytes("token"), key: key, authenticating: [1, 2])
    #expect(try AESGCM.open(sealed, key: key, authenticating: [1, 2]).revealedText == "token")
    #expect(throws: TLSError.self) { try AESGCM.open(sealed, key: key, authenticating: [1]) }
    #expect(throws: TLSError.self) {
      try AESGCM.open(sealed, key: SecretBytes(randomCount: 32), authenticating: [1, 2])
    }
    for index in sealed.ciphertext.indices {
      var changed = sealed
      changed.ciphertext[index] ^= 0x40
      #expect(throws: TLSError.self) { try AESGCM.open(changed, key: key, authenticating: [1, 2]) }
    }
    #expect(AESGCM.Sealed(combined: sealed.combined) == sealed)
    #expect(AESGCM.Sealed(combined: [UInt8](repeating: 0, count: 27)) == nil)
    #expect(throws: TLSError.self) { try AESGCM.seal(SecretBytes("x"), key: SecretBytes(randomCount: 16)) }
  }

  @Test("RS256 (RFC 7515, A.2)")
  func rs256() throws {
    let n =
      "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZ"
      + "S-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2"
      + "R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcD"
      + "TW9gb54h4FRWyuXpoQ"
    let signature =
      "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CU"
      + "Ar7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_d"
      + "O--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0ig"
      + "cN_IoypGlUPQGe77Rw"
    let message =
      "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0"
      + "cnVlfQ"
    let modulus = try #require(Base64.decode(n, .urlSafe))
    let key = try PublicKey(rsaModulus: modulus, exponent: [1, 0, 1])
    let bytes = try #require(Base64.decode(signature, .urlSafe))
    #expect(key.verifyRS256(bytes, of: Array(message.utf8)))
    #expect(!key.verifyRS256(bytes, of: Array((message + "A").utf8)))
    #expect(!key.verifyRS256(Array(bytes.dropLast()), of: Array(message.utf8)))
    #expect(key.rsaComponents?.modulus == modulus)
    #expect(key.rsaComponents?.exponent == [1, 0, 1])
  }

  @Test("A signature is checked by the key's own public half and by no other")
  func sign() throws {
    let key = try PrivateKey.generateRSA()
    let message = Array("hello".utf8)
    let signature = try key.signRS256(message)
    let published = try #require(try key.publicKey.rsaComponents)
    #expect(
      try PublicKey(rsaModulus: published.modulus, exponent: published.exponent).verifyRS256(signature, of: message))
    #expect(try !PrivateKey.generateRSA().publicKey.verifyRS256(signature, of: message))
    #expect(try !PrivateKey.generateEC().publicKey.verifyRS256(signature, of: message))
    #expect(try PrivateKey(pem: key.pem().revealed).signRS256(message) == signature)
    #expect(throws: TLSError.self) { try PrivateKey.generateEC().signRS256(message) }
  }

  @Test("Public keys of a wrong size or form are refused")
  func badKeys() {
    let short = [UInt8](repeating: 0xFF, count: 128)
    let even = [UInt8](repeating: 0xFE, count: 256)
    let huge = [UInt8](repeating: 0xFF, count: 1025)
    for modulus in [[], short, even, huge] {
      #expect(throws: TLSError.self) { try PublicKey(rsaModulus: modulus, exponent: [1, 0, 1]) }
    }
    let good = [UInt8](repeating: 0xFF, count: 256)
    for exponent in [[], [1], [2], [UInt8](repeating: 0xFF, count: 9)] {
      #expect(throws: TLSError.self) { try PublicKey(rsaModulus: good, exponent: exponent) }
    }
  }

  @Test("Secrets do not print")
  func redaction() {
    let secret = SecretBytes("hunter2")
    #expect("\(secret) \(String(reflecting: secret))" == "<redacted> <redacted>")
    var dumped = ""
    dump(secret, to: &dumped)
    #expect(!dumped.contains("hunter2"))
    #expect(secret == SecretBytes("hunter2"))
    #expect(secret != SecretBytes("hunter3"))
    #expect(SecureRandom.bytes(32) != SecureRandom.bytes(32))
  }
}
