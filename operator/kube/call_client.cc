#include "operator/kube/call_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

#include "operator/base/curl_handles.h"
#include "operator/kube/url.h"

namespace sandboxrun::kube {
namespace {

using End = WireOutcome::End;
using Steady = std::chrono::steady_clock;

/// Below the 90 s after which an API server closes a connection that is not used.
constexpr std::chrono::seconds kLongestIdle(60);
/// The longest piece of a body. A block from which on malloc tidies up at each free is larger.
constexpr long kReadBytes = 32 * 1024;

/// What the callbacks of one exchange share.
struct Exchange {
  CURL* easy;
  const WireRequest& request;
  const BodySink& sink;
  std::optional<WireHead> head;
  bool begun = false;        ///< it was put on the wire, or is about to be
  bool stopped = false;      ///< by the sink
  Steady::time_point heard;  ///< the head, or a piece that the sink is done with

  /// After the head of a stream only silence counts.
  bool is_streaming() const {
    return request.idle_timeout.count() > 0 && head && head->status >= 200 && head->status < 300;
  }
  Steady::time_point due() const {
    return is_streaming() ? heard + request.idle_timeout : request.deadline;
  }
};

WireHead head_of(CURL* easy) {
  WireHead head;
  long status = 0;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  head.status = static_cast<int>(status);
  curl_off_t seconds = 0;
  curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &seconds);
  constexpr curl_off_t kLongest = 3600;
  if (seconds > 0) head.retry_after = std::chrono::seconds(std::min(seconds, kLongest));
  return head;
}

/// One line of a head; the empty one ends it, unless it only says that another will follow (1xx).
std::size_t on_header(char* data, std::size_t size, std::size_t count, void* context) {
  auto& exchange = *static_cast<Exchange*>(context);
  const std::string_view line(data, size * count);
  if (line == "\r\n" || line == "\n") {
    const WireHead head = head_of(exchange.easy);
    if (head.status >= 200) exchange.head = head;
    exchange.heard = Steady::now();
  }
  return line.size();
}

std::size_t on_body(char* data, std::size_t size, std::size_t count, void* context) {
  auto& exchange = *static_cast<Exchange*>(context);
  exchange.stopped = !exchange.head || !exchange.sink(*exchange.head, {data, size * count});
  exchange.heard = Steady::now();
  return exchange.stopped ? 0 : size * count;
}

/// Called whenever a connection is there and the request is about to be sent on it: a second time
/// when libcurl found a kept connection dead and took a new one.
int before_request(void* context, char*, char*, int, int) {
  auto& exchange = *static_cast<Exchange*>(context);
  const bool again = std::exchange(exchange.begun, true);
  return again && !exchange.request.may_replay ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

int on_socket(void* context, curl_socket_t socket, curlsocktype) {
  watch_for_dead_peer(socket, static_cast<const WireSettings*>(context)->dead_peer_timeout);
  return CURL_SOCKOPT_OK;
}

CURLcode on_tls(CURL*, void* context, void* settings) {
  const auto& tls = *static_cast<const WireSettings*>(settings)->tls;
  return tls.apply(static_cast<SSL_CTX*>(context)) ? CURLE_OK : CURLE_SSL_CERTPROBLEM;
}

/// Sets options of one handle; remembers whether libcurl took them all.
class Options {
 public:
  explicit Options(CURL* easy) : easy_(easy) {}

  template <typename T>
  Options& set(CURLoption option, T value) {
    good_ = good_ && curl_easy_setopt(easy_, option, value) == CURLE_OK;
    return *this;
  }
  Options& set(CURLoption option, const std::string& text) { return set(option, text.c_str()); }
  bool good() const { return good_; }

 private:
  CURL* easy_;
  bool good_ = true;
};

/// The handshake or the certificate.
bool is_tls_failure(CURLcode code) {
  return code == CURLE_SSL_CONNECT_ERROR || code == CURLE_PEER_FAILED_VERIFICATION ||
         code == CURLE_SSL_CERTPROBLEM || code == CURLE_SSL_ISSUER_ERROR;
}

std::string describe(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
      return "its name does not resolve";
    case CURLE_COULDNT_RESOLVE_PROXY:
      return "the proxy's name does not resolve";
    case CURLE_COULDNT_CONNECT:
      return "nothing accepts the connection";
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_ABORTED_BY_CALLBACK:  // by before_request
      return "the connection broke";
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
      return "the answer is not HTTP/1.1";
    case CURLE_SSL_CONNECT_ERROR:
      return "the TLS handshake failed";
    default:
      return curl_easy_strerror(code);
  }
}

}  // namespace

