#include "operator/pod/names.h"

#include <gtest/gtest.h>

#include <random>
#include <regex>
#include <set>

namespace sandboxrun::pod {
namespace {

constexpr std::string_view kUid = "0f4c1d7e-0000-4000-8000-000000000000";

TEST(PodName, IsTheRunsNameAHashAndTheAttempt) {
  const std::string name = pod_name("team", "weather", kUid, 2);
  EXPECT_TRUE(std::regex_match(name, std::regex("weather-[0-9a-f]{12}-2"))) << name;
}

TEST(PodName, IsTheSameForTheSameAttempt) {
  EXPECT_EQ(pod_name("team", "weather", kUid, 1), pod_name("team", "weather", kUid, 1));
}

TEST(PodName, T19_DiffersByNamespaceNameUidAndAttempt) {
  const std::set<std::string> names = {
      pod_name("team", "weather", kUid, 1), pod_name("other", "weather", kUid, 1),
      pod_name("team", "climate", kUid, 1), pod_name("team", "weather", "another-uid", 1),
      pod_name("team", "weather", kUid, 2)};
  EXPECT_EQ(names.size(), 5U);
}

TEST(PodName, T19_NamesThatAreShortenedToTheSameStillDiffer) {
  const std::string stem(60, 'x');
  EXPECT_NE(pod_name("team", stem + "-a", kUid, 1), pod_name("team", stem + "-b", kUid, 1));
}

TEST(PodName, T19_ARunMadeAgainUnderItsNameGetsAnotherPod) {
  EXPECT_NE(pod_name("team", "weather", "uid-of-the-first", 1),
            pod_name("team", "weather", "uid-of-the-second", 1));
}

TEST(PodName, T19_IsAlwaysADnsSubdomainOfAtMost63Characters) {
  const std::regex subdomain("[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*");
  std::mt19937 random(19);
  constexpr std::string_view kMiddle = "abcxyz019-.";
  for (int i = 0; i < 5000; ++i) {
    std::string run = "r";
    const std::size_t length = 1 + random() % 63;
    while (run.size() < length) {
      const char c = kMiddle[random() % kMiddle.size()];
      const bool after_separator = run.back() == '-' || run.back() == '.';
      run += after_separator && (c == '.' || c == '-') ? 'a' : c;
    }
    if (run.back() == '-' || run.back() == '.') run.back() = 'z';
    const std::string name = pod_name("team", run, kUid, 1 + i % 11);
    ASSERT_LE(name.size(), 63U) << run;
    ASSERT_TRUE(std::regex_match(name, subdomain)) << run << " -> " << name;
  }
}

TEST(ShortHash, IsTheBeginningOfSha256) {
  EXPECT_EQ(short_hash("", 8), "e3b0c442");
  EXPECT_EQ(short_hash("", 64).size(), 64U);
}

}  // namespace
}  // namespace sandboxrun::pod
