#pragma once

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "operator/kube/api.h"
#include "operator/kube/http_transport.h"
#include "tests/api/fake_api_server.h"

/// What the tests of the transport share.
namespace sandboxrun::kube {

inline const Resource kPods{"", "v1", "pods"};
inline const Resource kRuns{"sandboxrun.dev", "v1alpha1", "sandboxruns"};
inline const std::string kPodsPath = "/api/v1/namespaces/x/pods";

inline Config plain_config(const test::FakeApiServer& server) {
  Config config;
  config.endpoint = {.tls = false, .host = "127.0.0.1", .port = server.port(), .path_prefix = ""};
  return config;
}

inline std::unique_ptr<Transport> transport_to(Config config, HttpTransportOptions options = {}) {
  prepare_process_for_http(2);
  auto made = make_http_transport(std::move(config), std::move(options));
  if (!made) throw std::runtime_error(made.error().message);
  return std::move(*made);
}

inline Request get_pods() {
  Request request = list_request(kPods, {.namespace_name = "x"}, {});
  request.deadline = std::chrono::seconds(10);
  return request;
}

inline std::chrono::milliseconds since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                               begin);
}

struct Lines {
  std::vector<std::string> lines;
  LineSink sink() {
    return [this](std::string_view line) {
      lines.emplace_back(line);
      return true;
    };
  }
};

}  // namespace sandboxrun::kube
