#include "operator/kube/http_transport.h"

#include <cstdlib>
#include <mutex>
#include <random>
#include <utility>

#include "operator/kube/call_client.h"
#include "operator/kube/credentials.h"
#include "operator/kube/line_splitter.h"
#include "operator/kube/list_client.h"
#include "operator/kube/tls.h"
#include "operator/kube/url.h"

namespace sandboxrun::kube {
namespace {

using Steady = std::chrono::steady_clock;

// How often the CA and certificate files are looked at; a failed handshake looks at once.
constexpr std::chrono::seconds kTlsFilesAge(50);

bool same(const TlsSettings& a, const TlsSettings& b) {
  return a.ca_pem == b.ca_pem && a.certificate_pem.reveal() == b.certificate_pem.reveal() &&
         a.key_pem.reveal() == b.key_pem.reveal();
}

/// The two ways to the server, each with its own connections.
struct Clients {
  explicit Clients(const WireSettings& settings) : calls(settings), lists(settings) {}

  CallClient calls;
  ListClient lists;
};

/// Hands out the clients that fit the files and the credential as they are now.
class ClientKeeper {
 public:
  ClientKeeper(const Config& config, const HttpTransportOptions& options)
      : config_(config), options_(options) {}

  /// Errors: NoCredentials, only if there was never a usable client.
  Result<std::shared_ptr<Clients>> get(const Credential& credential, bool look_again) {
    // Clients that are replaced wait for what they gave up; nobody else shall.
    std::shared_ptr<Clients> replaced;
    const std::lock_guard lock(mutex_);
    const auto now = Steady::now();
    const bool old = client_ && now >= good_until_;
    const bool unchecked =
        look_again || now - checked_ >= kTlsFilesAge || credential.generation != generation_;
    if (client_ && !old && !unchecked) return client_;
    auto settings = read_settings(credential);
    checked_ = now;
    if (!settings) {
      // A file that is being replaced must not take a working connection away.
      if (client_ && !old) return client_;
      if (!client_) return std::unexpected(settings.error());
      settings = settings_;
    }
    generation_ = credential.generation;
    if (client_ && !old && same(*settings, settings_)) return client_;
    replaced = client_;
    return make(std::move(*settings), now);
  }

 private:
  Result<TlsSettings> read_settings(const Credential& credential) const {
    TlsSettings settings;
    settings.server_name =
        config_.tls_server_name.empty() ? config_.endpoint.host : config_.tls_server_name;
    auto ca = read_pem(config_.certificate_authority, "the certificate authority");
    if (!ca) return std::unexpected(ca.error());
    settings.ca_pem = ca->reveal();
    if (settings.ca_pem.empty() && !config_.certificate_authority.file.empty()) {
      return failure(
          ErrorKind::NoCredentials,
          "the certificate authority file " + config_.certificate_authority.file + " is empty");
    }
    if (!credential.certificate_pem.empty()) {
      settings.certificate_pem = credential.certificate_pem;
      settings.key_pem = credential.key_pem;
      return settings;
    }
    auto certificate = read_pem(config_.client_certificate, "the client certificate");
    if (!certificate) return std::unexpected(certificate.error());
    auto key = read_pem(config_.client_key, "the client key");
    if (!key) return std::unexpected(key.error());
    settings.certificate_pem = std::move(*certificate);
    settings.key_pem = std::move(*key);
    return settings;
  }

  Result<std::shared_ptr<Clients>> make(TlsSettings settings, Steady::time_point now) {
    WireSettings wire{.endpoint = config_.endpoint,
                      .tls_server_name = config_.tls_server_name,
                      .tls = nullptr,
                      .proxy = config_.proxy,
                      .verify = !config_.skip_verify,
                      .dead_peer_timeout = options_.dead_peer_timeout};
    if (config_.endpoint.tls) {
      auto tls = TlsClient::make(settings);
      if (!tls && client_) return client_;
      if (!tls) return std::unexpected(tls.error());
      wire.tls = std::move(*tls);
    }
    client_ = std::make_shared<Clients>(wire);
    settings_ = std::move(settings);
    std::uniform_int_distribution<std::int64_t> jitter(0, options_.max_client_age.count() / 5);
    good_until_ = now + options_.max_client_age + std::chrono::milliseconds(jitter(random_));
    return client_;
  }

