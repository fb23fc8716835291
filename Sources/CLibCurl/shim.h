#pragma once
// libcurl's setters and getters are variadic C functions, which Swift cannot call: one typed wrapper a value's type.
#include <curl/curl.h>

typedef size_t (*emcurl_transfer_fn)(char *bytes, size_t size, size_t count, void *context);
typedef int (*emcurl_prereq_fn)(void *context, char *peer, char *local, int peer_port, int local_port);
typedef int (*emcurl_debug_fn)(CURL *handle, curl_infotype type, char *data, size_t size, void *context);
typedef int (*emcurl_socket_fn)(CURL *handle, curl_socket_t fd, int what, void *context, void *socket_context);
typedef int (*emcurl_timer_fn)(CURLM *multi, long timeout_ms, void *context);

static inline CURLcode emcurl_set_long(CURL *h, CURLoption o, long v) { return curl_easy_setopt(h, o, v); }
static inline CURLcode emcurl_set_off(CURL *h, CURLoption o, curl_off_t v) { return curl_easy_setopt(h, o, v); }
static inline CURLcode emcurl_set_string(CURL *h, CURLoption o, const char *v) { return curl_easy_setopt(h, o, v); }
static inline CURLcode emcurl_set_pointer(CURL *h, CURLoption o, void *v) { return curl_easy_setopt(h, o, v); }
static inline CURLcode emcurl_set_list(CURL *h, CURLoption o, struct curl_slist *v) { return curl_easy_setopt(h, o, v); }
static inline CURLcode emcurl_set_transfer(CURL *h, CURLoption o, emcurl_transfer_fn f) { return curl_easy_setopt(h, o, f); }
static inline CURLcode emcurl_set_prereq(CURL *h, emcurl_prereq_fn f) { return curl_easy_setopt(h, CURLOPT_PREREQFUNCTION, f); }
static inline CURLcode emcurl_set_debug(CURL *h, emcurl_debug_fn f) { return curl_easy_setopt(h, CURLOPT_DEBUGFUNCTION, f); }

// Copies the bytes into the handle.
static inline CURLcode emcurl_set_blob(CURL *h, CURLoption o, const void *bytes, size_t count) {
  struct curl_blob blob = {.data = (void *)bytes, .len = count, .flags = CURL_BLOB_COPY};
  return curl_easy_setopt(h, o, &blob);
}

static inline CURLcode emcurl_get_long(CURL *h, CURLINFO i, long *v) { return curl_easy_getinfo(h, i, v); }
static inline CURLcode emcurl_get_pointer(CURL *h, CURLINFO i, void **v) { return curl_easy_getinfo(h, i, (char **)v); }

static inline CURLMcode emcurl_multi_set_long(CURLM *m, CURLMoption o, long v) { return curl_multi_setopt(m, o, v); }
static inline CURLMcode emcurl_multi_set_pointer(CURLM *m, CURLMoption o, void *v) { return curl_multi_setopt(m, o, v); }
static inline CURLMcode emcurl_multi_set_socket(CURLM *m, emcurl_socket_fn f) {
  return curl_multi_setopt(m, CURLMOPT_SOCKETFUNCTION, f);
}
static inline CURLMcode emcurl_multi_set_timer(CURLM *m, emcurl_timer_fn f) {
  return curl_multi_setopt(m, CURLMOPT_TIMERFUNCTION, f);
}

// A finished transfer, or NULL when none is left.
static inline CURL *emcurl_next_done(CURLM *m, CURLcode *result) {
  int left;
  CURLMsg *message;
  while ((message = curl_multi_info_read(m, &left))) {
    if (message->msg == CURLMSG_DONE) {
      *result = message->data.result;
      return message->easy_handle;
    }
  }
  return NULL;
}

// The length of CURLOPT_ERRORBUFFER.
static inline size_t emcurl_error_size(void) { return CURL_ERROR_SIZE; }
