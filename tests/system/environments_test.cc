// What ./dev setup made: the images and the archive in which examples and system tests run.

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "operator/base/document.h"
#include "operator/base/fd.h"
#include "sandbox-image/agent/digest.h"
#include "tests/support/child_process.h"
#include "tests/support/setup_cache.h"
#include "tests/support/temp_dir.h"

namespace sandboxrun::test {
namespace {

using testing::IsEmpty;

struct Entry {
  std::string name;  ///< without "./" in front and "/" at the end
  mode_t mode = 0;
  la_int64_t uid = 0;
  la_int64_t gid = 0;
  time_t modified = 0;
};

std::map<std::string, std::string> lock() {
  std::map<std::string, std::string> values;
  std::istringstream lines(read_file(setup_cache() + "/environments.lock"));
  for (std::string line; std::getline(lines, line);) {
    const auto equals = line.find('=');
    values[line.substr(0, equals)] = line.substr(equals + 1);
  }
  return values;
}

std::string digest_of_file(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) throw std::runtime_error("there is no " + path + "; run: ./dev setup");
  return agent::digest_of(file.get()).value();
}

std::string blob(const std::string& digest) {
  return setup_cache() + "/oci/blobs/sha256/" + digest.substr(std::string("sha256:").size());
}

std::string text_at(const Node& node, std::string_view key) {
  return node.find(key)->text;
}

Node manifest_of(const std::string& reference) {
  return parse_json(read_file(blob(reference.substr(reference.find('@') + 1)))).value();
}

std::vector<Entry> entries_of(const std::string& path) {
  const std::unique_ptr<archive, decltype(&archive_read_free)> reader(archive_read_new(),
                                                                      &archive_read_free);
  archive_read_support_filter_gzip(reader.get());
  archive_read_support_filter_zstd(reader.get());
  archive_read_support_format_tar(reader.get());
  if (archive_read_open_filename(reader.get(), path.c_str(), 1 << 20) != ARCHIVE_OK) {
    throw std::runtime_error("cannot read " + path + "; run: ./dev setup");
  }
  std::vector<Entry> entries;
  archive_entry* entry = nullptr;
  int read = ARCHIVE_OK;
  // Names beyond ASCII come with a warning in the C locale.
  while ((read = archive_read_next_header(reader.get(), &entry)) == ARCHIVE_OK ||
         read == ARCHIVE_WARN) {
    const char* raw = archive_entry_pathname(entry);
    if (raw == nullptr) raw = archive_entry_pathname_utf8(entry);
    std::string name = raw;
    if (name.starts_with("./")) name.erase(0, 2);
    if (name.ends_with('/')) name.pop_back();
    entries.push_back({.name = name,
                       .mode = archive_entry_mode(entry),
                       .uid = archive_entry_uid(entry),
                       .gid = archive_entry_gid(entry),
                       .modified = archive_entry_mtime(entry)});
  }
  if (read != ARCHIVE_EOF) throw std::runtime_error(path + " ends in the middle");
  return entries;
}

std::vector<Entry> layer_of(const std::string& reference) {
  const Node manifest = manifest_of(reference);
  return entries_of(blob(text_at(manifest.find("layers")->items.front(), "digest")));
}

/// The parameter is the image's key in the lock file.
class Image : public testing::TestWithParam<const char*> {
 protected:
  std::string reference() const { return lock().at(GetParam()); }
  std::vector<Entry> layer() const { return layer_of(reference()); }
};

TEST_P(Image, S1_IsNamedByTheDigestOfItsManifest) {
  const std::string digest = reference().substr(reference().find('@') + 1);

  EXPECT_EQ(digest_of_file(blob(digest)), digest);
}

TEST_P(Image, IsOneLayerForAUserWithoutRights) {
  const Node manifest = manifest_of(reference());
  const Node config =
      parse_json(read_file(blob(text_at(*manifest.find("config"), "digest")))).value();

  EXPECT_EQ(manifest.find("layers")->items.size(), 1U);
  EXPECT_EQ(text_at(*config.find("config"), "User"), "64000:64000");
}

TEST_P(Image, N15_HasNoSetuidOrSetgidBit) {
  std::vector<std::string> found;
  for (const Entry& entry : layer()) {
    if ((entry.mode & (S_ISUID | S_ISGID)) != 0) found.push_back(entry.name);
  }
  EXPECT_THAT(found, IsEmpty());
}

TEST_P(Image, HasThePlacesOfARunAsPlainFolders) {
  std::map<std::string, mode_t> types;
  for (const Entry& entry : layer()) types[entry.name] = entry.mode & S_IFMT;

  for (const char* place : {"work", "data", "env", "results", "tmp", "proc", "dev", "sys"}) {
    EXPECT_EQ(types[place], S_IFDIR) << place;
  }
}

TEST_P(Image, HasNothingThatTheRunWouldOwn) {
  std::vector<std::string> found;
  for (const Entry& entry : layer()) {
    if (entry.uid >= 1000 || entry.gid >= 1000) found.push_back(entry.name);
  }
  EXPECT_THAT(found, IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Environments, Image, testing::Values("LOCK_BASE_IMAGE", "LOCK_TINY_IMAGE"),
                         [](const auto& image) {
                           return std::string(image.param) == "LOCK_BASE_IMAGE" ? "Base" : "Tiny";
                         });

TEST(BaseImage, N15_HasNoProgramThatInstallsMountsOrChangesUsers) {
  const std::vector<std::string> refused = {"apt",     "apt-get", "dpkg",    "perl",   "su",
                                            "passwd",  "login",   "useradd", "chsh",   "sudo",
                                            "nsenter", "unshare", "mount",   "umount", "pivot_root",
                                            "setpriv", "chroot",  "newgrp"};
  std::vector<std::string> found;
  for (const Entry& entry : layer_of(lock().at("LOCK_BASE_IMAGE"))) {
    const auto slash = entry.name.rfind('/');
    if (slash == std::string::npos) continue;
    const std::string folder = entry.name.substr(0, slash);
    if (!folder.ends_with("bin")) continue;
    if (std::ranges::count(refused, entry.name.substr(slash + 1)) > 0) found.push_back(entry.name);
  }
  EXPECT_THAT(found, IsEmpty());
}

TEST(PythonArchive, S1_HasTheDigestOfTheLockFile) {
  EXPECT_EQ(digest_of_file(lock().at("LOCK_PYTHON_ARCHIVE")), lock().at("LOCK_PYTHON_DIGEST"));
}

TEST(PythonArchive, HasOneOwnerAndOneTimeSoThatSameInputsGiveSameBytes) {
  constexpr time_t kReleaseOfDebian12 = 1686355200;
  std::vector<std::string> found;
  for (const Entry& entry : entries_of(lock().at("LOCK_PYTHON_ARCHIVE"))) {
    if (entry.uid != 0 || entry.gid != 0 || entry.modified != kReleaseOfDebian12) {
      found.push_back(entry.name);
    }
  }
  EXPECT_THAT(found, IsEmpty());
}

TEST(PythonArchive, BeginsWithTheScriptThatActivatesIt) {
  EXPECT_EQ(entries_of(lock().at("LOCK_PYTHON_ARCHIVE")).front().name, "activate.sh");
}

std::string fill(const std::string& manifest) {
  return run_program(
      {SANDBOXRUN_SOURCE_DIR "/tests/environments/fill.sh", setup_cache(), manifest});
}

TEST(FillManifest, ReplacesWhatTheLockFileNamesAndNothingElse) {
  const TempDir dir;
  write_file(dir / "run.yaml", "image: ${LOCK_TINY_IMAGE}\nscript: ${HOME} $LOCK_TINY_IMAGE\n");

  EXPECT_EQ(fill(dir / "run.yaml"),
            "image: " + lock().at("LOCK_TINY_IMAGE") + "\nscript: ${HOME} $LOCK_TINY_IMAGE\n");
}

TEST(FillManifest, RefusesAPlaceholderThatTheLockFileLacks) {
  const TempDir dir;
  write_file(dir / "run.yaml", "image: ${LOCK_OTHER_IMAGE}\n");

  EXPECT_THROW(fill(dir / "run.yaml"), std::runtime_error);
}

}  // namespace
}  // namespace sandboxrun::test
