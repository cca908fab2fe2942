#include "sandbox-image/agent/digest.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "operator/base/fd.h"
#include "sandbox-image/agent/entry_name.h"
#include "tests/support/temp_dir.h"

namespace sandboxrun::agent {
namespace {

const std::string kHex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

std::string digest_of_text(std::string_view text) {
  Sha256 hash;
  hash.update(std::as_bytes(std::span(text)));
  return hash.finish();
}

TEST(Digest, W2_AcceptsHexOfEitherCase) {
  EXPECT_TRUE(is_digest("sha256:" + kHex));
  EXPECT_TRUE(is_digest("sha256:" + std::string(64, 'A')));
  EXPECT_TRUE(is_digest("sha256:" + std::string(32, 'a') + std::string(32, 'F')));
}

TEST(Digest, W2_T16_RefusesAllElse) {
  const std::string refused[] = {"",
                                 "sha256:",
                                 kHex,
                                 "md5:d41d8cd98f00b204e9800998ecf8427e",
                                 "sha512:" + kHex + kHex,
                                 "SHA256:" + kHex,
                                 "Sha256:" + kHex,
                                 "sha256:" + kHex.substr(1),
                                 "sha256:" + kHex + "0",
                                 "sha256:" + kHex + "\n",
                                 "sha256:" + kHex.substr(1) + "\n",
                                 "\nsha256:" + kHex,
                                 " sha256:" + kHex,
                                 "sha256:" + std::string(64, 'g'),
                                 "sha256:" + std::string(64, '\0'),
                                 "sha256 " + kHex};
  for (const std::string& text : refused) EXPECT_FALSE(is_digest(text)) << text;
}

TEST(Digest, W2_IsNormalisedToLowerCase) {
  EXPECT_EQ(normalised_digest("sha256:" + std::string(64, 'F')), "sha256:" + std::string(64, 'f'));
  EXPECT_EQ(normalised_digest("sha256:" + kHex), "sha256:" + kHex);
}

TEST(Digest, MatchesThePublishedVectors) {
  EXPECT_EQ(digest_of_text("abc"), "sha256:" + kHex);
  EXPECT_EQ(digest_of_text(""),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(digest_of_text("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "sha256:248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST(Digest, OfAFileReadsItWholeAndLeavesItsOffset) {
  const test::TempDir dir;
  const std::string path = dir / "million";
  test::write_file(path, std::string(3'000'001, 'a'));
  const UniqueFd file(::open(path.c_str(), O_RDONLY));
  ASSERT_EQ(::lseek(file.get(), 17, SEEK_SET), 17);
  const auto digest = digest_of(file.get());
  ASSERT_TRUE(digest.has_value());
  EXPECT_EQ(*digest, digest_of_text(std::string(3'000'001, 'a')));
  EXPECT_EQ(::lseek(file.get(), 0, SEEK_CUR), 17);
}

TEST(Digest, OfWhatCannotBeReadIsASystemError) {
  const auto digest = digest_of(-1);
  ASSERT_FALSE(digest.has_value());
  EXPECT_EQ(digest.error().kind, ErrorKind::System);
}

TEST(EntryName, T1_KeepsOnlyNamesBelowTheFolder) {
  EXPECT_EQ(entry_path("./a//b/./c/").value(), "a/b/c");
  EXPECT_EQ(entry_path(".").value(), "");
  for (const std::string& name :
       {std::string(), std::string("/"), std::string("/a"), std::string("//a"), std::string(".."),
        std::string("a/../b"), std::string("a/.."), std::string("../a"), std::string("a\0b", 3),
        std::string(256, 'n'), std::string(4097, '/')}) {
    const auto path = entry_path(name);
    ASSERT_FALSE(path.has_value()) << name;
    EXPECT_EQ(path.error().kind, ErrorKind::ArchiveUnsafe) << name;
  }
  EXPECT_EQ(entry_path("...").value(), "...");
  EXPECT_EQ(entry_path("..a/b..").value(), "..a/b..");
}

TEST(EntryName, T2_LinksStayInsideTheTree) {
  for (const auto& [path, target] : {std::pair{"bin/python", "python3.11"},
                                     {"a/b/c", "../../d"},
                                     {"l", "a/b"},
                                     {"l", "."},
                                     {"a/l", ".."}}) {
    EXPECT_TRUE(check_link_target(path, target).has_value()) << path << " -> " << target;
  }
  for (const auto& [path, target] : {std::pair{"l", ".."},
                                     {"l", "/etc/passwd"},
                                     {"a/l", "../.."},
                                     {"a/l", "./.././../x"},
                                     {"a/l", ""},
                                     {"a/b/l", "c/../d"}}) {
    const auto checked = check_link_target(path, target);
    ASSERT_FALSE(checked.has_value()) << path << " -> " << target;
    EXPECT_EQ(checked.error().kind, ErrorKind::ArchiveUnsafe);
  }
}

TEST(EntryName, T23_IsShownWithoutControlCharacters) {
  EXPECT_EQ(quote_name("a\n\x1b[31m\"\\"), R"("a\x0a\x1b[31m\"\\")");
  EXPECT_EQ(quote_name("gr\xc3\xbc\xc3\x9f"), "\"gr\xc3\xbc\xc3\x9f\"");
  EXPECT_EQ(quote_name("\xff\xc3\xbc"), R"("\xff\xc3\xbc")");
  EXPECT_EQ(quote_name("\xc2\x9b"
                       "1m"),
            R"("\xc2\x9b1m")");
  EXPECT_EQ(quote_name("\xe2\x80\xae"
                       "gpj"),
            R"("\xe2\x80\xaegpj")");
  EXPECT_EQ(quote_name(std::string(4000, 'x')).size(), 205U);
}

}  // namespace
}  // namespace sandboxrun::agent
