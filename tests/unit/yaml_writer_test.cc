#include "operator/base/yaml_writer.h"

#include <gtest/gtest.h>

#include "operator/base/json_writer.h"

namespace sandboxrun {
namespace {

std::string yaml(std::string_view json) {
  const auto text = json_to_yaml(json);
  return text ? *text : text.error().message;
}

TEST(YamlWriter, PrintsMapsAndListsAsKubectlDoes) {
  EXPECT_EQ(yaml(R"({"a":{"b":[1,{"c":2,"d":[]},[3,4]],"e":{}},"f":null,"g":1.50,"h":true})"),
            "a:\n"
            "  b:\n"
            "  - 1\n"
            "  - c: 2\n"
            "    d: []\n"
            "  - - 3\n"
            "    - 4\n"
            "  e: {}\n"
            "f: null\n"
            "g: 1.50\n"
            "h: true\n");
}

TEST(YamlWriter, PrintsTextOfManyLinesAsABlock) {
  EXPECT_EQ(yaml(R"({"a":["x\n\n y\n"],"b":"x\ny","c":"x\n\n"})"),
            "a:\n- |\n  x\n\n   y\nb: |-\n  x\n  y\nc: |+\n  x\n\n");
}

TEST(YamlWriter, PrintsScalarsAtTheTop) {
  EXPECT_EQ(yaml("7"), "7\n");
  EXPECT_EQ(yaml("[]"), "[]\n");
  EXPECT_EQ(yaml(R"("a: b")"), "\"a: b\"\n");
}

TEST(YamlWriter, RefusesWhatIsNotJson) {
  EXPECT_FALSE(json_to_yaml("{"));
}

class Quoted : public ::testing::TestWithParam<const char*> {};

TEST_P(Quoted, StaysAString) {
  Node node;
  node.kind = Node::Kind::String;
  node.text = GetParam();
  std::string expected;
  append_json_string(expected, GetParam());
  EXPECT_EQ(to_yaml(node), expected + "\n");
}

INSTANTIATE_TEST_SUITE_P(YamlWriter, Quoted,
                         ::testing::Values("", "true", "Yes", "NO", "on", "off", "y", "n", "null",
                                           "~", "<<", "=", "12", "0x1F", "0o7", "1e3", "1_000",
                                           "12:30:45", "2026-05-01", "-1", "+1", ".5", ".inf",
                                           "-.INF", ".nan", "-", "?", "- a", "? a", ": a", "a: b",
                                           "a #b", "#a", "a:", " a", "a ", "[a", "{a", "*a", "&a",
                                           "!a", "|", ">", "'a", "\"a", "%a", "@a", "`a", ",a",
                                           "a\tb", "\n", " \n x", "x \ny", "\xC3\xA9"));

class Plain : public ::testing::TestWithParam<const char*> {};

TEST_P(Plain, NeedsNoQuotes) {
  Node node;
  node.kind = Node::Kind::String;
  node.text = GetParam();
  EXPECT_EQ(to_yaml(node), std::string(GetParam()) + "\n");
}

INSTANTIATE_TEST_SUITE_P(YamlWriter, Plain,
                         ::testing::Values("a", "sha256:ab", "/work/a", "it's", "a, b", "a#b",
                                           "registry.example/base@sha256:ab", "nullable"));

TEST(YamlWriter, T23_EscapesWhatATerminalWouldObey) {
  Node node;
  node.kind = Node::Kind::String;
  node.text = "\x1b[2J\xC2\x9B\xE2\x80\xA8\xEF\xBB\xBF\xff";
  EXPECT_EQ(to_yaml(node), "\"\\u001b[2J\\u009b\\u2028\\ufeff\xEF\xBF\xBD\"\n");
}

}  // namespace
}  // namespace sandboxrun
