// The documents that name tests, rows and numbers must stay true.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

std::string read(const fs::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

const fs::path& root() {
  static const fs::path path = SANDBOXRUN_SOURCE_DIR;
  return path;
}

// The good and bad manifests are cases of one test; a number at the beginning of a file's name
// counts as one in a test's name: t13-image-tag.yaml is "Manifest.T13_".
void add_manifests(std::set<std::string>& names) {
  const std::regex numbered(R"(([a-z]\d+)-.*\.yaml)");
  for (const char* verdict : {"good", "bad"}) {
    for (const auto& entry :
         fs::directory_iterator(root() / "tests/contract/manifests" / verdict)) {
      std::smatch match;
      const std::string name = entry.path().filename();
      if (!std::regex_match(name, match, numbered)) continue;
      std::string number = match[1].str();
      number[0] = static_cast<char>(number[0] - 'a' + 'A');
      names.insert("Manifest." + number + "_");
    }
  }
}

// "Suite.Name" of every test in the tree.
std::set<std::string> all_tests() {
  std::set<std::string> names;
  const std::regex declaration(R"(TEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\s*\))");
  const std::regex parameter(R"re("([WGNPLST]\d+_\w+)")re");  // a named case of a TEST_P
  for (const auto& entry : fs::recursive_directory_iterator(root() / "tests")) {
    if (entry.path().extension() != ".cc") continue;
    const std::string text = read(entry.path());
    for (std::sregex_iterator it(text.begin(), text.end(), declaration), end; it != end; ++it) {
      names.insert((*it)[1].str() + "." + (*it)[2].str());
    }
    for (std::sregex_iterator it(text.begin(), text.end(), parameter), end; it != end; ++it) {
      names.insert("Parameter." + (*it)[1].str());
    }
  }
  add_manifests(names);
  return names;
}

// Whether any test carries `number` as one of its words: T8, W13, L3.
bool is_tried(const std::set<std::string>& tests, const std::string& number) {
  const std::regex word("(^|[._])" + number + "(_|$)");
  for (const std::string& test : tests) {
    if (std::regex_search(test, word)) return true;
  }
  return false;
}

TEST(Docs, EveryThreatInTheModelIsTried) {
  const std::string text = read(root() / "docs/threat-model.md");
  const std::set<std::string> tests = all_tests();
  const std::regex row(R"(\n\| (T\d+) \|)");
  int rows = 0;
  for (std::sregex_iterator it(text.begin(), text.end(), row), end; it != end; ++it) {
    ++rows;
    EXPECT_TRUE(is_tried(tests, (*it)[1].str())) << (*it)[1].str() << " has no test";
  }
  EXPECT_GE(rows, 34);
}

TEST(Docs, EveryTestThatAPageNamesExists) {
  const std::set<std::string> tests = all_tests();
  const std::regex name(R"(`(\w+\.[WGNPLST]\d+\w*_\w+)`)");
  for (const char* page : {"docs/contract.md", "docs/threat-model.md"}) {
    const std::string text = read(root() / page);
    for (std::sregex_iterator it(text.begin(), text.end(), name), end; it != end; ++it) {
      EXPECT_TRUE(tests.contains((*it)[1].str())) << page << " names " << (*it)[1].str();
    }
  }
}

TEST(Docs, EveryContractRowHasATestOrAReason) {
  const std::string text = read(root() / "docs/contract.md");
  const std::set<std::string> tests = all_tests();
  const std::regex row(R"(\n\| ([WGNPL]\d+) \|([^\n]*))");
  std::set<std::string> rows;
  for (std::sregex_iterator it(text.begin(), text.end(), row), end; it != end; ++it) {
    const std::string number = (*it)[1].str();
    rows.insert(number);
    const bool excused = (*it)[2].str().find("No test of its own") != std::string::npos;
    EXPECT_NE(is_tried(tests, number), excused)
        << number << (excused ? " has a test, but the page says it has none" : " has no test");
  }
  const std::map<char, int> last = {{'W', 18}, {'G', 6}, {'N', 16}, {'P', 9}, {'L', 12}};
  for (const auto& [letter, count] : last) {
    for (int number = 1; number <= count; ++number) {
      EXPECT_TRUE(rows.contains(letter + std::to_string(number))) << letter << number;
    }
  }
}

TEST(Docs, EveryLinkBetweenPagesLeadsSomewhere) {
  const std::regex link(R"(\]\(([^)#:]+)(#[^)]*)?\))");
  std::vector<fs::path> pages = {root() / "README.md", root() / "CONTRIBUTING.md",
                                 root() / "SECURITY.md"};
  for (const auto& entry : fs::recursive_directory_iterator(root() / "docs")) {
    if (entry.path().extension() == ".md") pages.push_back(entry.path());
  }
  for (const fs::path& page : pages) {
    const std::string text = read(page);
    EXPECT_FALSE(text.empty()) << page;
    for (std::sregex_iterator it(text.begin(), text.end(), link), end; it != end; ++it) {
      EXPECT_TRUE(fs::exists(page.parent_path() / (*it)[1].str()))
          << page << " links to " << (*it)[1].str();
    }
  }
}

}  // namespace
