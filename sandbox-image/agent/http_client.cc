#include "sandbox-image/agent/http_client.h"

#include <curl/curl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "operator/base/curl_handles.h"
#include "sandbox-image/agent/curl_on_demand.h"
#include "sandbox-image/agent/http_answer.h"

namespace sandboxrun::agent {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// A peer that hangs up must not end the process: OpenSSL may write without MSG_NOSIGNAL.
class BlockSigpipe {
 public:
  BlockSigpipe() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  BlockSigpipe(const BlockSigpipe&) = delete;
  BlockSigpipe& operator=(const BlockSigpipe&) = delete;
  ~BlockSigpipe() {
    const timespec now{};
    if (!was_pending_) {
      while (sigtimedwait(&pipe_, nullptr, &now) < 0 && errno == EINTR) {
      }
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  sigset_t pipe_{};
  sigset_t before_{};
  bool was_pending_ = false;
};

/// What the callbacks of one transfer share.
struct Exchange {
  const HttpRequest& request;
  const HttpConditions& conditions;
  HttpAnswer answer;
  std::optional<Error> refused;  ///< the last address that the policy refused
  bool opened = false;           ///< some address was allowed
  bool truncated = false;        ///< the file to send is shorter than it was said to be
  std::int64_t sent = 0;
};

std::size_t on_header(char* data, std::size_t size, std::size_t count, void* context) {
  auto& exchange = *static_cast<Exchange*>(context);
  return exchange.answer.header_line({data, size * count}) ? size * count : 0;
}

std::size_t on_body(char* data, std::size_t size, std::size_t count, void* context) {
  auto& exchange = *static_cast<Exchange*>(context);
  const auto bytes = std::as_bytes(std::span(data, size * count));
  return exchange.answer.body(bytes) ? bytes.size() : 0;
}

std::size_t on_read(char* data, std::size_t size, std::size_t count, void* context) {
  auto& exchange = *static_cast<Exchange*>(context);
  const HttpRequest::Upload& upload = *exchange.request.upload;
  const auto want = static_cast<std::size_t>(
      std::min(static_cast<std::int64_t>(size * count), upload.bytes - exchange.sent));
  if (want == 0) return 0;
  ssize_t got = -1;
  do {
    got = ::pread(upload.file, data, want, exchange.sent);
  } while (got < 0 && errno == EINTR);
  if (got <= 0) {
    exchange.truncated = true;
    return CURL_READFUNC_ABORT;
  }
  exchange.sent += got;
  if (upload.progress) upload.progress(exchange.sent);
  return static_cast<std::size_t>(got);
}

int on_seek(void* context, curl_off_t offset, int origin) {
  if (origin != SEEK_SET) return CURL_SEEKFUNC_FAIL;
  static_cast<Exchange*>(context)->sent = offset;
  return CURL_SEEKFUNC_OK;
}

/// Asked for each address that is tried: what a name resolves to now is what is checked.
curl_socket_t on_open_socket(void* context, curlsocktype, curl_sockaddr* address) {
  auto& exchange = *static_cast<Exchange*>(context);
  auto allowed = exchange.conditions.addresses.check(&address->addr, address->addrlen);
  if (!allowed) {
    exchange.refused = allowed.error();
    return CURL_SOCKET_BAD;
  }
  exchange.opened = true;
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

template <typename T>
bool set(CURL* easy, CURLoption option, T value) {
  return curl_easy_setopt(easy, option, value) == CURLE_OK;
}

bool set_limits(CURL* easy, const HttpConditions& conditions) {
  // Rounded up: when libcurl's clock says that time is up, ours says so too.
  const auto left =
      std::chrono::ceil<milliseconds>(conditions.deadline - steady_clock::now()) + milliseconds(1);
  return set(easy, CURLOPT_TIMEOUT_MS, std::max<long>(left.count(), 1)) &&
         set(easy, CURLOPT_CONNECTTIMEOUT_MS,
             static_cast<long>(conditions.connect_timeout.count())) &&
         set(easy, CURLOPT_LOW_SPEED_LIMIT, static_cast<long>(conditions.low_speed_bytes)) &&
         set(easy, CURLOPT_LOW_SPEED_TIME, static_cast<long>(conditions.low_speed_time.count()));
}

/// Nothing from the environment, nothing on its own initiative.
bool set_manners(CURL* easy) {
  return set(easy, CURLOPT_NOSIGNAL, 1L) && set(easy, CURLOPT_PROTOCOLS_STR, "http,https") &&
         set(easy, CURLOPT_REDIR_PROTOCOLS_STR, "https") && set(easy, CURLOPT_FOLLOWLOCATION, 0L) &&
         set(easy, CURLOPT_PROXY, "") && set(easy, CURLOPT_NOPROXY, "*") &&
         set(easy, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED)) &&
         set(easy, CURLOPT_PATH_AS_IS, 1L) && set(easy, CURLOPT_HTTP09_ALLOWED, 0L) &&
         set(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1)) &&
         set(easy, CURLOPT_FRESH_CONNECT, 1L) && set(easy, CURLOPT_FORBID_REUSE, 1L) &&
         set(easy, CURLOPT_USERAGENT, "sandboxrun") && set(easy, CURLOPT_BUFFERSIZE, 512L * 1024L);
}

bool set_tls(CURL* easy, const std::string& ca_file) {
  if (!set(easy, CURLOPT_SSL_VERIFYPEER, 1L) || !set(easy, CURLOPT_SSL_VERIFYHOST, 2L) ||
      !set(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2))) {
    return false;
  }
  if (ca_file.empty()) return true;
  // Both: the system's own folder of certificates would otherwise be trusted besides the file.
  return set(easy, CURLOPT_CAINFO, ca_file.c_str()) &&
         set(easy, CURLOPT_CAPATH, static_cast<char*>(nullptr));
}

bool set_request(CURL* easy, Exchange& exchange, const CurlList& headers) {
  const HttpRequest& request = exchange.request;
  void* context = &exchange;
  bool ok = set(easy, CURLOPT_URL, request.url.text().c_str()) &&
            set(easy, CURLOPT_HTTPHEADER, headers.get()) &&
            set(easy, CURLOPT_HEADERFUNCTION, &on_header) &&
            set(easy, CURLOPT_HEADERDATA, context) && set(easy, CURLOPT_WRITEFUNCTION, &on_body) &&
            set(easy, CURLOPT_WRITEDATA, context) &&
            set(easy, CURLOPT_OPENSOCKETFUNCTION, &on_open_socket) &&
            set(easy, CURLOPT_OPENSOCKETDATA, context);
  if (!request.upload) return ok && set(easy, CURLOPT_HTTPGET, 1L);
  return ok && set(easy, CURLOPT_UPLOAD, 1L) &&
         set(easy, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request.upload->bytes)) &&
         set(easy, CURLOPT_READFUNCTION, &on_read) && set(easy, CURLOPT_READDATA, context) &&
         set(easy, CURLOPT_SEEKFUNCTION, &on_seek) && set(easy, CURLOPT_SEEKDATA, context) &&
         set(easy, CURLOPT_UPLOAD_BUFFERSIZE, 512L * 1024L);
}

