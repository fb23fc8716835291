#pragma once
// OpenSSL offers much of its face as macros and typed stacks, which Swift cannot import.
// What TLSSession needs of them is spelt out here as plain functions.
#include <stdlib.h>
#include <string.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

// ---- Macros as functions -------------------------------------------------------------------

static inline long emcp_ssl_ctx_set_min_version(SSL_CTX *ctx, int version) {
  return SSL_CTX_set_min_proto_version(ctx, version);
}
static inline long emcp_ssl_ctx_set_max_version(SSL_CTX *ctx, int version) {
  return SSL_CTX_set_max_proto_version(ctx, version);
}
/// Writes may be partial and repeated from another address, idle sessions hold no record buffers, there is no
/// compression (CRIME), no renegotiation, no session store of our own, and the server's cipher order counts.
static inline void emcp_ssl_ctx_harden(SSL_CTX *ctx) {
  SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                            SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY);
  SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
}
/// Takes over the caller's reference when it returns 1.
static inline long emcp_ssl_ctx_add0_chain_cert(SSL_CTX *ctx, X509 *cert) {
  return SSL_CTX_add0_chain_cert(ctx, cert);
}
static inline long emcp_ssl_set_server_name(SSL *ssl, const char *name) {
  return SSL_set_tlsext_host_name(ssl, name);
}
static inline int emcp_is_pem_end(unsigned long code) {
  return ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
}
static inline int emcp_ssl_error_reason(unsigned long code) { return ERR_GET_REASON(code); }
static inline const EVP_MD *emcp_sha256(void) { return EVP_sha256(); }
static inline long emcp_mem_contents(BIO *bio, char **out) { return BIO_get_mem_data(bio, out); }
static inline EVP_PKEY *emcp_rsa_generate(unsigned int bits) { return EVP_RSA_gen(bits); }
static inline EVP_PKEY *emcp_ec_generate(const char *curve) { return EVP_EC_gen(curve); }

// ---- Refusing passphrases --------------------------------------------------------------------

/// Without it OpenSSL would ask on the terminal for the passphrase of an encrypted key.
static inline int emcp_no_passphrase(char *buf, int size, int rwflag, void *u) {
  (void)buf, (void)size, (void)rwflag, (void)u;
  return -1;
}
static inline EVP_PKEY *emcp_read_private_key(BIO *bio) {
  return PEM_read_bio_PrivateKey(bio, NULL, emcp_no_passphrase, NULL);
}
static inline X509 *emcp_read_certificate(BIO *bio) {
  return PEM_read_bio_X509(bio, NULL, emcp_no_passphrase, NULL);
}

// ---- The BIO between the engine and OpenSSL ----------------------------------------------------

/// `in` borrows the caller's ciphertext for one call, so incoming bytes are copied once (into OpenSSL's
/// record buffer) and not twice as with memory BIOs. `out` is owned and grows up to `out_limit`.
typedef struct {
  const unsigned char *in;
  size_t in_len;
  unsigned char *out;
  size_t out_start, out_end, out_cap, out_limit;
  int overflowed;
} emcp_bio_state;

static inline int emcp_bio_read(BIO *bio, char *buf, int len) {
  emcp_bio_state *s = (emcp_bio_state *)BIO_get_data(bio);
  BIO_clear_retry_flags(bio);
  if (len <= 0) return 0;
  if (s->in_len == 0) {
    BIO_set_retry_read(bio);
    return -1;
  }
  size_t n = s->in_len < (size_t)len ? s->in_len : (size_t)len;
  memcpy(buf, s->in, n);
  s->in += n;
  s->in_len -= n;
  return (int)n;
}

static inline int emcp_bio_write(BIO *bio, const char *buf, int len) {
  emcp_bio_state *s = (emcp_bio_state *)BIO_get_data(bio);
  BIO_clear_retry_flags(bio);
  if (len <= 0) return 0;
  size_t used = s->out_end - s->out_start, n = (size_t)len;
  if (used + n > s->out_limit) {
    s->overflowed = 1;
    return -1;
  }
  if (s->out_end + n > s->out_cap) {
    if (s->out_start > 0) {
      memmove(s->out, s->out + s->out_start, used);
      s->out_start = 0;
      s->out_end = used;
    }
    if (used + n > s->out_cap) {
      // More than small answers: all at once, as growing step by step copies as much as it holds.
      size_t cap = used + n <= 4096 ? 4096 : s->out_limit;
      unsigned char *grown = (unsigned char *)realloc(s->out, cap);
      if (!grown) return -1;
      s->out = grown;
      s->out_cap = cap;
    }
  }
  memcpy(s->out + s->out_end, buf, n);
  s->out_end += n;
  return len;
}

static inline long emcp_bio_ctrl(BIO *bio, int command, long num, void *ptr) {
  (void)bio, (void)num, (void)ptr;
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static inline BIO_METHOD *emcp_bio_method(void) {
  BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "EmailMCP engine");
  if (!m) return NULL;
  BIO_meth_set_read(m, emcp_bio_read);
  BIO_meth_set_write(m, emcp_bio_write);
  BIO_meth_set_ctrl(m, emcp_bio_ctrl);
  return m;
}

/// Gives the SSL a BIO over `state`, which must outlive the SSL.
static inline int emcp_ssl_attach(SSL *ssl, BIO_METHOD *method, emcp_bio_state *state) {
  BIO *bio = BIO_new(method);
  if (!bio) return 0;
  BIO_set_data(bio, state);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl, bio, bio);
  return 1;
}

// ---- Subject alternative names -------------------------------------------------------------------

