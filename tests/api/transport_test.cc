#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "tests/api/transport_fixture.h"
#include "tests/support/temp_dir.h"

namespace sandboxrun::kube {
namespace {

using namespace std::chrono_literals;
using test::Answer;
using test::FakeApiServer;
using test::FakeRequest;
using testing::HasSubstr;
using testing::Not;

TEST(Roundtrip, GivesTheBodyOfA2xxAnswer) {
  FakeApiServer server;
  server.always("GET", kPodsPath, Answer::json(R"({"kind":"PodList"})"));
  const auto answer = transport_to(plain_config(server))->roundtrip(get_pods(), {});
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->body, R"({"kind":"PodList"})");
}

TEST(Roundtrip, SendsMethodQueryBodyAndHeadersAsBuilt) {
  FakeApiServer server;
  const std::string path = "/apis/sandboxrun.dev/v1alpha1/namespaces/x/sandboxruns/a/status";
  server.always("PATCH", path, Answer::json("{}"));
  Config config = plain_config(server);
  config.credentials = StaticToken{Secret("the-token")};
  const auto transport = transport_to(config, {.user_agent = "sandboxrun/0.1"});
  const auto answer = transport->roundtrip(
      apply_request(kRuns, {"x", "a"}, R"({"a":1})",
                    {.field_manager = "sandboxrun & co", .subresource = "status"}),
      {});
  ASSERT_TRUE(answer) << answer.error().message;
  const FakeRequest seen = server.requests().at(0);
  EXPECT_EQ(seen.parameter("fieldManager"), "sandboxrun & co");
  EXPECT_EQ(seen.parameter("force"), "true");
  EXPECT_EQ(seen.body, R"({"a":1})");
  EXPECT_EQ(seen.header("content-type"), "application/apply-patch+yaml");
  EXPECT_EQ(seen.header("authorization"), "Bearer the-token");
  EXPECT_EQ(seen.header("user-agent"), "sandboxrun/0.1");
  EXPECT_EQ(seen.header("accept"), "application/json");
}

TEST(Roundtrip, PutsThePathPrefixOfTheServerBeforeThePath) {
  FakeApiServer server;
  server.always("GET", "/k8s/clusters/c-1/version", Answer::json("{}"));
  Config config = plain_config(server);
  config.endpoint.path_prefix = "/k8s/clusters/c-1";
  Request request;
  request.path = "/version";
  EXPECT_TRUE(transport_to(config)->roundtrip(request, {}));
}

TEST(Roundtrip, UsesOneConnectionForCallsInARow) {
  FakeApiServer server;
  server.always("GET", kPodsPath, Answer::json("{}"));
  const auto transport = transport_to(plain_config(server));
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(transport->roundtrip(get_pods(), {}));
  EXPECT_EQ(server.connections(), 1);
}

TEST(Roundtrip, ConnectionsAreGivenUpWhenTheyAreOld) {
  FakeApiServer server;
  server.always("GET", kPodsPath, Answer::json("{}"));
  const auto transport = transport_to(plain_config(server), {.max_client_age = 1ms});
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(transport->roundtrip(get_pods(), {}));
    std::this_thread::sleep_for(5ms);
  }
  EXPECT_EQ(server.connections(), 3);
}

TEST(Roundtrip, AnIdempotentCallSurvivesAConnectionThatDiedWhileIdle) {
  FakeApiServer server;
  server.always("GET", kPodsPath, Answer::json("{}"));
  const auto transport = transport_to(plain_config(server));
  ASSERT_TRUE(transport->roundtrip(get_pods(), {}));
  server.drop_connections();
  std::this_thread::sleep_for(20ms);
  const auto answer = transport->roundtrip(get_pods(), {});
  EXPECT_TRUE(answer) << answer.error().message;
}

