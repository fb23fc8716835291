#pragma once
#include <zlib.h>

/// The largest window with gzip's header and trailer around the data (RFC 1952), not zlib's own.
#define EMCP_GZIP_WINDOW (15 + 16)

// In C because zlib's own are macros.
static inline int emcp_gzip_writer(z_stream *stream) {
  return deflateInit2(stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, EMCP_GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY);
}
static inline int emcp_gzip_reader(z_stream *stream) { return inflateInit2(stream, EMCP_GZIP_WINDOW); }
