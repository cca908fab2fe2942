#include "operator/run/decode.h"

#include <gtest/gtest.h>

#include <tuple>

#include "operator/run/manifest.h"
#include "operator/run/yaml_reader.h"
#include "operator/run/yaml_scalar.h"

namespace sandboxrun::run {
namespace {

using Kind = Node::Kind;

// What kubectl v1.32 made of each scalar (kubectl label --local -o json).
struct ScalarCase {
  std::string_view text;
  Kind kind;
  std::int64_t integer = 0;
};

TEST(YamlScalar, W16_IsTypedAsKubectlTypesIt) {
  const ScalarCase cases[] = {
      {"yes", Kind::Bool},
      {"y", Kind::Bool},
      {"On", Kind::Bool},
      {"n", Kind::Bool},
      {"OFF", Kind::Bool},
      {"TRUE", Kind::Bool},
      {"tRue", Kind::String},
      {"~", Kind::Null},
      {"", Kind::Null},
      {"Null", Kind::Null},
      {"nUll", Kind::String},
      {"0444", Kind::Int, 292},
      {"0o444", Kind::Int, 292},
      {"-0444", Kind::Int, -292},
      {"-0o17", Kind::Int, -15},
      {"0o8", Kind::String},
      {"08", Kind::Int, 8},
      {"00", Kind::Int, 0},
      {"0x1F", Kind::Int, 31},
      {"-0x10", Kind::Int, -16},
      {"0x1_0", Kind::Int, 16},
      {"0b101", Kind::Int, 5},
      {"-0b11", Kind::Int, -3},
      {"0b12", Kind::String},
      {"+5", Kind::Int, 5},
      {"-0", Kind::Int, 0},
      {"1_000", Kind::Int, 1000},
      {"4_", Kind::Int, 4},
      {"1__0", Kind::Int, 10},
      {"_4", Kind::String},
      {"1e3", Kind::Int, 1000},
      {"1E3", Kind::Int, 1000},
      {"1.", Kind::Int, 1},
      {"1.0", Kind::Int, 1},
      {".5", Kind::Float},
      {"+.5", Kind::Float},
      {"012.5", Kind::Float},
      {"09.5", Kind::Float},
      {"1_000.5", Kind::Float},
      {"1e-7", Kind::Float},
      {"1e400", Kind::String},
      {"12:30", Kind::String},
      {"2001-01-01", Kind::String},
      {"=", Kind::String},
      {"9007199254740993", Kind::Int, 9007199254740993},
      {"99999999999999999999", Kind::Float},
      {"18446744073709551615", Kind::Float},
      {"-", Kind::String},
      {".", Kind::String},
      {"0x", Kind::String},
      {"1.2.3", Kind::String},
      {"-e3", Kind::String},
      {"1e", Kind::String},
  };
  for (const ScalarCase& each : cases) {
    const auto node = type_plain_scalar(each.text);
    ASSERT_TRUE(node.has_value()) << each.text;
    EXPECT_EQ(node->kind, each.kind) << each.text;
    EXPECT_EQ(node->integer, each.integer) << each.text;
    EXPECT_EQ(node->text, each.text);
  }
}

TEST(YamlScalar, RefusesWhatJsonCannotHold) {
  for (const char* text : {".inf", "-.inf", "+.Inf", ".nan", ".NaN"}) {
    EXPECT_FALSE(type_plain_scalar(text).has_value()) << text;
  }
}

TEST(YamlReader, W16_KeepsNestingListsAndMixedTypes) {
  const auto node = parse_yaml("a:\n  b: [1, two, true, null]\n  c: {d: 1.5}\n");
  ASSERT_TRUE(node.has_value());
  const Node* list = node->find("a")->find("b");
  ASSERT_EQ(list->items.size(), 4U);
  EXPECT_EQ(list->items[0].integer, 1);
  EXPECT_EQ(list->items[1].text, "two");
  EXPECT_TRUE(list->items[2].boolean);
  EXPECT_EQ(list->items[3].kind, Kind::Null);
  EXPECT_EQ(node->find("a")->find("c")->find("d")->kind, Kind::Float);
}

TEST(YamlReader, W16_MakesNullOfAnEmptyText) {
  for (const char* text : {"", "\n", "# comment\n", "---\n", "---\n---\n"}) {
    const auto node = parse_yaml(text);
    ASSERT_TRUE(node.has_value()) << text;
    EXPECT_EQ(node->kind, Kind::Null) << text;
  }
}

TEST(YamlReader, W16_KeepsBlockTextAndUnicode) {
  const auto node = parse_yaml("a: |\n  x\n  \ty\n\nb: \"gr\xc3\xb6\xc3\x9f\x65 \\u2028\"\n");
  ASSERT_TRUE(node.has_value());
  EXPECT_EQ(node->find("a")->text, "x\n\ty\n");
  EXPECT_EQ(node->find("b")->text, "gr\xc3\xb6\xc3\x9f\x65 \xe2\x80\xa8");
}

TEST(YamlReader, W16_TurnsKeysBackIntoText) {
  const auto node = parse_yaml("1: a\non: b\n'on': c\n0x10: d\n");
  ASSERT_TRUE(node.has_value());
  ASSERT_EQ(node->entries.size(), 4U);
  EXPECT_EQ(node->entries[0].key, "1");
  EXPECT_EQ(node->entries[1].key, "true");
  EXPECT_EQ(node->entries[2].key, "on");
  EXPECT_EQ(node->entries[3].key, "16");
}

TEST(YamlReader, MarksValuesWhereTheyAreWritten) {
  const auto node = parse_yaml("a: 1\nlist:\n- x: y\n  empty:\nlast: z\n");
  ASSERT_TRUE(node.has_value());
  EXPECT_EQ(node->find("a")->mark, (Mark{1, 4}));
  const Node& item = node->find("list")->items[0];
  EXPECT_EQ(item.find("x")->mark, (Mark{3, 6}));
  EXPECT_EQ(node->find("last")->mark, (Mark{5, 7}));
}

TEST(YamlReader, MarksAnEmptyValueAtItsKey) {
  const auto node = parse_yaml("a:\n\n\n\nb: 1\n");
  ASSERT_TRUE(node.has_value());
  EXPECT_EQ(node->find("a")->mark, (Mark{1, 1}));
}

TEST(YamlReader, NamesThePlaceOfAnError) {
  const auto node = parse_yaml("a: 1\nb:\n  c: &x 2\n");
  ASSERT_FALSE(node.has_value());
  EXPECT_EQ(node.error().message, "3:6: an anchor (&name); write the value out");
}

TEST(YamlReader, T42_BoundsSizeAndDepth) {
  EXPECT_FALSE(parse_yaml("a: bb", {.max_bytes = 4, .max_depth = 8}).has_value());
  EXPECT_TRUE(parse_yaml("[[[1]]]", {.max_bytes = 100, .max_depth = 3}).has_value());
  const auto deep = parse_yaml("[[[[1]]]]", {.max_bytes = 100, .max_depth = 3});
  ASSERT_FALSE(deep.has_value());
  EXPECT_EQ(deep.error().message, "1:4: nested deeper than 3 levels");
}

TEST(YamlReader, T42_EndsAtATokenThatBeginsNothing) {
  const auto node = parse_yaml(", found\na: b\n");
  ASSERT_FALSE(node.has_value());
  EXPECT_EQ(node.error().message, "1:1: not YAML: text outside a map");
}

TEST(YamlReader, T42_SurvivesDeepNestingWithoutALimitOfItsOwn) {
  EXPECT_FALSE(parse_yaml(std::string(100'000, '[')).has_value());
  EXPECT_FALSE(parse_yaml(std::string(100'000, '{')).has_value());
}

constexpr std::string_view kMinimal =
    "{\"apiVersion\": \"sandboxrun.dev/v1alpha1\", \"kind\": \"SandboxRun\", "
    "\"metadata\": {\"name\": \"a\", \"namespace\": \"b\", \"uid\": \"c\", \"generation\": 3, "
    "\"creationTimestamp\": \"2026-05-01T08:15:30Z\"}, "
    "\"spec\": {\"environment\": {\"image\": \"x\"}, \"command\": [\"y\"], "
    "\"resources\": {\"limits\": {\"cpu\": 2, \"memory\": \"1Gi\"}}}}";

TEST(Decode, ReadsJsonAndYamlAlike) {
  const auto json = parse_json(kMinimal);
  const auto yaml = parse_yaml(kMinimal);
  ASSERT_TRUE(json.has_value() && yaml.has_value());
  const Decoded from_json = decode(*json);
  EXPECT_TRUE(from_json.errors.empty());
  EXPECT_EQ(from_json.run, decode(*yaml).run);
}

TEST(Decode, ReadsMetadata) {
  const auto node = parse_json(kMinimal);
  const SandboxRun run = decode(*node).run;
  EXPECT_EQ(run.metadata.name, "a");
  EXPECT_EQ(run.metadata.namespace_name, "b");
  EXPECT_EQ(run.metadata.uid, "c");
  EXPECT_EQ(run.metadata.generation, 3);
  EXPECT_EQ(run.metadata.creation_timestamp, parse_time("2026-05-01T08:15:30Z"));
  EXPECT_EQ(run.spec.resources.limits.cpu, "2");
  EXPECT_EQ(run.spec.resources.limits.memory, "1Gi");
}

TEST(Decode, StopsAtAnotherKindWithOneError) {
  const auto node = parse_yaml("apiVersion: v1\nkind: Pod\nspec: {containers: []}\n");
  const Decoded decoded = decode(*node);
  ASSERT_EQ(decoded.errors.size(), 2U);
  EXPECT_EQ(format(decoded.errors[0]),
            "1:13  apiVersion: \"v1\" is not what is read here; it must be "
            "sandboxrun.dev/v1alpha1");
  EXPECT_EQ(decoded.errors[1].path, "kind");
}

TEST(Decode, EscapesUnknownNames) {
  const auto node = parse_yaml(
      "apiVersion: sandboxrun.dev/v1alpha1\nkind: SandboxRun\nmetadata: {name: a}\n"
      "spec: {environment: {image: a}, command: [a], \"x\\e[31m\": 1}\n");
  const Decoded decoded = decode(*node);
  ASSERT_EQ(decoded.errors.size(), 1U);
  EXPECT_EQ(decoded.errors[0].path.find('\x1b'), std::string::npos);
}

TEST(Manifest, ReportsErrorsInTheOrderOfTheText) {
  const CheckedManifest checked = check_manifest(
      "apiVersion: sandboxrun.dev/v1alpha1\n"
      "kind: SandboxRun\n"
      "metadata: {name: a}\n"
      "spec:\n"
      "  backoffLimit: 11\n"
      "  comand: [x]\n"
      "  environment:\n"
      "    image: python:3.12\n",
      Policy{}, Where::Local);
  std::vector<std::string> shown;
  for (const FieldError& error : checked.errors) shown.push_back(format(error));
  EXPECT_EQ(
      shown,
      (std::vector<std::string>{
          "5:3  spec.command: is required and missing",
          "5:17  spec.backoffLimit: 11 is out of range; it may be 0 to 10",
          "6:3  spec.comand: no such field in spec; did you mean command?",
          "8:12  spec.environment.image: \"python:3.12\" is a tag, which can change under "
          "you; give a digest: python@sha256:<64 hex> (crane digest python:3.12 prints it)"}));
}

TEST(Manifest, TakesThePlaceFromTheParser) {
  const CheckedManifest checked = check_manifest("a: [\n", Policy{}, Where::Local);
  ASSERT_EQ(checked.errors.size(), 1U);
  EXPECT_EQ(checked.errors[0].path, "");
  EXPECT_GT(checked.errors[0].mark.line, 0);
}

}  // namespace
}  // namespace sandboxrun::run
