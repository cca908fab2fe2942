#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "tests/api/transport_fixture.h"

namespace sandboxrun::kube {
namespace {

using namespace std::chrono_literals;
using test::Answer;
using test::FakeApiServer;
using test::FakeRequest;
using test::LiveStream;
using testing::HasSubstr;

class Stream : public testing::Test {
 protected:
  Result<StreamEnd> watch(const LineSink& sink, std::chrono::milliseconds idle = 10s,
                          std::stop_token stop = {}) {
    if (!transport_) transport_ = transport_to(plain_config(server_), options_);
    Request request = watch_request(kPods, {.namespace_name = "x"}, {.resource_version = "5"});
    request.idle_timeout = idle;
    return transport_->stream(request, sink, std::move(stop));
  }

  FakeApiServer server_;
  HttpTransportOptions options_;
  std::unique_ptr<Transport> transport_;
  Lines lines_;
};

TEST_F(Stream, LinesDoNotDependOnChunks) {
  server_.always("GET", kPodsPath, Answer::stream({{"{\"a\""}, {":1}\n{\"b\":2}\n{"}, {"}\n\n"}}));
  const auto end = watch(lines_.sink());
  ASSERT_TRUE(end) << end.error().message;
  EXPECT_EQ(*end, StreamEnd::Closed);
  EXPECT_EQ(lines_.lines, (std::vector<std::string>{"{\"a\":1}", "{\"b\":2}", "{}"}));
  const FakeRequest seen = server_.requests().at(0);
  EXPECT_EQ(seen.parameter("watch"), "1");
  EXPECT_EQ(seen.parameter("allowWatchBookmarks"), "true");
  EXPECT_EQ(seen.parameter("resourceVersion"), "5");
  EXPECT_EQ(seen.parameter("timeoutSeconds"), "290");
}

TEST_F(Stream, ALineArrivesWhileTheStreamIsOpen) {
  const auto live = std::make_shared<LiveStream>();
  server_.always("GET", kPodsPath, Answer::watch(live));
  live->push("1");
  const auto end = watch([&](std::string_view line) {
    lines_.lines.emplace_back(line);
    if (line == "1") live->push("2");
    if (line == "2") live->end();
    return true;
  });
  ASSERT_TRUE(end) << end.error().message;
  EXPECT_EQ(lines_.lines, (std::vector<std::string>{"1", "2"}));
}

TEST_F(Stream, TheSinkRunsOnTheCallersThread) {
  server_.always("GET", kPodsPath, Answer::stream({{"1\n"}, {"2\n"}}));
  std::vector<std::thread::id> threads;
  ASSERT_TRUE(watch([&](std::string_view) {
    threads.push_back(std::this_thread::get_id());
    return true;
  }));
  EXPECT_EQ(threads, std::vector(2, std::this_thread::get_id()));
}

TEST_F(Stream, ADroppedConnectionKeepsTheLinesBeforeIt) {
  server_.always("GET", kPodsPath, Answer::stream({{"1\n2\n3"}}, Answer::End::Drop));
  const auto end = watch(lines_.sink());
  ASSERT_TRUE(end) << end.error().message;
  EXPECT_EQ(*end, StreamEnd::Dropped);
  EXPECT_EQ(lines_.lines, (std::vector<std::string>{"1", "2"}));
  EXPECT_EQ(server_.count("GET", kPodsPath), 1u);
}

TEST_F(Stream, HalfAChunkIsADroppedConnection) {
  server_.always("GET", kPodsPath, Answer::stream({{"1\n"}}, Answer::End::HalfChunk));
  const auto end = watch(lines_.sink());
  ASSERT_TRUE(end) << end.error().message;
  EXPECT_EQ(*end, StreamEnd::Dropped);
  EXPECT_EQ(lines_.lines, (std::vector<std::string>{"1"}));
}

TEST_F(Stream, AnEndInTheMiddleOfALineIsADroppedConnection) {
  server_.always("GET", kPodsPath, Answer::stream({{"1\n{\"half"}}));
  const auto end = watch(lines_.sink());
  ASSERT_TRUE(end) << end.error().message;
  EXPECT_EQ(*end, StreamEnd::Dropped);
  EXPECT_EQ(lines_.lines, (std::vector<std::string>{"1"}));
}

TEST_F(Stream, SilenceEndsIt) {
  server_.always("GET", kPodsPath, Answer::stream({{"1\n"}}, Answer::End::Stall));
  const auto begin = std::chrono::steady_clock::now();
  const auto end = watch(lines_.sink(), 200ms);
  ASSERT_TRUE(end) << end.error().message;
  EXPECT_EQ(*end, StreamEnd::Idle);
  EXPECT_GE(since(begin), 200ms);
  EXPECT_LT(since(begin), 3s);
}

TEST_F(Stream, ItLivesLongerThanTheDeadlineAndTheSilenceTogether) {
  std::vector<Answer::Piece> drip(12, {"1\n", 50ms});
  server_.always("GET", kPodsPath, Answer::stream(drip));
  transport_ = transport_to(plain_config(server_));
  Request request = watch_request(kPods, {.namespace_name = "x"}, {});
  request.deadline = 250ms;
  request.idle_timeout = 300ms;
  const auto end = transport_->stream(request, lines_.sink(), {});
  ASSERT_TRUE(end) << end.error().message;
  EXPECT_EQ(*end, StreamEnd::Closed);
  EXPECT_EQ(lines_.lines.size(), 12u);
}

TEST_F(Stream, NoHeadWithinTheDeadlineIsATimeout) {
  Answer silent;
  silent.silence = true;
  server_.always("GET", kPodsPath, silent);
  transport_ = transport_to(plain_config(server_));
  Request request = watch_request(kPods, {.namespace_name = "x"}, {});
  request.deadline = 200ms;
  const auto end = transport_->stream(request, lines_.sink(), {});
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().kind, ErrorKind::Timeout);
}

TEST_F(Stream, TheSinkCanEndIt) {
  server_.always("GET", kPodsPath, Answer::stream({{"1\n2\n"}}, Answer::End::Stall));
  const auto end = watch([&](std::string_view line) {
    lines_.lines.emplace_back(line);
    return false;
  });
  ASSERT_TRUE(end) << end.error().message;
  EXPECT_EQ(*end, StreamEnd::Stopped);
  EXPECT_EQ(lines_.lines, (std::vector<std::string>{"1"}));
}

TEST_F(Stream, AStopRequestEndsIt) {
  server_.always("GET", kPodsPath, Answer::stream({{"1\n"}}, Answer::End::Stall));
  std::stop_source stop;
  const auto begin = std::chrono::steady_clock::now();
  const auto end = watch(
      [&](std::string_view) {
        stop.request_stop();
        return true;
      },
      10s, stop.get_token());
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().kind, ErrorKind::Cancelled);
  EXPECT_LT(since(begin), 3s);
}

