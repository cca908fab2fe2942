#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operator/kube/discovery.h"
#include "tests/api/transport_fixture.h"

namespace sandboxrun::kube {
namespace {

using namespace std::chrono_literals;
using test::Answer;
using test::FakeApiServer;

struct AnswerCase {
  int code;
  std::string reason;
  ErrorKind kind;
  bool transient;
};

TEST(Errors, EachStatusHasItsKind) {
  const std::vector<AnswerCase> cases = {
      {400, "BadRequest", ErrorKind::Invalid, false},
      {401, "Unauthorized", ErrorKind::Unauthorized, true},
      {403, "Forbidden", ErrorKind::Forbidden, false},
      {404, "NotFound", ErrorKind::NotFound, false},
      {409, "Conflict", ErrorKind::Conflict, false},
      {409, "AlreadyExists", ErrorKind::AlreadyExists, false},
      {410, "Expired", ErrorKind::Gone, false},
      {422, "Invalid", ErrorKind::Invalid, false},
      {429, "TooManyRequests", ErrorKind::TooManyRequests, true},
      {500, "InternalError", ErrorKind::ServerError, true},
      {503, "ServiceUnavailable", ErrorKind::ServerError, true},
      {504, "Timeout", ErrorKind::Timeout, true},
  };
  FakeApiServer server;
  const auto transport = transport_to(plain_config(server));
  for (const auto& one : cases) {
    server.once("GET", kPodsPath, Answer::failure(one.code, one.reason, "because"));
    const auto answer = transport->roundtrip(get_pods(), {});
    ASSERT_FALSE(answer) << one.code;
    EXPECT_EQ(answer.error().kind, one.kind) << one.code;
    EXPECT_EQ(answer.error().reason, one.reason);
    EXPECT_EQ(answer.error().status, one.code);
    EXPECT_EQ(answer.error().status_message, "because");
    EXPECT_EQ(answer.error().is_transient(), one.transient) << one.code;
  }
}

TEST(Errors, RetryAfterComesFromTheHeader) {
  FakeApiServer server;
  server.always(
      "GET", kPodsPath,
      Answer::failure(429, "TooManyRequests", "slow down").with_header("Retry-After", "7"));
  const auto answer = transport_to(plain_config(server))->roundtrip(get_pods(), {});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().retry_after, 7s);
  EXPECT_EQ(answer.error().message,
            "list pods in namespace x: the API server is busy (429), it asks to wait 7 s");
  EXPECT_EQ(server.count("GET", kPodsPath), 1u);
}

TEST(Errors, MissingRightsNameTheRightAndTheAccount) {
  FakeApiServer server;
  server.always(
      "PATCH", "/apis/sandboxrun.dev/v1alpha1/namespaces/x/sandboxruns/a/status",
      Answer::failure(
          403, "Forbidden",
          "sandboxruns.sandboxrun.dev \"a\" is forbidden: User "
          "\"system:serviceaccount:ops:sandboxrun\" cannot patch resource "
          "\"sandboxruns/status\" in API group \"sandboxrun.dev\" in the namespace \"x\""));
  const auto answer =
      transport_to(plain_config(server))
          ->roundtrip(apply_request(kRuns, {"x", "a"}, "{}",
                                    {.field_manager = "m", .subresource = "status"}),
                      {});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().message,
            "missing rights: patch sandboxruns.sandboxrun.dev/status a in namespace x; give "
            "system:serviceaccount:ops:sandboxrun a Role or ClusterRole with that right");
}

TEST(Errors, ARefusalByQuotaIsNotCalledMissingRights) {
  const Error error = error_from_answer(
      "create pods in namespace x", 403,
      R"({"kind":"Status","reason":"Forbidden","message":"pods \"a\" is forbidden: exceeded quota: q"})");
  EXPECT_EQ(error.message,
            "create pods in namespace x was refused: pods \"a\" is forbidden: exceeded quota: q");
}

