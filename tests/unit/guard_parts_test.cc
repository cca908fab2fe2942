// Properties of the guard's parser and record over many inputs, in process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "operator/base/document.h"
#include "operator/base/json_writer.h"

extern "C" {
#include "sandbox-image/guard/options.h"
#include "sandbox-image/guard/record.h"
#include "sandbox-image/guard/text.h"
}

namespace sandboxrun {
namespace {

TEST(GuardOptions, RandomLinesAreUnderstoodWithinBoundsOrRefusedWithOnePrintableLine) {
  const std::vector<std::string> words = {"--deadline",
                                          "--grace",
                                          "--network",
                                          "--nofile",
                                          "--nproc",
                                          "--fsize",
                                          "--activate",
                                          "--require-userns",
                                          "--strict-speculation",
                                          "--no-service-variables",
                                          "--termination-log",
                                          "--record-fd",
                                          "--step",
                                          "--unsafe-skip-environment-checks",
                                          "--",
                                          "none",
                                          "any",
                                          "/path",
                                          "",
                                          "0",
                                          "1",
                                          "3",
                                          "20",
                                          "2147483647",
                                          "2147483648",
                                          "9223372036854775807",
                                          "9223372036854775808",
                                          "-1",
                                          "+1",
                                          "0x10",
                                          " 1",
                                          "1 ",
                                          "--help",
                                          "--version",
                                          "cmd",
                                          "\xff\x1b",
                                          std::string(5000, '9')};
  std::mt19937 random(20240607);
  std::uniform_int_distribution<std::size_t> pick(0, words.size() - 1);
  std::uniform_int_distribution<int> length(0, 14);
  int understood = 0;
  for (int round = 0; round < 200000; ++round) {
    std::vector<std::string> line = {"guard"};
    for (int i = length(random); i > 0; --i) line.push_back(words[pick(random)]);
    if (round % 2 == 0) line.insert(line.end(), {"--", "command"});
    std::vector<char*> argv;
    for (auto& word : line) argv.push_back(word.data());
    argv.push_back(nullptr);
    guard_options options;
    char error[256] = "";
    auto result = guard_parse_options(static_cast<int>(line.size()), argv.data(), &options, error,
                                      sizeof error);
    if (result == kParseError) {
      ASSERT_GT(std::strlen(error), 0U);
      for (const char* c = error; *c != '\0'; ++c) ASSERT_TRUE(*c >= 0x20 && *c < 0x7f) << error;
    } else if (result == kParseOk) {
      ++understood;
      ASSERT_GE(options.command_argc, 1);
      ASSERT_EQ(options.command[options.command_argc], nullptr);
      ASSERT_TRUE(options.deadline_seconds == -1 || options.deadline_seconds >= 1);
      ASSERT_TRUE(options.grace_seconds >= 0 && options.grace_seconds <= 3600);
      ASSERT_TRUE(options.nofile == -1 || (options.nofile >= 16 && options.nofile <= 1048576));
      ASSERT_TRUE(options.nproc == -1 || (options.nproc >= 1 && options.nproc <= 4194304));
      ASSERT_GE(options.fsize, -1);
      ASSERT_TRUE(options.record_fd == -1 || options.record_fd >= 3);
      for (int i = 0; i < options.step_count; ++i) {
        ASSERT_GE(options.steps[i].timeout_seconds, 1);
        ASSERT_LE(options.steps[i].argv + options.steps[i].argc, argv.data() + line.size());
      }
    }
  }
  EXPECT_GT(understood, 1000);
}

std::string random_bytes(std::mt19937& random, std::size_t size) {
  static const std::vector<std::string> kinds = {
      std::string(1, '\0'), "\x01",     "\"",   "\\",          "\n", "a", "\xff", "\xc3\xa9",
      "\xf0\x9f\x8c\xa6",   "\xe2\x82", "\x7f", "\xed\xa0\x80"};
  std::uniform_int_distribution<std::size_t> pick(0, kinds.size() - 1);
  std::uniform_int_distribution<int> mixed(0, 3);
  // Some of one kind only: they are what reaches a bound.
  const bool one_kind = mixed(random) == 0;
  std::size_t kind = pick(random);
  std::string bytes;
  while (bytes.size() < size) bytes += kinds[one_kind ? kind : pick(random)];
  bytes.resize(size);
  return bytes;
}

TEST(GuardRecordBounds, T23_TheLargestRecordOfAnyContentIsOneLineOfValidJsonWithin4096Bytes) {
  std::mt19937 random(20240607);
  std::uniform_int_distribution<std::size_t> message_size(0, kMaxMessage);
  for (int round = 0; round < 20000; ++round) {
    guard_record record;
    record_init(&record);
    record.code = 255;
    record.step = 63;
    record.child_code = 255;
    record.features.landlock = 2147483647;
    // The worst that may come: every byte of token and detail needs six.
    std::memset(record.token, 1, kMaxToken);
    std::memset(record.detail, 1, round % 2 == 0 ? kMaxDetail : 0);
    const std::string message =
        random_bytes(random, round % 3 == 0 ? std::size_t{kMaxMessage} : message_size(random));
    char line[kMaxRecord];
    const std::string text(line, record_render(&record, message.data(), message.size(), line));
    ASSERT_LE(text.size(), 4096U);
    ASSERT_EQ(text.find('\n'), text.size() - 1);
    auto node = parse_json(text);
    ASSERT_TRUE(node.has_value()) << node.error().message;
    const std::string& kept = node->find("message")->text;
    ASSERT_EQ(node->find("token")->text, std::string(kMaxToken, '\x01'));
    // What is kept is the end of what was written. A cut never splits a character.
    const std::string whole = to_valid_utf8(message);
    ASSERT_EQ(to_valid_utf8(kept), kept);
    if (message.find('\xed') == std::string::npos && message.find('\xe2') == std::string::npos) {
      ASSERT_TRUE(whole.ends_with(kept));
    }
  }
}

TEST(GuardText, Utf8LengthFollowsRfc3629) {
  struct Case {
    std::string bytes;
    std::size_t length;
  };
  for (const auto& [bytes, length] : std::vector<Case>{{"a", 1},
                                                       {"\x7f", 1},
                                                       {"\x80", 0},
                                                       {"\xc1\xbf", 0},
                                                       {"\xc2\x80", 2},
                                                       {"\xc2", 0},
                                                       {"\xdf\xbf", 2},
                                                       {"\xe0\x9f\xbf", 0},
                                                       {"\xe0\xa0\x80", 3},
                                                       {"\xed\x9f\xbf", 3},
                                                       {"\xed\xa0\x80", 0},
                                                       {"\xef\xbf\xbf", 3},
                                                       {"\xf0\x8f\xbf\xbf", 0},
                                                       {"\xf0\x90\x80\x80", 4},
                                                       {"\xf4\x8f\xbf\xbf", 4},
                                                       {"\xf4\x90\x80\x80", 0},
                                                       {"\xf5\x80\x80\x80", 0},
                                                       {"\xff", 0},
                                                       {"\xe2\x82", 0},
                                                       {"\xe2\x41\x82", 0}}) {
    EXPECT_EQ(text_utf8_length(bytes.data(), bytes.size()), length)
        << testing::PrintToString(bytes);
  }
  EXPECT_EQ(text_utf8_length("", 0), 0U);
}

}  // namespace
}  // namespace sandboxrun
