import CLinux
import EventLoop
import Glibc
import TLSSession

/// The folder that `emailmcp dev` keeps everything in, held by one process at a time.
struct DevFolder {
  /// Absolute.
  let path: String
  private let lock: Int32

  var identities: Identities { Identities(folder: "\(path)/identities") }
  var sandbox: String { "\(path)/sandbox" }
  var apiKey: String { "\(path)/api-key" }

  /// - Throws: `DevError` when another `emailmcp dev` runs on the folder.
  init(_ path: String) throws {
    try PrivateFile.makeFolder(path)
    guard let absolute = realpath(path, nil) else { throw SystemError("realpath \(path)") }
    defer { free(absolute) }
    self.path = String(cString: absolute)
    let lockPath = "\(self.path)/lock"
    lock = try systemCall("open \(lockPath)") { open(lockPath, O_RDWR | O_CREAT | O_CLOEXEC, 0o600) }
    guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
      throw DevError("another `emailmcp dev` uses \(self.path); stop it first, or give this one a --data folder")
    }
    try PrivateFile.makeFolder(sandbox)
  }

  /// A secret that is made once and stays, for example a password.
  func secret(_ name: String, bytes: Int = 24) throws -> String {
    let file = "\(path)/\(name)"
    if PrivateFile.exists(file) { return try PrivateFile.readText(file) }
    let secret = Base64.encode(SecureRandom.bytes(bytes), .urlSafe)
    try PrivateFile.write(Array(secret.utf8), to: file)
    return secret
  }

  /// Where the database lives: in this folder, or, when its user may not enter here (root's home), where it may.
  func databaseFolder(for user: SystemUser?) throws -> String {
    var folder = "\(path)/postgres"
    if let user, !isReachable(by: user) {
      let parent = "/var/lib/emailmcp-dev"
      for made in [parent, "\(parent)/\(Hex.encode(SHA256.hash(path.utf8).prefix(6)))"] {
        if mkdir(made, 0o755) != 0, errno != EEXIST { throw SystemError("mkdir \(made)") }
        folder = made
      }
    }
    if mkdir(folder, 0o700) != 0, errno != EEXIST { throw SystemError("mkdir \(folder)") }
    if let user {
      try systemCall("chown \(folder)") { chown(folder, user.uid, user.gid) }
      try systemCall("chmod \(folder)") { chmod(folder, 0o700) }
    }
    return folder
  }

  /// Whether every folder on the way lets the user through.
  private func isReachable(by user: SystemUser) -> Bool {
    var prefix = ""
    for part in path.split(separator: "/").dropLast() {
      prefix += "/\(part)"
      var information = stat()
      guard stat(prefix, &information) == 0 else { return false }
      let mode = information.st_mode
      let mayEnter =
        information.st_uid == user.uid
        ? mode & S_IXUSR != 0 : information.st_gid == user.gid ? mode & S_IXGRP != 0 : mode & S_IXOTH != 0
      guard mayEnter else { return false }
    }
    // Our own folder is 0700: let the user pass through, not read.
    return chmod(path, 0o711) == 0
  }
}