struct CallClient::Parts {
  /// One connection and what it takes to use it.
  struct Line {
    CurlEasy easy{curl_easy_init()};
    CurlMulti multi{curl_multi_init()};
    Steady::time_point used;

    bool is_there() const { return easy && multi; }
  };

  explicit Parts(const WireSettings& given) : settings(given) {
    const Endpoint& endpoint = settings.endpoint;
    // libcurl takes the name for TLS from the URL; CONNECT_TO leads it to the endpoint.
    const std::string& name =
        settings.tls_server_name.empty() ? endpoint.host : settings.tls_server_name;
    origin = (endpoint.tls ? "https://" : "http://") + authority(name, endpoint.port);
    if (name != endpoint.host) {
      append_line(connect_to, "::" + authority(endpoint.host, endpoint.port));
    }
  }

  std::unique_ptr<Line> take();
  void give_back(std::unique_ptr<Line> line);
  bool set_up(Line& line) const;
  WireOutcome run(Line& line, Exchange& exchange, const std::stop_token& stop) const;
  WireOutcome conclude(CURLcode code, const Exchange& exchange) const;

  WireSettings settings;
  std::string origin;  ///< before each request's target
  CurlList connect_to;
  std::mutex mutex;
  std::vector<std::unique_ptr<Line>> idle;  ///< the most recently used one last
};

std::unique_ptr<CallClient::Parts::Line> CallClient::Parts::take() {
  std::vector<std::unique_ptr<Line>> closed;  // without the lock
  {
    const std::lock_guard lock(mutex);
    const auto oldest = Steady::now() - kLongestIdle;
    while (!idle.empty() && idle.front()->used < oldest) {
      closed.push_back(std::move(idle.front()));
      idle.erase(idle.begin());
    }
    if (!idle.empty()) {
      auto line = std::move(idle.back());
      idle.pop_back();
      return line;
    }
  }
  auto line = std::make_unique<Line>();
  if (!line->is_there() || !set_up(*line)) return nullptr;
  return line;
}

void CallClient::Parts::give_back(std::unique_ptr<Line> line) {
  line->used = Steady::now();
  const std::lock_guard lock(mutex);
  idle.push_back(std::move(line));
}

/// What all exchanges over one line have in common.
bool CallClient::Parts::set_up(Line& line) const {
  auto* self = const_cast<WireSettings*>(&settings);  // given back to us untouched
  Options options(line.easy.get());
  options.set(CURLOPT_NOSIGNAL, 1L)
      .set(CURLOPT_PROTOCOLS_STR, "http,https")
      .set(CURLOPT_FOLLOWLOCATION, 0L)
      .set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED))
      .set(CURLOPT_PATH_AS_IS, 1L)
      .set(CURLOPT_HTTP09_ALLOWED, 0L)
      .set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1))
      .set(CURLOPT_BUFFERSIZE, kReadBytes)
      .set(CURLOPT_MAXAGE_CONN, static_cast<long>(kLongestIdle.count()))
      // Whoever gives up doesn't wait for a resolver that hangs.
      .set(CURLOPT_QUICK_EXIT, 1L)
      .set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L)
      .set(CURLOPT_HEADERFUNCTION, &on_header)
      .set(CURLOPT_WRITEFUNCTION, &on_body)
      .set(CURLOPT_PREREQFUNCTION, &before_request)
      .set(CURLOPT_SOCKOPTFUNCTION, &on_socket)
      .set(CURLOPT_SOCKOPTDATA, self)
      .set(CURLOPT_NOPROXY, "");
  if (connect_to) options.set(CURLOPT_CONNECT_TO, connect_to.get());
  if (settings.proxy) {
    const Proxy& proxy = *settings.proxy;
    options.set(CURLOPT_PROXY, "http://" + authority(proxy.host, proxy.port));
    if (!proxy.username.empty()) {
      options.set(CURLOPT_PROXYUSERNAME, proxy.username)
          .set(CURLOPT_PROXYPASSWORD, std::string(proxy.password.reveal()));
    }
  } else {
    options.set(CURLOPT_PROXY, "");
  }
  if (settings.tls) {
    // TlsClient verifies, the name as well; libcurl is only told whether it counts.
    options.set(CURLOPT_SSL_VERIFYPEER, settings.verify ? 1L : 0L)
        .set(CURLOPT_SSL_VERIFYHOST, 0L)
        .set(CURLOPT_CAINFO, static_cast<char*>(nullptr))
        .set(CURLOPT_CAPATH, static_cast<char*>(nullptr))
        .set(CURLOPT_SSL_CTX_FUNCTION, &on_tls)
        .set(CURLOPT_SSL_CTX_DATA, self);
  }
  return options.good() &&
         curl_multi_setopt(line.multi.get(), CURLMOPT_MAXCONNECTS, 1L) == CURLM_OK;
}