TEST(Errors, CausesAndRetryAfterComeFromTheDetails) {
  const Error error = error_from_answer(
      "list pods", 504,
      R"({"kind":"Status","reason":"Timeout","message":"Too large resource version: 9, current: 8",
          "details":{"retryAfterSeconds":1,
                     "causes":[{"reason":"ResourceVersionTooLarge","message":"Too large"}]}})");
  EXPECT_EQ(error.kind, ErrorKind::VersionTooLarge);
  EXPECT_EQ(error.retry_after, 1s);
  ASSERT_EQ(error.causes.size(), 1u);
  EXPECT_EQ(error.causes[0].reason, "ResourceVersionTooLarge");
}

TEST(Errors, TextOfTheServerIsOneBoundedLine) {
  const Error error = error_from_answer(
      "list pods", 500,
      R"({"kind":"Status","message":"a\nb\u001b[31m)" + std::string(5000, 'x') + "\"}");
  EXPECT_EQ(error.status_message.substr(0, 8), "a b [31m");
  EXPECT_LE(error.status_message.size(), 2051u);
}

TEST(Errors, AWatchEventsStatusIsReadLikeAnAnswer) {
  const Error error = error_from_status(
      "watch pods",
      R"({"kind":"Status","code":410,"reason":"Expired","message":"too old resource version"})");
  EXPECT_EQ(error.kind, ErrorKind::Gone);
  EXPECT_EQ(error.status, 410);
  EXPECT_EQ(error_from_status("watch pods", "[]").kind, ErrorKind::Malformed);
}

// --- discovery, deletion -------------------------------------------------------------------------

TEST(Discovery, ReadsTheVersionAndTheGroups) {
  FakeApiServer server;
  server.always("GET", "/version",
                Answer::json(R"({"major":"1","minor":"36+","gitVersion":"v1.36.1"})"));
  server.always(
      "GET", "/apis",
      Answer::json(R"({"kind":"APIGroupList","groups":[{"name":"sandboxrun.dev","versions":
                       [{"groupVersion":"sandboxrun.dev/v1alpha1","version":"v1alpha1"}]}]})"));
  const auto transport = transport_to(plain_config(server));
  const auto info = discover(*transport, {});
  ASSERT_TRUE(info) << info.error().message;
  EXPECT_EQ(info->git_version, "v1.36.1");
  EXPECT_TRUE(info->at_least(1, 36));
  EXPECT_FALSE(info->at_least(1, 37));
  EXPECT_TRUE(info->serves("sandboxrun.dev/v1alpha1"));
  EXPECT_FALSE(info->serves("sandboxrun.dev/v1"));
}

TEST(Discovery, AGroupThatIsNotThereServesNothing) {
  FakeApiServer server;
  server.always("GET", "/apis/a/v1", Answer::json(R"({"resources":[{"name":"things"}]})"));
  const auto transport = transport_to(plain_config(server));
  EXPECT_EQ(serves_resource(*transport, "a/v1", "things", {}).value(), true);
  EXPECT_EQ(serves_resource(*transport, "a/v1", "others", {}).value(), false);
  EXPECT_EQ(serves_resource(*transport, "b/v1", "things", {}).value(), false);
}

TEST(Delete, CarriesItsPreconditions) {
  FakeApiServer server;
  server.always("DELETE", kPodsPath + "/a", Answer::json("{}"));
  ASSERT_TRUE(
      transport_to(plain_config(server))
          ->roundtrip(delete_request(kPods, {"x", "a"}, {.uid = "u-1", .resource_version = "7"}),
                      {}));
  EXPECT_EQ(server.requests().at(0).body,
            R"({"apiVersion":"v1","kind":"DeleteOptions","preconditions":{"uid":"u-1",)"
            R"("resourceVersion":"7"},"propagationPolicy":"Background"})");
}

}  // namespace
}  // namespace sandboxrun::kube