/// Nothing when memory ran out.
CurlList header_list(const HttpRequest& request) {
  CurlList list;
  // No "Expect: 100-continue": servers that don't know it would cost a second each.
  bool good = append_line(list, "Expect:");
  for (const HttpHeader& header : request.headers) {
    const Secret line(header.name + ": " + std::string(header.value.reveal()));
    good = good && append_line(list, std::string(line.reveal()));
  }
  return good ? std::move(list) : nullptr;
}

/// Runs the transfer to its end. Errors: Cancelled, Internal.
Result<CURLcode> run(CURLM* multi, const std::stop_token& stop) {
  const std::stop_callback wake(stop, [multi] { curl_multi_wakeup(multi); });
  int running = 1;
  while (running > 0) {
    if (stop.stop_requested()) return failure(ErrorKind::Cancelled, "cancelled");
    CURLMcode code = curl_multi_perform(multi, &running);
    if (code == CURLM_OK && running > 0) {
      code = curl_multi_poll(multi, nullptr, 0, 1000, nullptr);
    }
    if (code != CURLM_OK) {
      return failure(ErrorKind::Internal,
                     std::string("transfer library: ") + curl_multi_strerror(code));
    }
  }
  int left = 0;
  const CURLMsg* message = curl_multi_info_read(multi, &left);
  if (message == nullptr) return failure(ErrorKind::Internal, "transfer library: no result");
  return message->data.result;
}