  const Config& config_;
  const HttpTransportOptions& options_;
  std::mutex mutex_;
  std::shared_ptr<Clients> client_;
  TlsSettings settings_;
  std::uint64_t generation_ = 0;
  Steady::time_point checked_;
  Steady::time_point good_until_;
  std::minstd_rand random_{std::random_device{}()};
};

std::string target_of(const Endpoint& endpoint, const Request& request) {
  std::string target = endpoint.path_prefix + request.path;
  char separator = '?';
  for (const auto& [name, value] : request.query) {
    target += separator + percent_encode(name) + "=" + percent_encode(value);
    separator = '&';
  }
  return target;
}

std::string call_name(const Request& request) {
  if (!request.description.empty()) return request.description;
  return std::string(to_string(request.method)) + " " + request.path;
}

/// What the answer's body goes through: the reader takes 2xx, everything else is kept for the
/// error.
struct BodyReader {
  std::function<bool(std::string_view piece)> read;
  std::size_t max_error_bytes;
  std::string error_body;

  bool operator()(const WireHead& head, std::string_view piece) {
    if (head.status >= 200 && head.status < 300) return read(piece);
    error_body.append(piece.substr(0, max_error_bytes - error_body.size()));
    return error_body.size() < max_error_bytes;
  }
};

class HttpTransport : public Transport {
 public:
  HttpTransport(Config config, HttpTransportOptions options)
      : config_(std::move(config)),
        options_(std::move(options)),
        credentials_(make_credential_source(config_)),
        clients_(config_, options_) {}

  /// Finds out early whether the files can be used at all; an exec plugin is not run yet.
  Result<void> check() {
    if (std::holds_alternative<ExecPlugin>(config_.credentials)) return {};
    const auto credential = credentials_->current({});
    if (!credential) return std::unexpected(credential.error());
    const auto clients = clients_.get(*credential, false);
    if (!clients) return std::unexpected(clients.error());
    return {};
  }

  Result<Response> roundtrip(const Request& request, std::stop_token stop) override {
    Response response;
    bool too_large = false;
    const auto read = [&](std::string_view piece) {
      too_large = response.body.size() + piece.size() > options_.max_response_bytes;
      if (!too_large) response.body += piece;
      return !too_large;
    };
    const auto restart = [&] { response.body.clear(); };
    const auto outcome =
        call<&Clients::calls>(request, std::chrono::milliseconds(0), read, restart, stop);
    if (!outcome) return std::unexpected(outcome.error());
    if (too_large) {
      return failure(ErrorKind::Malformed, call_name(request) + ": the answer is larger than " +
                                               std::to_string(options_.max_response_bytes) +
                                               " bytes");
    }
    if (outcome->end != WireOutcome::End::Complete) {
      return std::unexpected(broken(request, *outcome));
    }
    response.status = outcome->head->status;
    return response;
  }

  Result<void> download(const Request& request, const PieceSink& sink,
                        std::stop_token stop) override {
    const auto outcome = call<&Clients::lists>(request, request.deadline, sink, nullptr, stop);
    if (!outcome) return std::unexpected(outcome.error());
    const bool left = outcome->end == WireOutcome::End::Stopped;
    if (left || outcome->end == WireOutcome::End::Complete) return {};
    return std::unexpected(broken(request, *outcome));
  }

  Result<StreamEnd> stream(const Request& request, const LineSink& sink,
                           std::stop_token stop) override {
    LineSplitter splitter(options_.max_line_bytes);
    auto state = LineSplitter::Outcome::More;
    const auto read = [&](std::string_view piece) {
      state = splitter.push(piece, sink);
      return state == LineSplitter::Outcome::More;
    };
    const auto outcome = call<&Clients::calls>(request, request.idle_timeout, read, nullptr, stop);
    if (!outcome) return std::unexpected(outcome.error());
    if (state == LineSplitter::Outcome::TooLong) {
      return failure(ErrorKind::Malformed, call_name(request) + ": a line is longer than " +
                                               std::to_string(options_.max_line_bytes) + " bytes");
    }
    switch (outcome->end) {
      case WireOutcome::End::Complete:
        return splitter.has_rest() ? StreamEnd::Dropped : StreamEnd::Closed;
      case WireOutcome::End::Broken:
        return StreamEnd::Dropped;
      case WireOutcome::End::Idle:
        return StreamEnd::Idle;
      case WireOutcome::End::Stopped:
        return StreamEnd::Stopped;
      default:
        return std::unexpected(broken(request, *outcome));
    }
  }

 private:
  using Read = std::function<bool(std::string_view)>;

  WireRequest wire_request(const Request& request, const Credential& credential,
                           Steady::time_point deadline, std::chrono::milliseconds idle) const {
    WireRequest wire;
    wire.method = request.method;
    wire.target = target_of(config_.endpoint, request);
    wire.headers = {{"Accept", "application/json"}, {"User-Agent", options_.user_agent}};
    if (!credential.authorization.empty()) {
      wire.headers.emplace_back("Authorization", credential.authorization.reveal());
    }
    for (const auto& [name, value] : config_.impersonate) wire.headers.emplace_back(name, value);
    wire.content_type = request.content_type.empty() ? "application/json" : request.content_type;
    wire.body = request.body;
    wire.may_replay = request.idempotent;
    wire.deadline = deadline;
    wire.idle_timeout = idle;
    return wire;
  }