TEST(Roundtrip, AnIdempotentCallIsSentAgainWhenTheAnswerBreaksOff) {
  FakeApiServer server;
  server.once("GET", kPodsPath, Answer::stream({{"{\"kind\":"}}, Answer::End::Drop));
  server.always("GET", kPodsPath, Answer::json("{}"));
  const auto answer = transport_to(plain_config(server))->roundtrip(get_pods(), {});
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->body, "{}");
  EXPECT_EQ(server.count("GET", kPodsPath), 2u);
}

TEST(Roundtrip, S5_APostOnAKeptConnectionThatDiesIsOnTheWireOnce) {
  FakeApiServer server;
  server.always("GET", kPodsPath, Answer::json("{}"));
  Answer dies;
  dies.no_answer = true;
  server.always("POST", kPodsPath, dies);
  const auto transport = transport_to(plain_config(server));
  ASSERT_TRUE(transport->roundtrip(get_pods(), {}));
  const auto answer = transport->roundtrip(create_request(kPods, "x", "{}"), {});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, ErrorKind::Unreachable);
  std::this_thread::sleep_for(100ms);
  EXPECT_EQ(server.count("POST", kPodsPath), 1u);
  EXPECT_EQ(server.requests().back().connection, 1);  // it was the kept one
}

TEST(Roundtrip, APostArrivesWithItsBodyAndLength) {
  FakeApiServer server;
  server.always("POST", kPodsPath, Answer::json("{}", 201));
  const std::string body = "{\"data\":\"" + std::string(300000, 'x') + "\"}";
  const auto answer =
      transport_to(plain_config(server))->roundtrip(create_request(kPods, "x", body), {});
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->status, 201);
  EXPECT_EQ(server.requests().at(0).body, body);
  EXPECT_EQ(server.requests().at(0).header("content-length"), std::to_string(body.size()));
}

TEST(Roundtrip, TheDeadlineIsForTheWholeAnswer) {
  FakeApiServer server;
  std::vector<Answer::Piece> drip(100, {"x", 50ms});
  server.always("GET", kPodsPath, Answer::stream(drip));
  Request request = get_pods();
  request.deadline = 300ms;
  const auto begin = std::chrono::steady_clock::now();
  const auto answer = transport_to(plain_config(server))->roundtrip(request, {});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, ErrorKind::Timeout);
  EXPECT_THAT(answer.error().message, HasSubstr("list pods in namespace x"));
  EXPECT_THAT(answer.error().message, HasSubstr("within 300 ms"));
  EXPECT_LT(since(begin), 2s);
}

TEST(Roundtrip, AStopEndsACallThatGetsNoAnswer) {
  FakeApiServer server;
  Answer silent;
  silent.silence = true;
  server.always("GET", kPodsPath, silent);
  std::stop_source stop;
  const auto transport = transport_to(plain_config(server));
  std::jthread stopper([&] {
    server.wait_for("GET", kPodsPath, 1);
    stop.request_stop();
  });
  const auto begin = std::chrono::steady_clock::now();
  const auto answer = transport->roundtrip(get_pods(), stop.get_token());
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, ErrorKind::Cancelled);
  EXPECT_LT(since(begin), 5s);
}

TEST(Roundtrip, NobodyListeningIsUnreachableAndNamesTheAddress) {
  Config config;
  {
    const FakeApiServer gone;
    config = plain_config(gone);
  }
  const auto answer = transport_to(config)->roundtrip(get_pods(), {});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, ErrorKind::Unreachable);
  EXPECT_TRUE(answer.error().is_transient());
  EXPECT_THAT(answer.error().message,
              HasSubstr("no answer from 127.0.0.1:" + std::to_string(config.endpoint.port)));
}

TEST(Roundtrip, RedirectsAreNotFollowed) {
  FakeApiServer server;
  FakeApiServer other;
  server.always("GET", kPodsPath,
                Answer::json("", 307).with_header(
                    "Location", "http://127.0.0.1:" + std::to_string(other.port()) + "/"));
  const auto answer = transport_to(plain_config(server))->roundtrip(get_pods(), {});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, ErrorKind::Malformed);
  EXPECT_EQ(answer.error().status, 307);
  EXPECT_EQ(other.connections(), 0);
}

