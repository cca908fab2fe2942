#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "operator/run/manifest.h"
#include "operator/run/plan.h"

// The table of manifests: tests/contract/manifests/good is accepted, .../bad is refused by whom its
// first lines say, with exactly the errors that they list:
//     # refused-by: schema operator launcher      (or: reader, which is before all of them)
//     # error: PATH | part of the message       (InvalidSpec)
//     # denied: PATH | part of the message      (PolicyDenied)
// "schema" is checked where an API server runs.

namespace sandboxrun::run {
namespace {

namespace fs = std::filesystem;

struct Expected {
  Rule rule;
  std::string path;
  std::string part;
};

struct Case {
  std::string text;
  std::string refused_by;
  std::vector<Expected> errors;

  bool refused_by_one(const std::string& who) const {
    return (" " + refused_by + " ").find(" " + who + " ") != std::string::npos;
  }
};

Case read_case(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  Case out{.text = text.str(), .refused_by = "", .errors = {}};
  std::istringstream lines(out.text);
  for (std::string line; std::getline(lines, line) && line.starts_with("# ");) {
    constexpr std::string_view kBy = "# refused-by: ";
    if (line.starts_with(kBy)) out.refused_by = line.substr(kBy.size());
    const bool denied = line.starts_with("# denied: ");
    if (!denied && !line.starts_with("# error: ")) continue;
    const std::string rest = line.substr(line.find(": ") + 2);
    const std::size_t bar = rest.find("| ");
    out.errors.push_back({denied ? Rule::PolicyDenied : Rule::InvalidSpec,
                          rest.substr(0, bar == 0 ? 0 : bar - 1), rest.substr(bar + 2)});
  }
  return out;
}

std::vector<fs::path> files_in(const std::string& folder) {
  std::vector<fs::path> out;
  const fs::path base = fs::path(SANDBOXRUN_SOURCE_DIR) / "tests/contract/manifests" / folder;
  for (const auto& entry : fs::directory_iterator(base)) out.push_back(entry.path());
  std::ranges::sort(out);
  return out;
}

std::string describe_all(const std::vector<FieldError>& errors) {
  std::string out;
  for (const FieldError& error : errors) {
    out += "  " + std::string(to_string(error.rule)) + " " + format(error) + "\n";
  }
  return out;
}

bool matches(const Expected& expected, const FieldError& error) {
  return error.rule == expected.rule && error.path == expected.path &&
         error.message.find(expected.part) != std::string::npos;
}

void expect_refused(const Case& each, Where where) {
  const CheckedManifest checked = check_manifest(each.text, Policy{}, where);
  EXPECT_EQ(checked.errors.size(), each.errors.size()) << describe_all(checked.errors);
  for (const Expected& expected : each.errors) {
    EXPECT_TRUE(std::ranges::any_of(
        checked.errors, [&](const FieldError& error) { return matches(expected, error); }))
        << "no error at \"" << expected.path << "\" with \"" << expected.part << "\"; there are\n"
        << describe_all(checked.errors);
  }
  for (const FieldError& error : checked.errors) {
    EXPECT_GT(error.mark.line, 0) << format(error);
    EXPECT_GT(error.mark.column, 0) << format(error);
  }
}

void expect_accepted(const Case& each, Where where) {
  const CheckedManifest checked = check_manifest(each.text, Policy{}, where);
  EXPECT_TRUE(checked.errors.empty()) << describe_all(checked.errors);
}

class Good : public testing::TestWithParam<fs::path> {};
class Bad : public testing::TestWithParam<fs::path> {};

TEST_P(Good, IsAcceptedEverywhere) {
  const Case each = read_case(GetParam());
  expect_accepted(each, Where::Cluster);
  expect_accepted(each, Where::Local);
}

TEST_P(Bad, IsRefusedByWhomItSaysWithTheErrorsThatItLists) {
  const Case each = read_case(GetParam());
  ASSERT_FALSE(each.refused_by.empty());
  ASSERT_FALSE(each.errors.empty());
  for (const auto& [who, where] :
       {std::pair{"operator", Where::Cluster}, std::pair{"launcher", Where::Local}}) {
    SCOPED_TRACE(who);
    if (each.refused_by == "reader" || each.refused_by_one(who)) {
      expect_refused(each, where);
    } else {
      expect_accepted(each, where);
    }
  }
}

std::string name_of(const testing::TestParamInfo<fs::path>& info) {
  std::string name = info.param.stem().string();
  std::ranges::replace_if(
      name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Manifest, Good, testing::ValuesIn(files_in("good")), name_of);
INSTANTIATE_TEST_SUITE_P(Manifest, Bad, testing::ValuesIn(files_in("bad")), name_of);

TEST(ManifestTable, HasAtLeastAHundredCases) {
  EXPECT_GE(files_in("good").size(), 40U);
  EXPECT_GE(files_in("bad").size(), 100U);
}

}  // namespace
}  // namespace sandboxrun::run
