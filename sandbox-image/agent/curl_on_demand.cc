// The functions of libcurl that http_client.cc uses, each passed on to the library, which is loaded
// when the first of them is called. libcurl and the forty libraries behind it cost a program more
// to start than all else together, and a run from the cache makes no transfer.

#include "sandbox-image/agent/curl_on_demand.h"

#include <curl/curl.h>

#include <cstdarg>

#include "operator/base/late_library.h"

namespace {

void* library() {
  static void* const loaded = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
  return loaded;
}

template <typename Function>
Function* find(const char* name) {
  return sandboxrun::late_function<Function>(library(), name);
}

}  // namespace

bool sandboxrun::agent::transfer_library_is_there() {
  return library() != nullptr;
}

// Macros of the same names in curl.h check the number of arguments.
#undef curl_easy_setopt
#undef curl_easy_getinfo

// An enum before the "..." is what libcurl declares. clang warns that it is promoted there, which
// with gcc and clang gives a number of the same size.
#pragma GCC diagnostic ignored "-Wvarargs"

#define SANDBOXRUN_FIND(name) static auto* const call = find<decltype(name)>(#name)

extern "C" {

CURL* curl_easy_init() {
  SANDBOXRUN_FIND(curl_easy_init);
  return call();
}

void curl_easy_cleanup(CURL* easy) {
  SANDBOXRUN_FIND(curl_easy_cleanup);
  call(easy);
}

CURLcode curl_easy_setopt(CURL* easy, CURLoption option, ...) {
  SANDBOXRUN_FIND(curl_easy_setopt);
  va_list arguments;
  va_start(arguments, option);
  CURLcode code = CURLE_UNKNOWN_OPTION;
  // The range that an option's number is in tells the type of its value (curl.h, CURLOPTTYPE_*).
  // NOLINTNEXTLINE(bugprone-branch-clone): long and curl_off_t are one type here, not everywhere
  if (option < CURLOPTTYPE_OBJECTPOINT) {
    code = call(easy, option, va_arg(arguments, long));
  } else if (option >= CURLOPTTYPE_OFF_T && option < CURLOPTTYPE_BLOB) {
    code = call(easy, option, va_arg(arguments, curl_off_t));
  } else {
    code = call(easy, option, va_arg(arguments, void*));
  }
  va_end(arguments);
  return code;
}

CURLcode curl_easy_getinfo(CURL* easy, CURLINFO info, ...) {
  SANDBOXRUN_FIND(curl_easy_getinfo);
  va_list arguments;
  va_start(arguments, info);
  const CURLcode code = call(easy, info, va_arg(arguments, void*));
  va_end(arguments);
  return code;
}

const char* curl_easy_strerror(CURLcode code) {
  SANDBOXRUN_FIND(curl_easy_strerror);
  return call(code);
}

curl_slist* curl_slist_append(curl_slist* list, const char* text) {
  SANDBOXRUN_FIND(curl_slist_append);
  return call(list, text);
}

void curl_slist_free_all(curl_slist* list) {
  SANDBOXRUN_FIND(curl_slist_free_all);
  call(list);
}

CURLM* curl_multi_init() {
  SANDBOXRUN_FIND(curl_multi_init);
  return call();
}

CURLMcode curl_multi_cleanup(CURLM* multi) {
  SANDBOXRUN_FIND(curl_multi_cleanup);
  return call(multi);
}

CURLMcode curl_multi_add_handle(CURLM* multi, CURL* easy) {
  SANDBOXRUN_FIND(curl_multi_add_handle);
  return call(multi, easy);
}

CURLMcode curl_multi_remove_handle(CURLM* multi, CURL* easy) {
  SANDBOXRUN_FIND(curl_multi_remove_handle);
  return call(multi, easy);
}

CURLMcode curl_multi_perform(CURLM* multi, int* running) {
  SANDBOXRUN_FIND(curl_multi_perform);
  return call(multi, running);
}

CURLMcode curl_multi_poll(CURLM* multi, curl_waitfd* extra, unsigned int count, int timeout,
                          int* ready) {
  SANDBOXRUN_FIND(curl_multi_poll);
  return call(multi, extra, count, timeout, ready);
}

CURLMcode curl_multi_wakeup(CURLM* multi) {
  SANDBOXRUN_FIND(curl_multi_wakeup);
  return call(multi);
}

CURLMsg* curl_multi_info_read(CURLM* multi, int* left) {
  SANDBOXRUN_FIND(curl_multi_info_read);
  return call(multi, left);
}

const char* curl_multi_strerror(CURLMcode code) {
  SANDBOXRUN_FIND(curl_multi_strerror);
  return call(code);
}

}  // extern "C"
