#include "operator/base/log.h"

#include <gtest/gtest.h>

#include <memory>
#include <sstream>
#include <string>
#include <type_traits>

#include "operator/base/document.h"

namespace sandboxrun {
namespace {

static_assert(!std::is_constructible_v<LogField, const char*, Secret>);

TEST(Log, S4_ASecretIsNoFieldButTextIs) {
  EXPECT_TRUE((std::is_constructible_v<LogField, const char*, std::string>));
  EXPECT_FALSE((std::is_constructible_v<LogField, const char*, Secret>));
}

TEST(Log, AnEventIsOneLineOfJson) {
  std::ostringstream out;
  Log(LogLevel::Info, LogFormat::Json, out)
      .info("a run\nhas ended", {{"name", "r"}, {"code", 3}, {"ok", false}});
  const std::string text = out.str();
  ASSERT_EQ(text.find('\n'), text.size() - 1);
  const auto line = parse_json(text);
  ASSERT_TRUE(line) << line.error().message;
  EXPECT_EQ(line->find("level")->text, "info");
  EXPECT_EQ(line->find("msg")->text, "a run\nhas ended");
  EXPECT_EQ(line->find("name")->text, "r");
  EXPECT_EQ(line->find("code")->integer, 3);
  EXPECT_FALSE(line->find("ok")->boolean);
}

TEST(Log, TextKeepsAnEventOnOneLine) {
  std::ostringstream out;
  Log(LogLevel::Info, LogFormat::Text, out).warn("two\nlines", {{"why", "a \"b\"\nc"}});
  EXPECT_TRUE(out.str().ends_with("Z warn two lines why=\"a \\\"b\\\"\\nc\"\n")) << out.str();
}

TEST(Log, AScopeIsInEveryLineBeforeTheLinesOwnFields) {
  std::ostringstream out;
  {
    const Log log(LogLevel::Info, LogFormat::Text, out);
    const ScopedLog scoped(log, {{"name", "r"}, {"reconcileID", "7"}});
    scoped.warn("first", {{"why", "x"}});
    scoped.error("second");
  }
  EXPECT_TRUE(out.str().contains(" warn first name=r reconcileID=7 why=x\n")) << out.str();
  EXPECT_TRUE(out.str().ends_with(" error second name=r reconcileID=7\n")) << out.str();
}

TEST(Log, WhatIsBelowTheLevelIsNotWritten) {
  std::ostringstream out;
  Log(LogLevel::Warn, LogFormat::Json, out).info("nothing");
  EXPECT_EQ(out.str(), "");
}

}  // namespace
}  // namespace sandboxrun