  /// One call with its second chances. `restart` (nullptr: a begun body is never repeated) drops
  /// what a failed try has delivered. A value has a 2xx head, or none.
  template <auto Client>
  Result<WireOutcome> call(const Request& request, std::chrono::milliseconds idle, const Read& read,
                           const std::function<void()>& restart, const std::stop_token& stop) {
    const auto deadline = Steady::now() + request.deadline;
    bool refreshed = false;
    bool resent = false;
    bool look_again = false;
    for (;;) {
      auto credential = credentials_->current(stop);
      if (!credential) return std::unexpected(credential.error());
      const auto clients = clients_.get(*credential, std::exchange(look_again, false));
      if (!clients) return std::unexpected(clients.error());
      BodyReader reader{read, options_.max_error_bytes, ""};
      auto outcome = exchange((**clients).*Client,
                              wire_request(request, *credential, deadline, idle), reader, stop);
      if (outcome.head && outcome.head->status == 401 && !refreshed) {
        refreshed = true;
        if (credentials_->refused(credential->generation, stop)) continue;
      }
      if (outcome.end == WireOutcome::End::Broken && !resent && (restart || !outcome.head)) {
        resent = true;
        look_again = outcome.tls_failed;
        if (request.idempotent || outcome.unsent) {
          if (restart) restart();
          continue;
        }
      }
      if (outcome.end == WireOutcome::End::Cancelled) {
        return std::unexpected(broken(request, outcome));
      }
      if (outcome.head && (outcome.head->status < 200 || outcome.head->status > 299)) {
        return std::unexpected(error_from_answer(call_name(request), outcome.head->status,
                                                 reader.error_body, outcome.head->retry_after));
      }
      if (!outcome.head) return std::unexpected(broken(request, outcome));
      return outcome;
    }
  }

  template <typename Client>
  WireOutcome exchange(Client& client, const WireRequest& wire, BodyReader& reader,
                       const std::stop_token& stop) const {
    const auto begin = Steady::now();
    WireOutcome outcome = client.exchange(
        wire, [&](const WireHead& head, std::string_view piece) { return reader(head, piece); },
        stop);
    if (options_.on_call) {
      options_.on_call({.method = wire.method,
                        .status = outcome.head ? outcome.head->status : 0,
                        .duration = std::chrono::duration_cast<std::chrono::microseconds>(
                            Steady::now() - begin)});
    }
    return outcome;
  }

  Error broken(const Request& request, const WireOutcome& outcome) const {
    const std::string name = call_name(request);
    const std::string peer = authority(config_.endpoint.host, config_.endpoint.port);
    Error error;
    switch (outcome.end) {
      case WireOutcome::End::Cancelled:
        error.kind = ErrorKind::Cancelled;
        error.message = name + ": stopped";
        return error;
      case WireOutcome::End::Deadline:
      case WireOutcome::End::Idle:
        error.kind = ErrorKind::Timeout;
        error.message = name + ": no complete answer from " + peer + " within " +
                        std::to_string(request.deadline.count()) + " ms";
        return error;
      default:
        error.kind = ErrorKind::Unreachable;
        error.message = name + ": no answer from " + peer + ": " + outcome.failure;
        return error;
    }
  }

  const Config config_;
  const HttpTransportOptions options_;
  const std::unique_ptr<CredentialSource> credentials_;
  ClientKeeper clients_;
};

}  // namespace

std::string_view to_string(Method method) {
  switch (method) {
    case Method::Get:
      return "GET";
    case Method::Post:
      return "POST";
    case Method::Put:
      return "PUT";
    case Method::Patch:
      return "PATCH";
    case Method::Delete:
      return "DELETE";
  }
  return "GET";
}

void prepare_process_for_http(std::size_t io_threads) {
  static std::once_flag once;
  std::call_once(once, [io_threads] {
    setenv("SSL_CERT_FILE", "/dev/null", 1);
    setenv("SSL_CERT_DIR", "/nonexistent", 1);
    prepare_calls();
    start_list_threads(io_threads);
  });
}

Result<std::unique_ptr<Transport>> make_http_transport(Config config,
                                                       HttpTransportOptions options) {
  auto transport = std::make_unique<HttpTransport>(std::move(config), std::move(options));
  if (auto checked = transport->check(); !checked) return std::unexpected(checked.error());
  return transport;
}

}  // namespace sandboxrun::kube