WireOutcome CallClient::Parts::run(Line& line, Exchange& exchange,
                                   const std::stop_token& stop) const {
  CURLM* multi = line.multi.get();
  const auto ended = [&](End end, std::string failure = "") {
    WireOutcome outcome{.end = end, .head = exchange.head, .failure = std::move(failure)};
    return outcome;
  };
  const std::stop_callback wake(stop, [multi] { curl_multi_wakeup(multi); });
  for (int running = 1;;) {
    if (stop.stop_requested()) return ended(End::Cancelled);
    CURLMcode code = curl_multi_perform(multi, &running);
    if (code == CURLM_OK && running == 0) break;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(exchange.due() - Steady::now());
    if (left.count() <= 0) return ended(exchange.is_streaming() ? End::Idle : End::Deadline);
    constexpr std::int64_t kLongestWait = 60'000;
    if (code == CURLM_OK) {
      code = curl_multi_poll(multi, nullptr, 0,
                             static_cast<int>(std::min(left.count(), kLongestWait)), nullptr);
    }
    if (code != CURLM_OK) return ended(End::Broken, curl_multi_strerror(code));
  }
  int more = 0;
  const CURLMsg* message = curl_multi_info_read(multi, &more);
  if (message == nullptr) return ended(End::Broken, "libcurl gave no result");
  return conclude(message->data.result, exchange);
}

WireOutcome CallClient::Parts::conclude(CURLcode code, const Exchange& exchange) const {
  WireOutcome outcome;
  outcome.head = exchange.head;
  if (code == CURLE_OK && exchange.head) {
    outcome.end = End::Complete;
    return outcome;
  }
  if (exchange.stopped) {
    outcome.end = End::Stopped;
    return outcome;
  }
  outcome.end = End::Broken;
  outcome.failure = describe(code);
  outcome.tls_failed = is_tls_failure(code);
  outcome.unsent = !exchange.begun;
  if (outcome.tls_failed) {
    const std::string refusal = settings.tls ? settings.tls->last_refusal() : "";
    if (!refusal.empty()) outcome.failure = "its certificate is refused: " + refusal;
  }
  return outcome;
}

CallClient::CallClient(const WireSettings& settings) : parts_(std::make_unique<Parts>(settings)) {}
CallClient::~CallClient() = default;

WireOutcome CallClient::exchange(const WireRequest& request, const BodySink& sink,
                                 const std::stop_token& stop) {
  const auto unusable = [] {
    return WireOutcome{
        .end = End::Broken, .head = {}, .failure = "libcurl lacks memory or a feature"};
  };
  auto line = parts_->take();
  if (!line) return unusable();
  CURL* easy = line->easy.get();
  Exchange exchange{.easy = easy, .request = request, .sink = sink};

  // No "Expect: 100-continue", which would cost a round trip.
  CurlList headers;
  bool good = append_line(headers, "Expect:");
  for (const auto& [name, value] : request.headers) {
    good = good && append_line(headers, name + ": " + value);
  }
  Options options(easy);
  const bool has_body = !request.body.empty() || request.method == Method::Post ||
                        request.method == Method::Put || request.method == Method::Patch;
  if (has_body) {
    good = good && append_line(headers, "Content-Type: " + request.content_type);
    options.set(CURLOPT_POST, 1L)
        .set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()))
        .set(CURLOPT_POSTFIELDS, request.body.c_str());
  } else {
    options.set(CURLOPT_HTTPGET, 1L);
  }
  options.set(CURLOPT_CUSTOMREQUEST, std::string(to_string(request.method)))
      .set(CURLOPT_URL, parts_->origin + request.target)
      .set(CURLOPT_HTTPHEADER, headers.get())
      .set(CURLOPT_HEADERDATA, &exchange)
      .set(CURLOPT_WRITEDATA, &exchange)
      .set(CURLOPT_PREREQDATA, &exchange);
  if (!good || !options.good() || curl_multi_add_handle(line->multi.get(), easy) != CURLM_OK) {
    return unusable();
  }
  WireOutcome outcome = parts_->run(*line, exchange, stop);
  // Closes the connection unless the exchange has come to its end.
  curl_multi_remove_handle(line->multi.get(), easy);
  parts_->give_back(std::move(line));
  return outcome;
}

void prepare_calls() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

}  // namespace sandboxrun::kube
