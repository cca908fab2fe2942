#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operator/cli/text.h"

namespace sandboxrun::cli {
namespace {

using std::chrono::milliseconds;

std::string neutralized(std::string_view bytes) {
  Neutralizer neutralizer;
  std::string out = neutralizer.feed(bytes);
  return out + neutralizer.finish();
}

TEST(HumanBytes, AreDecimalWithThreeDigits) {
  const std::pair<std::int64_t, std::string_view> cases[] = {
      {0, "0 B"},          {812, "812 B"},          {999, "999 B"},           {1000, "1.0 kB"},
      {182'000, "182 kB"}, {48'200'000, "48.2 MB"}, {99'949, "99.9 kB"},      {99'950, "100 kB"},
      {999'499, "999 kB"}, {999'500, "1.0 MB"},     {1'300'000'000, "1.3 GB"}};
  for (const auto& [bytes, text] : cases) EXPECT_EQ(human_bytes(bytes), text) << bytes;
}

TEST(HumanCount, SeparatesThousands) {
  EXPECT_EQ(human_count(0), "0");
  EXPECT_EQ(human_count(999), "999");
  EXPECT_EQ(human_count(2014), "2,014");
  EXPECT_EQ(human_count(4'000'000), "4,000,000");
  EXPECT_EQ(human_count(-2014), "-2,014");
}

TEST(HumanDuration, HasTenthsBelowAMinuteAndWholeSecondsAbove) {
  EXPECT_EQ(human_duration(milliseconds(0)), "0.0 s");
  EXPECT_EQ(human_duration(milliseconds(940)), "0.9 s");
  EXPECT_EQ(human_duration(milliseconds(59'949)), "59.9 s");
  EXPECT_EQ(human_duration(milliseconds(59'950)), "1m");
  EXPECT_EQ(human_duration(milliseconds(151'400)), "2m31s");
}

TEST(ShellWords, QuotesOnlyWhatAShellWouldChange) {
  EXPECT_EQ(shell_words({"python3", "/work/plot.py", "a b", "it's", "", "$HOME"}),
            R"(python3 /work/plot.py 'a b' 'it'\''s' '' '$HOME')");
}

TEST(Fit, CutsAtCodePoints) {
  EXPECT_EQ(fit("abc", 3), "abc");
  EXPECT_EQ(fit("abcd", 3), "ab~");
  EXPECT_EQ(fit("ääää", 3), "ää~");
  EXPECT_EQ(fit("abcd", 0), "");
  EXPECT_EQ(display_width("ääää"), 4U);
}

TEST(Neutralizer, ShowsEscapeSequencesInsteadOfObeyingThem) {
  EXPECT_EQ(neutralized("\x1b[2J\x1b]0;title\x07"), R"(\x1b[2J\x1b]0;title\x07)");
}

TEST(Neutralizer, KeepsNewlineAndTabAndDropsTheReturnBeforeANewline) {
  EXPECT_EQ(neutralized("a\tb\r\nc\n"), "a\tb\nc\n");
  EXPECT_EQ(neutralized("overwritten\rby this\r"), R"(overwritten\x0dby this\x0d)");
}

TEST(Neutralizer, ShowsEveryOtherControlCharacter) {
  for (int code = 0; code < 0x20; ++code) {
    if (code == '\n' || code == '\t') continue;
    const std::string out = neutralized(std::string(1, static_cast<char>(code)) + "x");
    EXPECT_EQ(out.size(), 5U) << code;
    EXPECT_TRUE(out.starts_with("\\x")) << code;
  }
  EXPECT_EQ(neutralized("\x7f"), R"(\x7f)");
  EXPECT_EQ(neutralized("\xc2\x9b"
                        "31m"),
            R"(\x9b31m)");  // U+009B: CSI in one character
}

TEST(Neutralizer, ReplacesBytesThatAreNotUtf8) {
  const std::string replaced = "\xef\xbf\xbd";
  EXPECT_EQ(neutralized("\x9b"
                        "31m"),
            replaced + "31m");                                             // a raw C1 byte
  EXPECT_EQ(neutralized("\xc0\xaf"), replaced + replaced);                 // overlong
  EXPECT_EQ(neutralized("\xed\xa0\x80"), replaced + replaced + replaced);  // a surrogate
  EXPECT_EQ(neutralized("a\xe2\x82"), "a" + replaced);                     // cut off
}

TEST(Neutralizer, ShowsCharactersThatReorderText) {
  EXPECT_EQ(neutralized("\xe2\x80\xae"
                        "exe"),
            R"(\u202eexe)");
  EXPECT_EQ(neutralized("\xe2\x81\xa6"), R"(\u2066)");
}

TEST(Neutralizer, LeavesTextInAnyScriptAlone) {
  EXPECT_EQ(neutralized("temperatur 21 °C, 気温, 🌦"), "temperatur 21 °C, 気温, 🌦");
}

TEST(Neutralizer, GivesTheSameWhereverTheBytesAreCut) {
  const std::string text = "a\r\n°\x1b[0m\xe2\x82\xac\xf0\x9f\x8c\xa6\xff\r";
  const std::string whole = neutralized(text);
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    Neutralizer neutralizer;
    std::string out = neutralizer.feed(std::string_view(text).substr(0, cut));
    out += neutralizer.feed(std::string_view(text).substr(cut));
    out += neutralizer.finish();
    EXPECT_EQ(out, whole) << cut;
  }
}

TEST(OneLine, HasNoNewlines) {
  EXPECT_EQ(one_line("a\nb\tc\x1b"), R"(a b c\x1b)");
}

}  // namespace
}  // namespace sandboxrun::cli
