// The CRD's schema and the operator's reader know the same fields.

#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "operator/run/field_table.h"
#include "operator/run/limits.h"
#include "operator/run/status.h"

namespace sandboxrun::run {
namespace {

YAML::Node crd() {
  return YAML::LoadFile(std::string(SANDBOXRUN_SOURCE_DIR) + "/crds/sandboxruns.yaml");
}

YAML::Node schema() {
  return crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
}

YAML::Node spec_schema() {
  return schema()["properties"]["spec"];
}

std::set<std::string> keys(const YAML::Node& map) {
  std::set<std::string> out;
  for (const auto& entry : map) out.insert(entry.first.as<std::string>());
  return out;
}

std::vector<std::string> strings(const YAML::Node& list) {
  std::vector<std::string> out;
  for (const auto& item : list) out.push_back(item.as<std::string>());
  return out;
}

std::string type_of(FieldKind kind) {
  switch (kind) {
    case FieldKind::String:
    case FieldKind::Enum:
      return "string";
    case FieldKind::Integer:
      return "integer";
    case FieldKind::Boolean:
      return "boolean";
    case FieldKind::StringList:
    case FieldKind::ObjectList:
      return "array";
    case FieldKind::StringMap:
    case FieldKind::Object:
      return "object";
    case FieldKind::Quantity:
    case FieldKind::Any:
      return "";
  }
  return "";
}

void compare(const YAML::Node& object, const ObjectType& type, const std::string& path);

void compare_field(const YAML::Node& property, const Field& field, const std::string& path) {
  SCOPED_TRACE(path);
  if (field.kind == FieldKind::Quantity) {
    EXPECT_TRUE(property["x-kubernetes-int-or-string"].as<bool>());
    return;
  }
  EXPECT_EQ(property["type"].as<std::string>(), type_of(field.kind));
  if (field.kind == FieldKind::Enum) {
    EXPECT_EQ(strings(property["enum"]),
              std::vector<std::string>(field.values.begin(), field.values.end()));
  }
  if (field.kind == FieldKind::StringList) {
    EXPECT_EQ(property["items"]["type"].as<std::string>(), "string");
  }
  if (field.kind == FieldKind::StringMap) {
    EXPECT_EQ(property["additionalProperties"]["type"].as<std::string>(), "string");
  }
  if (field.kind == FieldKind::Object) compare(property, *field.object, path);
  if (field.kind == FieldKind::ObjectList) compare(property["items"], *field.object, path + "[]");
}

void compare(const YAML::Node& object, const ObjectType& type, const std::string& path) {
  std::set<std::string> fields;
  std::set<std::string> required;
  for (const Field& field : type.fields) {
    if (field.local_only) continue;
    fields.insert(std::string(field.name));
    if (field.required) required.insert(std::string(field.name));
  }
  EXPECT_EQ(keys(object["properties"]), fields) << path;
  const std::vector<std::string> listed = strings(object["required"]);
  EXPECT_EQ(std::set<std::string>(listed.begin(), listed.end()), required) << path;
  for (const Field& field : type.fields) {
    const YAML::Node property = object["properties"][std::string(field.name)];
    if (!field.local_only && property) {
      compare_field(property, field, path + "." + std::string(field.name));
    }
  }
}

/// Calls `visit(node, path)` for each schema below `node`, itself included.
template <typename Visit>
void walk(const YAML::Node& node, const std::string& path, Visit visit) {
  visit(node, path);
  for (const auto& entry : node["properties"]) {
    walk(entry.second, path + "." + entry.first.as<std::string>(), visit);
  }
  if (node["items"]) walk(node["items"], path + "[]", visit);
  if (node["additionalProperties"]) walk(node["additionalProperties"], path + "{}", visit);
}

TEST(Crd, KnowsExactlyTheFieldsThatAreRead) {
  compare(spec_schema(), spec_type(), "spec");
}

TEST(Crd, DescribesEveryFieldInASentence) {
  walk(schema(), "", [](const YAML::Node& node, const std::string& path) {
    // The API server describes it itself and refuses a CRD that does.
    if (path == ".metadata") return;
    ASSERT_TRUE(node["description"]) << path;
    EXPECT_GE(node["description"].as<std::string>().size(), 10U) << path;
  });
}

TEST(Crd, T40_BoundsEveryStringListAndMap) {
  walk(spec_schema(), "spec", [](const YAML::Node& node, const std::string& path) {
    const auto type = node["type"] ? node["type"].as<std::string>() : std::string("string");
    const bool is_open_number = path.ends_with(".tolerationSeconds");
    EXPECT_TRUE(type != "string" || node["maxLength"] || node["enum"]) << path;
    EXPECT_TRUE(type != "array" || node["maxItems"]) << path;
    EXPECT_TRUE(!node["additionalProperties"] || node["maxProperties"]) << path;
    EXPECT_TRUE(type != "integer" || is_open_number || (node["minimum"] && node["maximum"]))
        << path;
  });
}

TEST(Crd, KeepsNoUnknownFieldsAndDefaultsNothingInTheSpec) {
  walk(spec_schema(), "spec", [](const YAML::Node& node, const std::string& path) {
    EXPECT_FALSE(node["x-kubernetes-preserve-unknown-fields"]) << path;
    EXPECT_FALSE(node["default"]) << path;
  });
}

TEST(Crd, T41_HasOneRuleOfImmutabilityForEachFieldButThree) {
  std::set<std::string> fixed;
  for (const auto& rule : spec_schema()["x-kubernetes-validations"]) {
    const auto text = rule["rule"].as<std::string>();
    const auto message = rule["message"].as<std::string>();
    if (text.find("oldSelf") == std::string::npos) continue;
    if (message == "cancel cannot be taken back; make a new run") {
      EXPECT_EQ(text,
                "!has(oldSelf.cancel) || !oldSelf.cancel || (has(self.cancel) && self.cancel)");
      continue;
    }
    const std::string field = message.substr(0, message.find(' '));
    const std::string pair = "has(self." + field + ") == has(oldSelf." + field +
                             ") && (!has(self." + field + ") || self." + field + " == oldSelf." +
                             field + ")";
    EXPECT_TRUE(text == pair || text == "self." + field + " == oldSelf." + field) << text;
    EXPECT_EQ(message, field + " cannot be changed; make a new run");
    fixed.insert(field);
  }
  std::set<std::string> expected = keys(spec_schema()["properties"]);
  for (const char* editable : {"suspend", "cancel", "ttlSecondsAfterFinished"}) {
    expected.erase(editable);
  }
  EXPECT_EQ(fixed, expected);
}

TEST(Crd, HasTheLimitsOfTheRules) {
  const YAML::Node spec = spec_schema()["properties"];
  const auto number = [](const YAML::Node& node) { return node.as<std::int64_t>(); };
  const auto size = [](const YAML::Node& node) { return node.as<std::size_t>(); };
  EXPECT_EQ(size(spec["assets"]["maxItems"]), kMaxAssets);
  EXPECT_EQ(size(spec["env"]["maxItems"]), kMaxEnv);
  EXPECT_EQ(size(spec["setup"]["maxItems"]), kMaxSteps);
  EXPECT_EQ(size(spec["args"]["maxItems"]), kMaxArguments);
  EXPECT_EQ(size(spec["args"]["items"]["maxLength"]), kMaxArgumentBytes);
  EXPECT_EQ(size(spec["environment"]["properties"]["image"]["maxLength"]), kMaxImage);
  EXPECT_EQ(size(spec["tolerations"]["maxItems"]), kMaxTolerations);
  EXPECT_EQ(size(spec["nodeSelector"]["maxProperties"]), kMaxNodeSelector);
  EXPECT_EQ(size(spec["imagePullSecrets"]["maxItems"]), kMaxPullSecrets);
  const YAML::Node asset = spec["assets"]["items"]["properties"];
  EXPECT_EQ(size(asset["target"]["maxLength"]), kMaxPath);
  EXPECT_EQ(size(asset["source"]["properties"]["inline"]["maxLength"]), kMaxInlineBytes);
  const YAML::Node https = asset["source"]["properties"]["https"]["properties"];
  EXPECT_EQ(size(https["url"]["maxLength"]), kMaxUrl);
  const YAML::Node results = spec["results"]["properties"];
  EXPECT_EQ(number(results["timeoutSeconds"]["maximum"]), kMaxResultsTimeout);
  EXPECT_EQ(number(results["maxBytes"]["maximum"]), kMaxResultsBytes);
  EXPECT_EQ(number(results["maxEntries"]["maximum"]), kMaxResultsEntries);
  EXPECT_EQ(number(spec["backoffLimit"]["maximum"]), kMaxBackoffLimit);
  EXPECT_EQ(number(spec["activeDeadlineSeconds"]["maximum"]), kMaxSeconds);
  const YAML::Node network = spec["network"]["properties"]["egress"];
  EXPECT_EQ(size(network["maxItems"]), kMaxEgressRules);
  EXPECT_EQ(size(network["items"]["properties"]["to"]["maxItems"]), kMaxEgressPeers);
}

TEST(Crd, DefaultsTheStatusToAnUnfinishedRun) {
  const YAML::Node status = schema()["properties"]["status"];
  const YAML::Node conditions = status["default"]["conditions"];
  ASSERT_EQ(conditions.size(), 2U);
  EXPECT_EQ(conditions[0]["type"].as<std::string>(), to_string(ConditionType::Succeeded));
  EXPECT_EQ(conditions[0]["status"].as<std::string>(), to_string(ConditionStatus::Unknown));
  EXPECT_EQ(conditions[0]["reason"].as<std::string>(), to_string(Reason::Pending));
  EXPECT_EQ(conditions[1]["type"].as<std::string>(), to_string(ConditionType::Reconciling));
  EXPECT_EQ(conditions[1]["status"].as<std::string>(), to_string(ConditionStatus::True));
  EXPECT_EQ(status["properties"]["conditions"]["x-kubernetes-list-type"].as<std::string>(), "map");
}

TEST(Crd, IsNamedAndPrintedAsPromised) {
  const YAML::Node names = crd()["spec"]["names"];
  EXPECT_EQ(names["kind"].as<std::string>(), "SandboxRun");
  EXPECT_EQ(names["plural"].as<std::string>(), "sandboxruns");
  EXPECT_EQ(strings(names["shortNames"]), std::vector<std::string>{"sbr"});
  std::vector<std::string> columns;
  for (const auto& column : crd()["spec"]["versions"][0]["additionalPrinterColumns"]) {
    columns.push_back(column["name"].as<std::string>());
  }
  EXPECT_EQ(columns, (std::vector<std::string>{"Succeeded", "Reason", "Exit", "Started", "Duration",
                                               "Age", "Pod", "Node"}));
}

}  // namespace
}  // namespace sandboxrun::run
