#include "operator/kube/list_client.h"

#include <cpprest/http_client.h>
#include <cpprest/producerconsumerstream.h>
#include <pplx/threadpool.h>

#include <algorithm>
#include <charconv>
#include <condition_variable>
#include <mutex>
#include <stdexcept>

#include "operator/kube/exchange_state.h"
#include "operator/kube/url.h"

namespace sandboxrun::kube {
namespace {

namespace http = web::http;
using boost::asio::ip::tcp;

// Only a bound on what an abandoned exchange may do in the background: times are kept by
// ExchangeState. A watch is silent for up to five minutes.
constexpr std::chrono::seconds kLibraryTimeout(600);
constexpr std::size_t kReadBytes = 64 * 1024;

/// Opens the socket before the library does, which is the only moment to set options on it. Called
/// before each request, so also for a socket that is open already, which does no harm.
void open_with_options(tcp::socket& socket, bool v6, std::chrono::milliseconds dead_peer) {
  boost::system::error_code ignored;
  socket.open(v6 ? tcp::v6() : tcp::v4(), ignored);
  watch_for_dead_peer(socket.native_handle(), dead_peer);
}

web::uri endpoint_uri(const Endpoint& endpoint) {
  // Not from text: the library cannot resolve a host in brackets.
  return web::uri_builder()
      .set_scheme(endpoint.tls ? "https" : "http")
      .set_host(endpoint.host)
      .set_port(endpoint.port)
      .set_path("/")
      .to_uri();
}

http::client::http_client_config make_config(const WireSettings& settings) {
  http::client::http_client_config config;
  config.set_timeout(kLibraryTimeout);
  config.set_max_redirects(0);
  config.set_chunksize(kReadBytes);
  config.set_request_compressed_response(false);
  const std::string& name =
      settings.tls_server_name.empty() ? settings.endpoint.host : settings.tls_server_name;
  config.set_tlsext_sni_enabled(!is_ip_address(name));
  config.set_validate_certificates(settings.verify);
  if (settings.tls) {
    config.set_ssl_context_callback([tls = settings.tls](boost::asio::ssl::context& context) {
      if (!tls->apply(context.native_handle())) {
        throw std::runtime_error("OpenSSL refuses the TLS settings");
      }
    });
  }
  if (settings.proxy) {
    web::web_proxy proxy(web::uri_builder()
                             .set_scheme("http")
                             .set_host(settings.proxy->host)
                             .set_port(settings.proxy->port)
                             .to_uri());
    if (!settings.proxy->username.empty()) {
      proxy.set_credentials(web::credentials(settings.proxy->username,
                                             std::string(settings.proxy->password.reveal())));
    }
    config.set_proxy(proxy);
  }
  const std::string& peer = settings.proxy ? settings.proxy->host : settings.endpoint.host;
  // In a proxy's tunnel the handle is now a socket, now a TLS stream, and nothing tells which.
  const bool tunnel = settings.proxy && settings.endpoint.tls;
  if (is_ip_address(peer) && !tunnel) {
    const bool v6 = peer.contains(':');
    const bool tls = settings.endpoint.tls;
    config.set_nativehandle_options(
        [v6, tls, dead_peer = settings.dead_peer_timeout](http::client::native_handle handle) {
          auto& socket =
              tls ? static_cast<boost::asio::ssl::stream<tcp::socket&>*>(handle)->next_layer()
                  : *static_cast<tcp::socket*>(handle);
          open_with_options(socket, v6, dead_peer);
        });
  }
  return config;
}

/// A body that the library cannot rewind, and so cannot send a second time on its own.
concurrency::streams::istream one_way_stream(const std::string& body) {
  concurrency::streams::producer_consumer_buffer<std::uint8_t> buffer;
  buffer.putn_nocopy(reinterpret_cast<const std::uint8_t*>(body.data()), body.size()).wait();
  buffer.close(std::ios_base::out).wait();
  return buffer.create_istream();
}

http::http_request make_request(const WireRequest& wire, const std::string& host_header,
                                const std::shared_ptr<ExchangeState>& state) {
  http::http_request request{http::method(std::string(to_string(wire.method)))};
  request.set_request_uri(web::uri(wire.target));
  for (const auto& [name, value] : wire.headers) request.headers().add(name, value);
  if (!host_header.empty()) request.headers().add("Host", host_header);
  if (!wire.may_replay) {
    request.set_body(one_way_stream(wire.body), wire.body.size(), wire.content_type);
  } else if (!wire.body.empty()) {
    request.set_body(wire.body, wire.content_type);
  }
  request.set_response_stream(make_body_buffer(state).create_ostream());
  return request;
}

WireHead head_of(const http::http_response& response) {
  WireHead head;
  head.status = response.status_code();
  const auto found = response.headers().find("Retry-After");
  if (found != response.headers().end()) {
    unsigned seconds = 0;  // the API server never sends the form with a date
    const std::string& text = found->second;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (error == std::errc() && end == text.data() + text.size()) {
      head.retry_after = std::chrono::seconds(std::min(seconds, 3600u));
    }
  }
  return head;
}

/// The exchanges of a client that the library still works on, those that were given up too.
class Underway {
 public:
  /// One more, until the last copy of what is returned is gone.
  static std::shared_ptr<void> begin(const std::shared_ptr<Underway>& all) {
    const std::lock_guard lock(all->mutex_);
    ++all->count_;
    return {all.get(), [all](Underway*) { all->end(); }};
  }
  /// Until there are none, but not for ever.
  void wait() {
    std::unique_lock lock(mutex_);
    none_.wait_for(lock, kPatience, [this] { return count_ == 0; });
  }

