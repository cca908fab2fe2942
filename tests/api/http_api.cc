#include "tests/api/http_api.h"

#include <stop_token>
#include <utility>

namespace sandboxrun::test {
namespace {

kube::Method method_of(const std::string& name) {
  using enum kube::Method;
  for (const kube::Method each : {Get, Post, Put, Patch, Delete}) {
    if (kube::to_string(each) == name) return each;
  }
  return Get;
}

kube::Request api_request(const FakeRequest& request) {
  kube::Request out;
  out.method = method_of(request.method);
  out.path = request.path;
  out.query.assign(request.query.begin(), request.query.end());
  out.content_type = request.header("content-type");
  out.body = request.body;
  return out;
}

}  // namespace

bool is_watch(const FakeRequest& request) {
  return request.method == "GET" && request.parameter("watch") == "1";
}

HttpApi::HttpApi(MemoryApi& api, FakeApiServer::Options options)
    : api_(api), server_(std::move(options)) {
  server_.fallback([this](const FakeRequest& request) { return answer(request); });
}

HttpApi::~HttpApi() {
  end_watches();
  const std::lock_guard lock(mutex_);
  for (std::jthread& each : threads_) each.request_stop();
}

void HttpApi::instead(Instead instead) {
  const std::lock_guard lock(mutex_);
  instead_ = std::move(instead);
}

void HttpApi::afterwards(Afterwards afterwards) {
  const std::lock_guard lock(mutex_);
  afterwards_ = std::move(afterwards);
}

void HttpApi::rewrite(Lines lines) {
  const std::lock_guard lock(mutex_);
  lines_ = std::move(lines);
}

void HttpApi::push(const std::string& line) {
  const std::lock_guard lock(mutex_);
  for (const auto& each : open_) each->push(line);
}

void HttpApi::end_watches() {
  const std::lock_guard lock(mutex_);
  for (const auto& each : std::exchange(open_, {})) each->end();
}

Answer HttpApi::answer(const FakeRequest& request) {
  {
    const std::lock_guard lock(mutex_);
    if (instead_) {
      if (auto other = instead_(request)) return std::move(*other);
    }
  }
  if (is_watch(request)) return watch(request);
  const auto own = api_.roundtrip(api_request(request), {});
  const std::lock_guard lock(mutex_);
  if (afterwards_) {
    if (auto other = afterwards_(request)) return std::move(*other);
  }
  if (own) return Answer::json(own->body, own->status);
  return Answer::failure(own.error().status, own.error().reason, own.error().message);
}

Answer HttpApi::watch(const FakeRequest& request) {
  if (!request.parameter("sendInitialEvents").empty()) {
    return Answer::failure(422, "Invalid", "sendInitialEvents is not known here");
  }
  auto live = std::make_shared<LiveStream>();
  const std::lock_guard lock(mutex_);
  open_.push_back(live);
  threads_.emplace_back([this, live, asked = api_request(request)](const std::stop_token& stop) {
    const auto sink = [&](std::string_view line) {
      const std::lock_guard sending(mutex_);
      const std::string text(line);
      for (std::string& each : lines_ ? lines_(text) : std::vector{text}) live->push(each);
      return true;
    };
    (void)api_.stream(asked, sink, stop);
  });
  return Answer::watch(live);
}

}  // namespace sandboxrun::test