std::unexpected<Error> timed_out(CURL* easy, const HttpConditions& conditions) {
  if (steady_clock::now() >= conditions.deadline) {
    return failure(ErrorKind::Timeout, "not done in time");
  }
  curl_off_t connected = 0;
  curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &connected);
  if (connected == 0) return failure(ErrorKind::Transport, "no connection in time");
  return failure(ErrorKind::Transport, "slower than " + std::to_string(conditions.low_speed_bytes) +
                                           " bytes a second for " +
                                           std::to_string(conditions.low_speed_time.count()) +
                                           " s");
}

std::unexpected<Error> certificate_refused(CURL* easy) {
  long verdict = X509_V_OK;
  curl_easy_getinfo(easy, CURLINFO_SSL_VERIFYRESULT, &verdict);
  // The chain's verdict; unset when the chain was good and only the name was wrong.
  const bool only_name = verdict == X509_V_OK || verdict == X509_V_ERR_UNSPECIFIED;
  const std::string cause =
      only_name ? "it is not for this host" : X509_verify_cert_error_string(verdict);
  return failure(ErrorKind::Denied, "the server's certificate is refused: " + cause);
}

std::unexpected<Error> describe(CURLcode code, CURL* easy, const Exchange& exchange) {
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return timed_out(easy, exchange.conditions);
    case CURLE_PEER_FAILED_VERIFICATION:
      return certificate_refused(easy);
    case CURLE_SSL_CACERT_BADFILE:
      return failure(ErrorKind::InvalidInput, "the file of CA certificates cannot be used");
    case CURLE_COULDNT_RESOLVE_HOST:
      return failure(ErrorKind::Transport, "the host's name does not resolve");
    case CURLE_COULDNT_CONNECT:
      return failure(ErrorKind::Transport, "no connection");
    case CURLE_PARTIAL_FILE:
      return failure(ErrorKind::Transport, "the body ended early");
    case CURLE_UNSUPPORTED_PROTOCOL:
      return failure(ErrorKind::Transport, "the answer is not HTTP/1.1");
    case CURLE_URL_MALFORMAT:
    case CURLE_OUT_OF_MEMORY:
      return failure(ErrorKind::Internal, curl_easy_strerror(code));
    default:
      return failure(ErrorKind::Transport, curl_easy_strerror(code));
  }
}

Result<HttpResponse> conclude(CURLcode code, CURL* easy, Exchange& exchange) {
  HttpAnswer& answer = exchange.answer;
  if (answer.error()) return std::unexpected(*answer.error());
  if (exchange.truncated) {
    return failure(ErrorKind::System, "the file to send is shorter than it was");
  }
  if (exchange.refused && !exchange.opened) return std::unexpected(*exchange.refused);
  // A status settles the matter, also if the rest of its body was not worth waiting for.
  const bool settled = answer.has_head() && !answer.is_wanted();
  if (code != CURLE_OK && !settled) return describe(code, easy, exchange);
  if (!answer.has_head()) return failure(ErrorKind::Transport, "no answer");
  if (auto whole = answer.check_length(); !whole) return std::unexpected(whole.error());
  return answer.take();
}

}  // namespace

Result<HttpResponse> http_exchange(const HttpRequest& request, const HttpConditions& conditions) {
  if (steady_clock::now() >= conditions.deadline) {
    return failure(ErrorKind::Timeout, "not done in time");
  }
  if (!transfer_library_is_there()) {
    return failure(ErrorKind::Unavailable,
                   "libcurl (libcurl.so.4) is not installed; transfers need it");
  }
  const BlockSigpipe quiet;
  Exchange exchange{request, conditions, HttpAnswer(request), std::nullopt};
  const CurlList headers = header_list(request);
  const CurlEasy easy(curl_easy_init());
  const CurlMulti multi(curl_multi_init());
  if (!headers || !easy || !multi || !set_manners(easy.get()) ||
      !set_limits(easy.get(), conditions) || !set_tls(easy.get(), request.ca_file) ||
      !set_request(easy.get(), exchange, headers) ||
      curl_multi_add_handle(multi.get(), easy.get()) != CURLM_OK) {
    return failure(ErrorKind::Internal, "the transfer library lacks a feature or memory");
  }
  auto code = run(multi.get(), conditions.stop);
  // Whoever cancels doesn't wait for a resolver that hangs.
  if (!code) set(easy.get(), CURLOPT_QUICK_EXIT, 1L);
  auto result = code ? conclude(*code, easy.get(), exchange)
                     : Result<HttpResponse>(std::unexpected(code.error()));
  curl_multi_remove_handle(multi.get(), easy.get());
  return result;
}

}  // namespace sandboxrun::agent