TEST_F(Stream, AnAnswerOfGoneIsAnErrorWithItsStatus) {
  server_.always("GET", kPodsPath, Answer::failure(410, "Expired", "too old resource version"));
  const auto end = watch(lines_.sink());
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().kind, ErrorKind::Gone);
  EXPECT_EQ(end.error().status_message, "too old resource version");
  EXPECT_TRUE(lines_.lines.empty());
}

TEST_F(Stream, ALineOverTheLimitIsMalformed) {
  options_.max_line_bytes = 1000;
  server_.always("GET", kPodsPath, Answer::stream({{"1\n"}, {std::string(1001, 'x')}, {"\n"}}));
  const auto end = watch(lines_.sink());
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().kind, ErrorKind::Malformed);
  EXPECT_THAT(end.error().message, HasSubstr("longer than 1000 bytes"));
}

TEST_F(Stream, ASlowSinkHoldsTheServerBack) {
  const std::string line = std::string(1 << 20, 'x') + "\n";
  std::atomic<int> sent = 0;
  const auto live = std::make_shared<LiveStream>();
  for (int i = 0; i < 64; ++i) live->push(line.substr(0, 1 << 20));
  live->end();
  server_.always("GET", kPodsPath, Answer::watch(live));
  std::size_t left_at_first = 0;
  const auto end = watch([&](std::string_view) {
    if (sent++ == 0) {
      std::this_thread::sleep_for(500ms);
      left_at_first = live->waiting();
    }
    return true;
  });
  ASSERT_TRUE(end) << end.error().message;
  EXPECT_EQ(sent, 64);
  EXPECT_GT(left_at_first, 40u);  // the rest fits into the sockets' buffers
}

}  // namespace
}  // namespace sandboxrun::kube
