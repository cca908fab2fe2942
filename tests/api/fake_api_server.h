#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sandboxrun::test {

/// A request as the server got it.
struct FakeRequest {
  std::string method;
  std::string path;                            ///< without the query, as sent
  std::map<std::string, std::string> query;    ///< decoded
  std::map<std::string, std::string> headers;  ///< names in lower case
  std::string body;
  int connection = 0;  ///< counts from 1 in the order of accepting

  std::string header(const std::string& lower_case_name) const;
  std::string parameter(const std::string& name) const;
};

/// A watch that the test feeds while it is open. Any number of connections may read it, one after
/// the other; each line goes to one of them.
class LiveStream {
 public:
  /// One line (the '\n' is added), sent as a chunk of its own.
  void push(std::string line);
  /// Ends the answer of whoever reads it now, in order, when all lines are sent.
  void end();
  /// Lines that nobody has taken yet.
  std::size_t waiting() const;

 private:
  friend class FakeConnection;
  /// The next line; nothing after `patience`, or at an end (`ended` is set then).
  std::optional<std::string> next(std::chrono::milliseconds patience, bool& ended);

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::optional<std::string>> lines_;
};

/// What the server does with one request.
struct Answer {
  enum class End {
    Normal,
    Drop,       ///< close the connection where the next piece would come
    HalfChunk,  ///< announce a chunk, send half of it, close
    Stall,      ///< send nothing more, keep the connection open
  };
  struct Piece {
    std::string text;
    std::chrono::milliseconds before{0};  ///< waits this long first
  };

  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;           ///< with a Content-Length, unless there are pieces or a live stream
  std::vector<Piece> pieces;  ///< one chunk each
  std::shared_ptr<LiveStream> live;  ///< after the pieces
  End end = End::Normal;
  std::chrono::milliseconds delay{0};  ///< before the head
  bool no_answer = false;              ///< close instead of answering
  bool silence = false;                ///< never answer, keep the connection open
  std::optional<std::string> raw;      ///< these bytes instead of an HTTP answer, then close

  static Answer json(std::string body, int status = 200);
  /// A metav1.Status.
  static Answer failure(int code, std::string_view reason, std::string_view message);
  static Answer stream(std::vector<Piece> pieces, End end = End::Normal);
  static Answer watch(std::shared_ptr<LiveStream> live);
  Answer with_header(std::string name, std::string value) &&;
};

using Handler = std::function<Answer(const FakeRequest&)>;

/// An API server that does what it is told, on loopback and in this process.
/// Guarantees: thread safe; every request is recorded before it is answered; the destructor ends
/// all connections and threads.
/// Assumptions: one thread for each connection is cheap enough for a test.
class FakeApiServer {
 public:
  struct Options {
    std::string address = "127.0.0.1";
    std::string certificate_pem;  ///< with key_pem: speaks TLS
    std::string key_pem;
    std::string client_ca_pem;  ///< asks for a client certificate of this CA
    std::chrono::milliseconds handshake_delay{0};
  };

  FakeApiServer();
  explicit FakeApiServer(Options options);
  ~FakeApiServer();
  FakeApiServer(const FakeApiServer&) = delete;
  FakeApiServer& operator=(const FakeApiServer&) = delete;

  std::uint16_t port() const;

  /// Answers of a method and path: those given to `once` first, in order, then `always`; without
  /// either the fallback's, which is at first a 404 Status.
  void once(std::string method, std::string path, Answer answer);
  void once(std::string method, std::string path, Handler handler);
  void always(std::string method, std::string path, Answer answer);
  void always(std::string method, std::string path, Handler handler);
  void fallback(Handler handler);

  /// From now on another bearer token than this is answered with 401.
  void require_token(std::string token);
  /// For connections from now on.
  void use_certificate(const std::string& certificate_pem, const std::string& key_pem);
  /// Closes every connection that is open now.
  void drop_connections();

  std::vector<FakeRequest> requests() const;
  /// How many requests of the method and path came.
  std::size_t count(std::string_view method, std::string_view path) const;
  int connections() const;
  /// Waits until `count(method, path)` is at least `wanted`; false after `patience`.
  bool wait_for(std::string_view method, std::string_view path, std::size_t wanted,
                std::chrono::milliseconds patience = std::chrono::seconds(10)) const;

 private:
  friend class FakeConnection;
  struct Parts;
  std::shared_ptr<Parts> parts_;
};

}  // namespace sandboxrun::test
