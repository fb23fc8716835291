/// The five bytes in front of each gRPC message: a flag (0 plain, 1 compressed) and the length, big-endian.
public enum WireFrame {
  /// Bytes of the prefix.
  public static let prefixLength = 5
}