TEST(Roundtrip, AnAnswerOverTheLimitIsMalformed) {
  FakeApiServer server;
  server.always("GET", kPodsPath, Answer::json(std::string(200000, 'x')));
  const auto answer =
      transport_to(plain_config(server), {.max_response_bytes = 100000})->roundtrip(get_pods(), {});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, ErrorKind::Malformed);
  EXPECT_THAT(answer.error().message, HasSubstr("larger than 100000 bytes"));
}

TEST(Download, GivesAnAnswerOverTheLimitOfRoundtripsInPieces) {
  FakeApiServer server;
  server.always("GET", kPodsPath, Answer::json(std::string(1 << 20, 'x')));
  std::size_t bytes = 0;
  std::size_t largest = 0;
  const auto answer = transport_to(plain_config(server), {.max_response_bytes = 100000})
                          ->download(get_pods(),
                                     [&](std::string_view piece) {
                                       bytes += piece.size();
                                       largest = std::max(largest, piece.size());
                                       return true;
                                     },
                                     {});
  EXPECT_TRUE(answer);
  EXPECT_EQ(bytes, std::size_t{1} << 20);
  EXPECT_LE(largest, 64U * 1024);
}

TEST(Download, ABodyThatBreaksOffIsUnreachableAndNotAskedForAgain) {
  FakeApiServer server;
  server.always("GET", kPodsPath, Answer::stream({{"some"}}, Answer::End::HalfChunk));
  std::string given;
  const auto answer = transport_to(plain_config(server))
                          ->download(get_pods(),
                                     [&](std::string_view piece) {
                                       given += piece;
                                       return true;
                                     },
                                     {});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, ErrorKind::Unreachable);
  EXPECT_TRUE(given.starts_with("some"));
  EXPECT_EQ(server.count("GET", kPodsPath), 1U);
}

TEST(Download, ABodyThatStandsStillIsATimeout) {
  FakeApiServer server;
  server.always("GET", kPodsPath, Answer::stream({{"some"}}, Answer::End::Stall));
  kube::Request request = get_pods();
  request.deadline = std::chrono::milliseconds(200);
  const auto answer = transport_to(plain_config(server))
                          ->download(request, [](std::string_view) { return true; }, {});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, ErrorKind::Timeout);
}

TEST(Download, IsOverWhenItsTakerHasEnough) {
  FakeApiServer server;
  server.always("GET", kPodsPath, Answer::stream({{"some"}}, Answer::End::Stall));
  const auto answer = transport_to(plain_config(server))
                          ->download(get_pods(), [](std::string_view) { return false; }, {});
  EXPECT_TRUE(answer);
}

TEST(Roundtrip, AnErrorBodyOverTheLimitIsCutAndTheStatusStillTold) {
  FakeApiServer server;
  server.always("GET", kPodsPath, Answer::json(std::string(200000, 'x'), 500));
  const auto answer =
      transport_to(plain_config(server), {.max_error_bytes = 1000})->roundtrip(get_pods(), {});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, ErrorKind::ServerError);
}

TEST(Roundtrip, AnAnswerThatIsNotHttpIsUnreachable) {
  FakeApiServer server;
  Answer garbage;
  garbage.raw = "220 mail.example.org ESMTP\r\n";
  server.always("GET", kPodsPath, garbage);
  const auto answer = transport_to(plain_config(server))->roundtrip(get_pods(), {});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, ErrorKind::Unreachable);
}

TEST(Roundtrip, TellsMetricsTheStatusOfEachCall) {
  FakeApiServer server;
  server.once("GET", kPodsPath, Answer::json("{}"));
  server.once("GET", kPodsPath, Answer::failure(500, "InternalError", "no"));
  std::vector<int> statuses;
  const auto transport = transport_to(
      plain_config(server),
      {.on_call = [&](const CallOutcome& outcome) { statuses.push_back(outcome.status); }});
  (void)transport->roundtrip(get_pods(), {});
  (void)transport->roundtrip(get_pods(), {});
  EXPECT_EQ(statuses, (std::vector{200, 500}));
}

