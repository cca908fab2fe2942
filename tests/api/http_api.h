#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/api/fake_api_server.h"
#include "tests/api/memory_api.h"

namespace sandboxrun::test {

/// A MemoryApi behind HTTP, with what can go wrong on the way.
/// Guarantees: thread safe; watches end with the object.
class HttpApi {
 public:
  explicit HttpApi(MemoryApi& api, FakeApiServer::Options options = {});
  ~HttpApi();

  FakeApiServer& server() { return server_; }

  /// Answers in the API's place, or leaves it to the API. Called before it.
  using Instead = std::function<std::optional<Answer>(const FakeRequest&)>;
  void instead(Instead instead);
  /// Looks at the API's own answer and may give another. Called after it.
  using Afterwards = std::function<std::optional<Answer>(const FakeRequest&)>;
  void afterwards(Afterwards afterwards);
  /// What is sent for each line of a watch.
  using Lines = std::function<std::vector<std::string>(const std::string& line)>;
  void rewrite(Lines lines);

  /// Sends a line on every watch that is open.
  void push(const std::string& line);
  /// Ends every watch that is open, in order, after what was pushed.
  void end_watches();

 private:
  Answer answer(const FakeRequest& request);
  Answer watch(const FakeRequest& request);

  MemoryApi& api_;
  std::mutex mutex_;
  Instead instead_;
  Afterwards afterwards_;
  Lines lines_;
  std::vector<std::shared_ptr<LiveStream>> open_;
  FakeApiServer server_;
  std::list<std::jthread> threads_;  // of watches
};

bool is_watch(const FakeRequest& request);

}  // namespace sandboxrun::test
