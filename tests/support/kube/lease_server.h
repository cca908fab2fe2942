#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

#include "operator/kube/lease.h"
#include "operator/kube/transport.h"

namespace sandboxrun::kube {

/// One Lease with the API server's rules: an update needs the current resourceVersion.
class LeaseServer {
 public:
  Result<Response> answer(const Request& request) {
    const std::lock_guard lock(mutex_);
    if (request.method == Method::Get) {
      if (!record_) return failure(ErrorKind::NotFound, "no lease");
      return Response{200, encode()};
    }
    LeaseRecord wanted = *decode_lease(with_version(request.body));
    if (request.method == Method::Post) {
      if (record_) return failure(ErrorKind::AlreadyExists, "there is a lease");
    } else {
      if (!record_) return failure(ErrorKind::NotFound, "no lease");
      if (wanted.resource_version != record_->resource_version) {
        return failure(ErrorKind::Conflict, "the lease has changed");
      }
    }
    wanted.resource_version = std::to_string(++version_);
    record_ = wanted;
    ++writes_;
    return Response{200, encode()};
  }

  /// What somebody else does.
  void set(LeaseRecord record) {
    const std::lock_guard lock(mutex_);
    record.resource_version = std::to_string(++version_);
    record_ = std::move(record);
  }
  void remove() {
    const std::lock_guard lock(mutex_);
    record_.reset();
  }
  std::optional<LeaseRecord> record() const {
    const std::lock_guard lock(mutex_);
    return record_;
  }
  int writes() const {
    const std::lock_guard lock(mutex_);
    return writes_;
  }

 private:
  std::string encode() const { return encode_lease({"ns", "lease"}, *record_); }
  // A new object has no version yet, which decode_lease asks for.
  static std::string with_version(std::string body) {
    if (body.find("resourceVersion") == std::string::npos) {
      body.insert(body.find(R"("name")"), R"("resourceVersion":"0",)");
    }
    return body;
  }

  mutable std::mutex mutex_;
  std::optional<LeaseRecord> record_;
  int version_ = 100;
  int writes_ = 0;
};

/// A contender's way to the server, on which things go wrong.
class LeaseLine final : public Transport {
 public:
  enum class Fault {
    None,
    Cut,        ///< nothing arrives
    LostReply,  ///< it arrives, but its answer doesn't
    Replay,     ///< it arrives twice, and the second one is answered
  };
  explicit LeaseLine(LeaseServer& server) : server_(server) {}

  /// Asked before each call.
  std::function<Fault(const Request&)> fault = [](const Request&) { return Fault::None; };

  Result<Response> roundtrip(const Request& request, std::stop_token) override {
    const Fault wrong = fault(request);
    if (wrong == Fault::Cut) return failure(ErrorKind::Unreachable, "no network");
    auto answer = server_.answer(request);
    if (wrong == Fault::LostReply) return failure(ErrorKind::Timeout, "no answer");
    if (wrong == Fault::Replay) return server_.answer(request);
    return answer;
  }
  Result<StreamEnd> stream(const Request&, const LineSink&, std::stop_token) override {
    return failure(ErrorKind::Invalid, "leases are not watched");
  }

 private:
  LeaseServer& server_;
};

}  // namespace sandboxrun::kube
