// The record that the guard leaves, whatever the run writes into its place.
#include <gtest/gtest.h>

#include "sandbox-image/protocol/guard_record.h"
#include "tests/support/guard_process.h"

namespace sandboxrun::test {
namespace {

/// Runs a command that leaves `content` in the termination log.
std::string record_after_writing(const std::string& content) {
  DirectGuard guard({"--", "/bin/sh", "-c", "cat $FOLDER/content > $LOG; : > $FOLDER/done"},
                    {"SANDBOXRUN_TOKEN=" + std::string(128, 't')}, [] { usleep(50000); });
  write_file(guard.folder() / "content", content);
  EXPECT_EQ(guard.wait().code, 0);
  return guard.record_text();
}

std::string message_after_writing(const std::string& content) {
  return field(parse_record(record_after_writing(content)), "message");
}

TEST(GuardRecord, HasEveryKeyOnceInOneLine) {
  DirectGuard guard({"--", "/bin/true"}, {"SANDBOXRUN_TOKEN=4f0c"});
  guard.wait();
  auto record = guard.record();
  std::vector<std::string> keys;
  for (const auto& entry : record.entries) keys.push_back(entry.key);
  EXPECT_EQ(keys, (std::vector<std::string>{"v", "token", "stage", "cause", "code", "started",
                                            "childCode", "features", "detail", "message"}));
  keys.clear();
  for (const auto& entry : record.find("features")->entries) keys.push_back(entry.key);
  EXPECT_EQ(keys,
            (std::vector<std::string>{"noNewPrivs", "seccomp", "network", "speculationStoreBypass",
                                      "speculationIndirectBranch", "landlock", "userNamespace"}));
  EXPECT_EQ(field(record, "v"), "1");
  EXPECT_EQ(field(record, "token"), "4f0c");
  EXPECT_EQ(field(record, "features.noNewPrivs"), "yes");
  EXPECT_EQ(field(record, "features.seccomp"), "yes");
  EXPECT_EQ(field(record, "features.network"), "none");
}

TEST(GuardRecord, NamesTheNetworkThatWasAllowed) {
  DirectGuard guard({"--network", "any", "--", "/bin/true"});
  guard.wait();
  EXPECT_EQ(field(guard.record(), "features.network"), "any");
}

TEST(GuardRecord, WithoutATokenItIsEmpty) {
  DirectGuard guard({"--", "/bin/true"});
  guard.wait();
  EXPECT_EQ(field(guard.record(), "token"), "");
}

TEST(GuardRecord, ATokenOver128BytesIsRefused) {
  DirectGuard guard({"--", "/bin/echo", "ran"}, {"SANDBOXRUN_TOKEN=" + std::string(129, 'x')});
  auto end = guard.wait();
  EXPECT_EQ(end.code, 125);
  EXPECT_EQ(end.out, "");
  EXPECT_EQ(field(guard.record(), "detail"), "SANDBOXRUN_TOKEN is longer than 128 bytes");
}

TEST(GuardRecord, EveryKindOfEndDecodesAsWhatTheReaderKnows) {
  using protocol::GuardCause;
  struct Case {
    std::vector<std::string> arguments;
    GuardCause cause;
    int code;
  };
  const std::string sleep = "/bin/sleep";
  for (const auto& [arguments, cause, code] : std::vector<Case>{
           {{"--", "/bin/sh", "-c", "echo text > $LOG; exit 3"}, GuardCause::Exited, 3},
           {{"--", "/bin/sh", "-c", "kill -9 $$"}, GuardCause::Signaled, 137},
           {{"--", "/nonexistent"}, GuardCause::NotFound, 127},
           {{"--", "/etc/passwd"}, GuardCause::NotExecutable, 126},
           {{"--deadline", "1", "--", sleep, "60"}, GuardCause::Deadline, 124},
           {{"--step", "9", "1", "/bin/false", "--", sleep, "60"}, GuardCause::SetupFailed, 123},
           {{"--step", "1", "2", sleep, "60", "--", sleep, "60"}, GuardCause::SetupTimeout, 123},
           {{"--nofile", "0"}, GuardCause::GuardFailed, 125}}) {
    DirectGuard guard(arguments, {"SANDBOXRUN_TOKEN=4f0c"});
    EXPECT_EQ(guard.wait().code, code);
    auto record = protocol::decode_guard_record(guard.record_text());
    ASSERT_TRUE(record.has_value()) << record.error().message;
    EXPECT_EQ(record->cause, cause);
    EXPECT_EQ(record->code, code);
    EXPECT_EQ(record->token, "4f0c");
  }
}

TEST(GuardRecord, KeepsTheRunsOwnText) {
  EXPECT_EQ(message_after_writing("first\nsecond \"quoted\" \\ \t tab\n"),
            "first\nsecond \"quoted\" \\ \t tab\n");
}

TEST(GuardRecord, T23_ControlCharactersAreEscaped) {
  auto line = record_after_writing("\x1b[2J\x07\x7f\r");
  EXPECT_NE(line.find("\\u001b[2J\\u0007\\u007f\\u000d"), std::string::npos) << line;
}

TEST(GuardRecord, T23_InvalidUtf8BecomesTheReplacementCharacter) {
  const std::string kReplacement = "\xEF\xBF\xBD";
  EXPECT_EQ(message_after_writing("a\xff"
                                  "b"),
            "a" + kReplacement + "b");
  EXPECT_EQ(message_after_writing("\xc0\x80"), kReplacement + kReplacement) << "overlong";
  EXPECT_EQ(message_after_writing("\xed\xa0\x80"), kReplacement + kReplacement + kReplacement)
      << "surrogate";
  EXPECT_EQ(message_after_writing("\xf4\x90\x80\x80").size(), 12U) << "beyond U+10FFFF";
  EXPECT_EQ(message_after_writing("caf\xc3\xa9 \xf0\x9f\x8c\xa6 \xe2\x82"),
            "caf\xc3\xa9 \xf0\x9f\x8c\xa6 " + kReplacement + kReplacement);
}

TEST(GuardRecord, T23_KeepsTheLast2KiB) {
  EXPECT_EQ(message_after_writing(std::string(100000, 'x') + std::string(2048, 'y')),
            std::string(2048, 'y'));
}

TEST(GuardRecord, T23_ACharacterThatTheCutSplitsIsDropped) {
  EXPECT_EQ(message_after_writing("\xf0\x9f\x8c\xa6" + std::string(2046, 'y')),
            std::string(2046, 'y'));
}

TEST(GuardRecord, T23_StaysWithin4096BytesWhateverNeedsEscaping) {
  for (char byte : {'\0', '\x01', '"', '\\', '\xff', '\x80', 'a'}) {
    auto line = record_after_writing(std::string(5000, byte));
    EXPECT_LE(line.size(), 4096U) << "byte " << static_cast<int>(byte);
    auto message = field(parse_record(line), "message");
    EXPECT_GT(message.size(), 500U) << "byte " << static_cast<int>(byte);
  }
}

TEST(GuardRecord, T23_WhatDoesNotFitIsCutFromTheBeginning) {
  auto message = message_after_writing(std::string(2000, '\x01') + "the end");
  EXPECT_TRUE(message.ends_with("\x01the end"));
  EXPECT_LT(message.size(), 2007U);
}

TEST(GuardRecord, T23_ARecordWrittenByTheRunIsOnlyItsMessage) {
  const std::string forged =
      R"({"v":1,"token":"","stage":"run","cause":"exited","code":0,"started":true})"
      "\n";
  DirectGuard guard({"--", "/bin/sh", "-c", "printf '%s\\n' \"$FORGED\" > $LOG; exit 3"},
                    {"FORGED=" + forged.substr(0, forged.size() - 1), "SANDBOXRUN_TOKEN=real"});
  EXPECT_EQ(guard.wait().code, 3);
  auto record = guard.record();
  EXPECT_EQ(field(record, "token"), "real");
  EXPECT_EQ(field(record, "code"), "3");
  EXPECT_EQ(field(record, "message"), forged);
}

TEST(GuardRecord, WhatTheLogHeldBeforeTheRunIsNotItsMessage) {
  TempFolder folder;
  auto log = folder.path() / "log";
  write_file(log, "left by somebody else");
  auto end = run_process({.argv = {built_program("guard"), "--unsafe-skip-environment-checks",
                                   "--termination-log", log.string(), "--", "/bin/true"}});
  EXPECT_EQ(end.code, 0);
  EXPECT_EQ(field(parse_record(read_file(log)), "message"), "");
}

}  // namespace
}  // namespace sandboxrun::test
