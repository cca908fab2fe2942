#include <gtest/gtest.h>

#include <array>

#include "operator/base/document.h"
#include "operator/base/json_writer.h"

namespace sandboxrun {
namespace {

std::string error_of(std::string_view text) {
  auto node = parse_json(text);
  return node ? "" : node.error().message;
}

TEST(ParseJson, ReadsEveryKindWithItsPlace) {
  auto node = parse_json("{\n  \"a\": [1, -2.5, true, null, \"x\\u00e9\"],\n  \"b\": {}\n}");
  ASSERT_TRUE(node) << node.error().message;
  ASSERT_EQ(node->entries.size(), 2U);
  const Node& list = node->entries[0].value;
  EXPECT_EQ(node->entries[0].key_mark, (Mark{2, 3}));
  EXPECT_EQ(list.mark, (Mark{2, 8}));
  ASSERT_EQ(list.items.size(), 5U);
  EXPECT_EQ(list.items[0].integer, 1);
  EXPECT_EQ(list.items[1].kind, Node::Kind::Float);
  EXPECT_EQ(list.items[1].text, "-2.5");
  EXPECT_TRUE(list.items[2].boolean);
  EXPECT_EQ(list.items[3].kind, Node::Kind::Null);
  EXPECT_EQ(list.items[4].text, "x\xC3\xA9");
  EXPECT_EQ(list.items[4].mark, (Mark{2, 30}));
  EXPECT_EQ(node->find("b")->kind, Node::Kind::Map);
  EXPECT_EQ(node->find("c"), nullptr);
}

TEST(ParseJson, ReadsScalarsAtTheRoot) {
  EXPECT_EQ(parse_json("7")->integer, 7);
  EXPECT_EQ(parse_json(" \"s\" ")->text, "s");
  EXPECT_EQ(parse_json("null")->kind, Node::Kind::Null);
}

TEST(ParseJson, T42_RefusesWhatIsNotStrictJson) {
  EXPECT_EQ(error_of("{\"a\":1,\n \"a\":2}"), "2:2: the key \"a\" stands twice in one object");
  EXPECT_NE(error_of("{\"a\":1} x"), "");
  EXPECT_NE(error_of(""), "");
  EXPECT_NE(error_of("{"), "");
  EXPECT_NE(error_of("[1,]"), "");
  EXPECT_NE(error_of("nulx"), "");
  EXPECT_NE(error_of("\"\xFF\""), "");
  EXPECT_NE(error_of("[01]"), "");
  EXPECT_EQ(error_of("[9007199254740993]"), "1:2: the number 9007199254740993 is beyond 2^53");
  EXPECT_NE(error_of(std::string(100, '[') + std::string(100, ']')).find("nested deeper than 64"),
            std::string::npos);
}

TEST(ParseMachineJson, GivesTheSameValuesWithoutPlacesAndPassesOverWhatIsLeftOut) {
  const auto node = parse_machine_json(
      R"({"a":[1,-2.5,true,null,"x\u00e9",9007199254740993],"m":{"f":{"f":1},"g":{"f":2}},"f":3})",
      std::array<std::string_view, 2>{"m", "f"});
  ASSERT_TRUE(node) << node.error().message;
  const auto& list = node->find("a")->items;
  EXPECT_EQ(list[0].integer, 1);
  EXPECT_EQ(list[1].kind, Node::Kind::Float);
  EXPECT_EQ(list[1].text, "-2.5");
  EXPECT_TRUE(list[2].boolean);
  EXPECT_EQ(list[3].kind, Node::Kind::Null);
  EXPECT_EQ(list[4].text, "x\u00e9");
  EXPECT_EQ(list[5].kind, Node::Kind::Float);
  EXPECT_EQ(node->find("m")->find("f"), nullptr);
  EXPECT_EQ(node->find("m")->find("g")->find("f")->integer, 2);
  EXPECT_EQ(node->find("f")->integer, 3);
}

TEST(ParseMachineJson, T42_RefusesWhatIsNotJsonAndWhatIsTooDeepOrTooLarge) {
  const DocumentLimits limits{.max_bytes = 100, .max_depth = 8};
  EXPECT_TRUE(parse_machine_json("[[[[[[[[1]]]]]]]]", {}, limits));
  for (const std::string bad :
       {"", "{", "[1 2]", "nul", "\"\xff\"", "[[[[[[[[[[1]]]]]]]]]]", "{\"a\":1}x"}) {
    EXPECT_FALSE(parse_machine_json(bad, {}, limits)) << bad;
  }
  EXPECT_FALSE(parse_machine_json(std::string(101, ' '), {}, limits));
}

TEST(JsonWriter, WritesNestedValuesWithCommasAndEscapes) {
  JsonWriter writer;
  writer.begin_object().member("a", 1).key("b").begin_array().string("x\"\n").boolean(true);
  writer.begin_object().end_object().end_array().key("c").null().end_object();
  EXPECT_EQ(writer.text(), R"({"a":1,"b":["x\"\n",true,{}],"c":null})");
}

TEST(JsonWriter, T23_ReplacesBytesThatAreNotUtf8) {
  std::string out;
  append_json_string(out, "a\xFF\xC3\xA9\xED\xA0\x80\x1B");
  EXPECT_EQ(out, "\"a\xEF\xBF\xBD\xC3\xA9\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\\u001b\"");
}

}  // namespace
}  // namespace sandboxrun
