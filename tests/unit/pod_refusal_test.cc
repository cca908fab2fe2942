#include "operator/pod/refusal.h"

#include <gtest/gtest.h>

namespace sandboxrun::pod {
namespace {

using run::RefusalKind;
using run::TroubleKind;

const TimePoint kAt = *parse_time("2026-05-01T08:00:00Z");

struct Case {
  const char* name;
  int status;
  const char* message;
  RefusalKind expected;
};

class Refused : public ::testing::TestWithParam<Case> {};

TEST_P(Refused, IsToldFromTheOthers) {
  const auto& [name, status, message, expected] = GetParam();
  EXPECT_EQ(refusal({.status = status, .message = message}, kAt).kind, expected);
}

INSTANTIATE_TEST_SUITE_P(
    Refusal, Refused,
    ::testing::Values(
        Case{"ByAQuota", 403,
             "pods \"x\" is forbidden: exceeded quota: runs, requested: pods=1, used: pods=5, "
             "limited: pods=5",
             RefusalKind::Quota},
        Case{"ByAQuotaThatWantsMore", 403,
             "pods \"x\" is forbidden: failed quota: runs: must specify limits.example.com/gpu",
             RefusalKind::Quota},
        Case{"ByAQuotaThatIsBusy", 409,
             "Operation cannot be fulfilled on resourcequotas \"runs\": the object has been "
             "modified",
             RefusalKind::Quota},
        Case{"ByALimitRange", 403,
             "pods \"x\" is forbidden: maximum memory usage per Container is 64Mi, but limit is "
             "704Mi",
             RefusalKind::LimitRange},
        Case{"ByALimitRangeForPods", 403,
             "pods \"x\" is forbidden: [maximum cpu usage per Pod is 1, but limit is 2, maximum "
             "memory usage per Pod is 1Gi, but limit is 2Gi]",
             RefusalKind::LimitRange},
        Case{"ByARatio", 403,
             "pods \"x\" is forbidden: cpu max limit to request ratio per Container is 2, but "
             "provided ratio is 10.000000",
             RefusalKind::LimitRange},
        Case{"ByAWebhook", 403,
             "admission webhook \"policy.example\" denied the request: exceeded quota: not really",
             RefusalKind::Webhook},
        Case{"ByAWebhookWithACodeOfItsOwn", 400,
             "admission webhook \"policy.example\" denied the request: no", RefusalKind::Webhook},
        Case{"ByAWebhookThatIsDown", 500,
             "Internal error occurred: failed calling webhook \"policy.example\": timeout",
             RefusalKind::Webhook},
        Case{"ByAnAdmissionPolicy", 422,
             "pods \"x\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied "
             "request: no",
             RefusalKind::Webhook},
        Case{"ByPodSecurity", 403,
             "pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\": seccompProfile",
             RefusalKind::PodSecurity},
        Case{"ForAMissingRuntimeClass", 403,
             "pods \"x\" is forbidden: pod rejected: RuntimeClass \"gvisor\" not found",
             RefusalKind::RuntimeClassMissing},
        Case{"ForAMissingPriorityClass", 403,
             "pods \"x\" is forbidden: no PriorityClass with name batch was found",
             RefusalKind::ReferenceMissing},
        Case{"ByANamespaceThatEnds", 403,
             "pods \"x\" is forbidden: unable to create new content in namespace team because it "
             "is being terminated",
             RefusalKind::NamespaceEnding},
        Case{"ByANamespaceThatIsGone", 404, "namespaces \"team\" not found",
             RefusalKind::NamespaceEnding},
        Case{"ForAMissingAccount", 403,
             "pods \"x\" is forbidden: error looking up service account team/default: "
             "serviceaccount \"default\" not found",
             RefusalKind::Other},
        Case{"ForAMissingRight", 403,
             "pods is forbidden: User \"system:serviceaccount:a:b\" cannot create resource "
             "\"pods\" in API group \"\" in the namespace \"team\"",
             RefusalKind::Other},
        Case{"ForABadField", 422, "Pod \"x\" is invalid: spec.containers[0].image: Required value",
             RefusalKind::Invalid},
        Case{"ForABodyThatIsNoPod", 400, "unable to decode", RefusalKind::Invalid},
        Case{"ForItsSize", 413, "Request entity too large", RefusalKind::Invalid},
        Case{"ByAnOverloadedServer", 429, "too many requests", RefusalKind::Unavailable},
        Case{"ByABrokenServer", 503, "", RefusalKind::Unavailable},
        Case{"ByNobody", 0, "", RefusalKind::Unavailable}),
    [](const auto& each) { return each.param.name; });

TEST(Refusal, ACauseSaysThatTheNamespaceEnds) {
  const auto found = refusal({.status = 403,
                              .reason = "Forbidden",
                              .message = "other words",
                              .causes = {"NamespaceTerminating"}},
                             kAt);
  EXPECT_EQ(found.kind, RefusalKind::NamespaceEnding);
}

TEST(Refusal, KeepsTheServersWordsAndTheTime) {
  const auto found = refusal({.status = 403, .message = "exceeded quota: runs"}, kAt);
  EXPECT_EQ(found.message, "exceeded quota: runs");
  EXPECT_EQ(found.at, kAt);
}

TEST(Refusal, SaysSomethingWhereTheServerDidNot) {
  EXPECT_EQ(refusal({.status = 503}, kAt).message, "the API server answered 503");
  EXPECT_EQ(refusal({}, kAt).message, "the API server did not answer");
}

TEST(Trouble, AMissingSecretVolumeIsAMissingReference) {
  const auto found = trouble(
      "FailedMount", "MountVolume.SetUp failed for volume \"s\" : secret \"keys\" not found");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->kind, TroubleKind::ReferenceMissing);
}

TEST(Trouble, AMissingKeyIsAMissingReference) {
  const auto found = trouble("FailedMount",
                             "MountVolume.SetUp failed for volume \"s\" : references non-existent "
                             "secret key: AWS_ACCESS_KEY_ID");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->kind, TroubleKind::ReferenceMissing);
}

TEST(Trouble, AMissingHandlerIsTheRuntimeClass) {
  const auto found = trouble("FailedCreatePodSandBox",
                             "Failed to create pod sandbox: rpc error: unable to get OCI runtime "
                             "for sandbox: no runtime for \"runsc\" is configured");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->kind, TroubleKind::RuntimeClass);
}

TEST(Trouble, AHandlerWithoutUserNamespacesIsTheRuntimeClass) {
  const auto found = trouble("FailedCreatePodSandBox",
                             "Failed to create pod sandbox: runtime does not support user "
                             "namespaces");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->kind, TroubleKind::RuntimeClass);
}

TEST(Trouble, AnotherSandboxFailureIsTheSandbox) {
  const auto found = trouble("FailedCreatePodSandBox", "failed to setup network for sandbox");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->kind, TroubleKind::Sandbox);
  EXPECT_EQ(found->message, "FailedCreatePodSandBox: failed to setup network for sandbox");
}

TEST(Trouble, OrdinaryEventsAreNone) {
  for (const char* reason : {"Pulled", "Started", "Scheduled", "FailedScheduling", "BackOff"}) {
    EXPECT_FALSE(trouble(reason, "secret \"x\" not found")) << reason;
  }
}

}  // namespace
}  // namespace sandboxrun::pod