// --- credentials ---------------------------------------------------------------------------------

TEST(Token, ARotatedTokenFileIsReadAgainOnA401) {
  const test::TempDir folder;
  test::write_file(folder / "token", "first\n");
  FakeApiServer server;
  server.always("GET", kPodsPath, Answer::json("{}"));
  server.require_token("first");
  Config config = plain_config(server);
  config.credentials = TokenFile{folder / "token"};
  const auto transport = transport_to(config);
  ASSERT_TRUE(transport->roundtrip(get_pods(), {}));
  test::write_file(folder / "token", "second\n");
  server.require_token("second");
  const auto answer = transport->roundtrip(get_pods(), {});
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(server.count("GET", kPodsPath), 3u);
  EXPECT_EQ(server.requests().back().header("authorization"), "Bearer second");
}

TEST(Token, ATokenThatStaysRefusedIsNotTriedForEver) {
  const test::TempDir folder;
  test::write_file(folder / "token", "secret-token");
  FakeApiServer server;
  server.require_token("another");
  Config config = plain_config(server);
  config.credentials = TokenFile{folder / "token"};
  const auto answer = transport_to(config)->roundtrip(get_pods(), {});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, ErrorKind::Unauthorized);
  EXPECT_THAT(answer.error().message, Not(HasSubstr("secret-token")));
  EXPECT_EQ(server.count("GET", kPodsPath), 1u);
}

TEST(Token, ARotatedTokenIsUsedForAStreamToo) {
  const test::TempDir folder;
  test::write_file(folder / "token", "first");
  FakeApiServer server;
  server.always("GET", kPodsPath, Answer::stream({{"{}\n"}}));
  Config config = plain_config(server);
  config.credentials = TokenFile{folder / "token"};
  const auto transport = transport_to(config);
  test::write_file(folder / "token", "second");
  server.require_token("second");
  Lines lines;
  EXPECT_TRUE(
      transport->stream(watch_request(kPods, {.namespace_name = "x"}, {}), lines.sink(), {}));
  EXPECT_EQ(lines.lines, (std::vector<std::string>{"{}"}));
}

// --- proxy ---------------------------------------------------------------------------------------

TEST(ProxyUse, PlainHttpGoesThroughTheProxyWithItsCredentials) {
  FakeApiServer proxy;  // sees the absolute form of the target
  proxy.fallback([](const FakeRequest&) { return Answer::json("{}"); });
  Config config;
  config.endpoint = {.tls = false, .host = "api.example", .port = 8080, .path_prefix = ""};
  config.proxy = Proxy{"127.0.0.1", proxy.port(), "u", Secret("p")};
  const auto answer = transport_to(config)->roundtrip(get_pods(), {});
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(proxy.requests().at(0).path, "http://api.example:8080" + kPodsPath);
  EXPECT_EQ(proxy.requests().at(0).header("proxy-authorization"), "Basic dTpw");
}

TEST(ProxyUse, TlsAsksTheProxyToConnect) {
  FakeApiServer proxy;
  Config config;
  config.endpoint = {.tls = true, .host = "api.example", .port = 6443, .path_prefix = ""};
  config.proxy = Proxy{"127.0.0.1", proxy.port(), "", Secret()};
  config.credentials = StaticToken{Secret("the-token")};
  const auto answer = transport_to(config)->roundtrip(get_pods(), {});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, ErrorKind::Unreachable);
  EXPECT_EQ(proxy.requests().at(0).method, "CONNECT");
  EXPECT_EQ(proxy.requests().at(0).path, "api.example:6443");
  EXPECT_EQ(proxy.requests().at(0).header("authorization"), "");
}

}  // namespace
}  // namespace sandboxrun::kube