static inline GENERAL_NAMES *emcp_san_open(const X509 *cert) {
  return (GENERAL_NAMES *)X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
}
static inline void emcp_san_close(GENERAL_NAMES *names) { GENERAL_NAMES_free(names); }
static inline int emcp_san_count(const GENERAL_NAMES *names) { return sk_GENERAL_NAME_num(names); }
/// The type of a name (GEN_DNS, GEN_URI, GEN_IPADD, others) and its bytes, which live as long as `names`.
static inline int emcp_san_at(const GENERAL_NAMES *names, int index, const unsigned char **data, size_t *len) {
  const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, index);
  *data = NULL;
  *len = 0;
  if (name->type == GEN_DNS || name->type == GEN_URI) {
    *data = ASN1_STRING_get0_data(name->d.ia5);
    *len = (size_t)ASN1_STRING_length(name->d.ia5);
  } else if (name->type == GEN_IPADD) {
    *data = ASN1_STRING_get0_data(name->d.iPAddress);
    *len = (size_t)ASN1_STRING_length(name->d.iPAddress);
  }
  return name->type;
}

/// 1 if the certificate has exactly one URI name (as SPIFFE's X509-SVID demands) and it equals `uri`.
static inline int emcp_has_only_uri(const X509 *cert, const char *uri) {
  GENERAL_NAMES *names = emcp_san_open(cert);
  int seen = 0, equal = 0;
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
    const unsigned char *data;
    size_t len;
    if (emcp_san_at(names, i, &data, &len) != GEN_URI) continue;
    seen++;
    equal = len == strlen(uri) && memcmp(data, uri, len) == 0;
  }
  emcp_san_close(names);
  return seen == 1 && equal;
}

// ---- Verification by URI name, inside the handshake so that the peer gets an alert -----------------

static inline int emcp_verify(X509_STORE_CTX *store, void *arg) {
  (void)arg;
  if (X509_verify_cert(store) != 1) return 0;
  SSL *ssl = (SSL *)X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
  const char *uri = ssl ? (const char *)SSL_get_app_data(ssl) : NULL;
  if (uri && !emcp_has_only_uri(X509_STORE_CTX_get0_cert(store), uri)) {
    X509_STORE_CTX_set_error(store, X509_V_ERR_HOSTNAME_MISMATCH);
    return 0;
  }
  return 1;
}
static inline void emcp_ssl_ctx_use_verifier(SSL_CTX *ctx) {
  SSL_CTX_set_cert_verify_callback(ctx, emcp_verify, NULL);
}
/// `uri` must outlive the SSL.
static inline void emcp_ssl_expect_uri(SSL *ssl, const char *uri) { SSL_set_app_data(ssl, (char *)uri); }

// ---- ALPN: the server's preference decides, no overlap is fatal (RFC 7301, 3.2) ---------------------

typedef struct {
  const unsigned char *list;
  unsigned int len;
} emcp_alpn;

static inline int emcp_alpn_select(
    SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in, unsigned int in_len,
    void *arg) {
  (void)ssl;
  const emcp_alpn *mine = (const emcp_alpn *)arg;
  unsigned char *chosen = NULL;
  if (SSL_select_next_proto(&chosen, out_len, mine->list, mine->len, in, in_len) != OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}
/// `mine` must outlive the SSL_CTX.
static inline void emcp_ssl_ctx_select_alpn(SSL_CTX *ctx, emcp_alpn *mine) {
  SSL_CTX_set_alpn_select_cb(ctx, emcp_alpn_select, mine);
}

// ---- Errors ---------------------------------------------------------------------------------------------

static inline int emcp_is_verify_failure(unsigned long code) {
  return ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED;
}
/// Reasons above 1000 stand for an alert that the peer sent: 1000 + its number.
static inline int emcp_is_alert(unsigned long code) {
  return ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) >= SSL_AD_REASON_OFFSET &&
         ERR_GET_REASON(code) < SSL_AD_REASON_OFFSET + 256;
}

// ---- HMAC ---------------------------------------------------------------------------------------------

static inline int emcp_hmac_init(EVP_MAC_CTX *ctx, const unsigned char *key, size_t len) {
  char digest[] = "SHA256";
  OSSL_PARAM params[2] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                          OSSL_PARAM_construct_end()};
  return EVP_MAC_init(ctx, key, len, params);
}

// ---- Certificates and keys ------------------------------------------------------------------------------

/// In C because the builder keeps pointers to the names: they must be literals.
static inline EVP_PKEY *emcp_rsa_public_key(const BIGNUM *n, const BIGNUM *e) {
  OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
  EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
  OSSL_PARAM *params = NULL;
  EVP_PKEY *key = NULL;
  if (builder && ctx && OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) &&
      OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e) && (params = OSSL_PARAM_BLD_to_param(builder)) &&
      EVP_PKEY_fromdata_init(ctx) == 1)
    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params);
  OSSL_PARAM_free(params);
  EVP_PKEY_CTX_free(ctx);
  OSSL_PARAM_BLD_free(builder);
  return key;
}
static inline unsigned long emcp_rfc2253(void) { return XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB; }
static inline int emcp_utf8_type(void) { return MBSTRING_UTF8; }

/// Seconds since 1970; 0 for what is no time.
static inline long long emcp_asn1_time(const ASN1_TIME *when) {
  ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
  int days = 0, seconds = 0;
  int ok = epoch && ASN1_TIME_diff(&days, &seconds, epoch, when);
  ASN1_TIME_free(epoch);
  return ok ? (long long)days * 86400 + seconds : 0;
}

static inline int emcp_add_extension(X509 *cert, X509 *issuer, int nid, const char *value) {
  X509V3_CTX ctx;
  X509V3_set_ctx_nodb(&ctx);
  X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
  X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
  if (!extension) return 0;
  int ok = X509_add_ext(cert, extension, -1);
  X509_EXTENSION_free(extension);
  return ok;
}