 private:
  void end() {
    const std::lock_guard lock(mutex_);
    if (--count_ == 0) none_.notify_all();
  }

  static constexpr std::chrono::seconds kPatience{2};
  std::mutex mutex_;
  std::condition_variable none_;
  int count_ = 0;
};

/// Both tasks' ends go to the state: a failure that nobody looks at would end the process.
void observe(pplx::task<http::http_response> answer, const std::shared_ptr<ExchangeState>& state,
             const std::shared_ptr<void>& underway) {
  answer.then([state, underway](pplx::task<http::http_response> head) {
    try {
      const http::http_response response = head.get();
      state->set_head(head_of(response));
      response.content_ready().then([state, underway](pplx::task<http::http_response> whole) {
        try {
          whole.get();
          state->set_complete();
        } catch (const std::exception& error) {
          state->set_failed(error.what());
        }
      });
    } catch (const std::exception& error) {
      state->set_failed(error.what());
    }
  });
}

}  // namespace

struct ListClient::Parts {
  WireSettings settings;
  std::string host_header;  // empty: the library's own
  std::shared_ptr<Underway> underway = std::make_shared<Underway>();
  http::client::http_client client;

  explicit Parts(WireSettings given)
      : settings(std::move(given)), client(endpoint_uri(settings.endpoint), make_config(settings)) {
    // The library sends this header's value as the TLS server name too. Its own header is wrong
    // for IPv6.
    const Endpoint& endpoint = settings.endpoint;
    if (!settings.tls_server_name.empty()) {
      host_header = settings.tls_server_name;
    } else if (endpoint.host.contains(':')) {
      host_header = authority(endpoint.host, endpoint.port);
    }
  }
};

ListClient::ListClient(WireSettings settings)
    : parts_(std::make_unique<Parts>(std::move(settings))) {}
// The library's threads must be done with what was given up before the process ends.
ListClient::~ListClient() {
  parts_->underway->wait();
}

WireOutcome ListClient::exchange(const WireRequest& request, const BodySink& sink,
                                 std::stop_token stop) {
  const auto state = std::make_shared<ExchangeState>();
  pplx::cancellation_token_source cancel;
  try {
    observe(parts_->client.request(make_request(request, parts_->host_header, state),
                                   cancel.get_token()),
            state, Underway::begin(parts_->underway));
  } catch (const std::exception& error) {
    state->set_failed(error.what());
  }
  WireOutcome outcome = state->wait(request, sink, std::move(stop));
  using End = WireOutcome::End;
  if (outcome.end != End::Complete && outcome.end != End::Broken) cancel.cancel();
  if (outcome.end == End::Broken && outcome.failure.contains("SSL handshake")) {
    outcome.tls_failed = outcome.unsent = true;
    const std::string refusal = parts_->settings.tls ? parts_->settings.tls->last_refusal() : "";
    if (!refusal.empty()) outcome.failure = "its certificate is refused: " + refusal;
  }
  return outcome;
}

void start_list_threads(std::size_t count) {
  try {
    crossplat::threadpool::initialize_with_threads(count);
  } catch (const std::exception&) {
    // Somebody used the library before us; its own number of threads works too.
  }
}

}  // namespace sandboxrun::kube
