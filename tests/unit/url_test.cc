#include "sandbox-image/agent/url.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace sandboxrun::agent {
namespace {

std::string text_of(std::string_view text) {
  auto url = parse_url(text);
  return url ? url->text() : "refused: " + url.error().message;
}

std::string resolved(std::string_view base, std::string_view reference) {
  auto url = resolve_reference(*parse_url(base), reference);
  return url ? url->text() : "refused: " + url.error().message;
}

TEST(Url, WritesOneNormalForm) {
  EXPECT_EQ(text_of("https://example.org"), "https://example.org/");
  EXPECT_EQ(text_of("HTTPS://Example.ORG:443/A/../b?q=%20#part"),
            "https://example.org/A/../b?q=%20");
  EXPECT_EQ(text_of("http://example.org:80?x"), "http://example.org/?x");
  EXPECT_EQ(text_of("http://example.org:443/"), "http://example.org:443/");
  EXPECT_EQ(text_of("https://my_host-1.internal:8443/"), "https://my_host-1.internal:8443/");
  EXPECT_EQ(text_of("https://127.0.0.1:1/"), "https://127.0.0.1:1/");
  EXPECT_EQ(text_of("https://[FD00:0:0::1]:99/x"), "https://[fd00::1]:99/x");
  EXPECT_EQ(text_of("https://[::FFFF:7f00:1]/"), "https://[::ffff:127.0.0.1]/");
  EXPECT_EQ(text_of("https://xn--bcher-kva.example/?"), "https://xn--bcher-kva.example/?");
}

TEST(Url, T28_ShowsNoQueryAndALongPathShortened) {
  EXPECT_EQ(parse_url("https://example.org:8443/a/b?X-Amz-Signature=CANARY#f")->shown(),
            "https://example.org:8443/a/b");
  const std::string shown = parse_url("https://h/" + std::string(500, 'a'))->shown();
  EXPECT_EQ(shown, "https://h/" + std::string(199, 'a') + "...");
}

TEST(Url, T30_RefusesUserInfo) {
  const std::string rule =
      "refused: the URL holds a user name or password; use a header from a Secret instead";
  EXPECT_EQ(text_of("https://user:CANARY@example.org/"), rule);
  EXPECT_EQ(text_of("https://example.org@169.254.169.254/"), rule);
  EXPECT_EQ(text_of("https://@example.org/"), rule);
  EXPECT_EQ(text_of("https://example.org:80@evil.org/"), rule);
}

TEST(Url, T30_RefusesNumbersThatResolversTakeForAddresses) {
  const std::string rule =
      "refused: the URL's host is a number that is not written as four decimal numbers";
  for (const std::string host :
       {"2130706433", "0x7f000001", "0x7f.0.0.1", "017700000001", "0177.0.0.1", "127.1", "127.0.1",
        "127.0.0.01", "127.0.0.256", "1.2.3.4.5", "example.0x7f", "0x", "0XA9FEA9FE", "1"}) {
    EXPECT_EQ(text_of("https://" + host + "/"), rule) << host;
  }
}

TEST(Url, T33_RefusesControlCharactersSpacesAndForeignCharacters) {
  const std::string control =
      "refused: the URL holds a space or a control character; percent-encode it";
  EXPECT_EQ(text_of("https://example.org/a\r\nX-Evil: 1"), control);
  EXPECT_EQ(text_of("https://example.org/a b"), control);
  EXPECT_EQ(text_of(" https://example.org/"), control);
  EXPECT_EQ(text_of("https://example.org/\t"), control);
  EXPECT_EQ(text_of(std::string_view("https://example.org\0.evil/", 26)), control);
  EXPECT_EQ(text_of("https://example.org/\x7f"), control);
  EXPECT_EQ(text_of("https://ex\xC3\xA4mple.org/"),
            "refused: the URL holds a character that is not ASCII; percent-encode it");
  EXPECT_EQ(text_of("https://example.org\\@evil.org/"),
            "refused: the URL holds a backslash; percent-encode it");
  EXPECT_EQ(text_of("https://example.org/%0"),
            "refused: the URL holds a % that two hex digits do not follow");
  EXPECT_EQ(text_of("https://example.org/%zz"),
            "refused: the URL holds a % that two hex digits do not follow");
  EXPECT_EQ(text_of("https://example.org/{a}"),
            "refused: the URL holds one of \"<>^`{|}; percent-encode it");
}

TEST(Url, T30_RefusesHostsThatAreNotNames) {
  const std::string name =
      "refused: the URL's host is not a DNS name (letters, digits, '-', '_' and dots)";
  EXPECT_EQ(text_of("https://ex%61mple.org/"), name);
  EXPECT_EQ(text_of("https://-a.org/"), name);
  EXPECT_EQ(text_of("https://a-.org/"), name);
  EXPECT_EQ(text_of("https://a!b.org/"), name);
  EXPECT_EQ(text_of("https:///path"), "refused: the URL has no host");
  EXPECT_EQ(text_of("https://:443/"), "refused: the URL has no host");
  EXPECT_EQ(text_of("https://a..b/"), "refused: the URL's host has an empty label");
  EXPECT_EQ(text_of("https://localhost./"), "refused: the URL's host has an empty label");
  EXPECT_EQ(text_of("https://" + std::string(64, 'a') + "/"),
            "refused: the URL's host has a label over 63 bytes");
  EXPECT_EQ(text_of("https://[fe80::1%25eth0]/"),
            "refused: the URL's host is in brackets but is not an IPv6 address");
  EXPECT_EQ(text_of("https://[127.0.0.1]/"),
            "refused: the URL's host is in brackets but is not an IPv6 address");
  EXPECT_EQ(text_of("https://[::1"), "refused: the URL's host has no closing bracket");
  EXPECT_EQ(text_of("https://[::1]x/"), "refused: the URL has text after the host's bracket");
}

TEST(Url, RefusesPortsOutsideTheirRange) {
  const std::string rule = "refused: the URL's port is not a number from 1 to 65535";
  for (const std::string port : {"", "0", "65536", "123456", "80a", "+80", "-1"}) {
    EXPECT_EQ(text_of("https://example.org:" + port + "/"), rule) << port;
  }
}

TEST(Url, W5_KnowsOnlyHttpAndHttps) {
  const std::string rule =
      "refused: the URL's scheme is not https (or http, where that is allowed)";
  EXPECT_EQ(text_of("file:///etc/passwd"), rule);
  EXPECT_EQ(text_of("ftp://example.org/"), rule);
  EXPECT_EQ(text_of("gopher://example.org/"), rule);
  EXPECT_EQ(text_of("javascript:alert(1)"), rule);
  EXPECT_EQ(text_of("example.org/x"), "refused: the URL does not begin with https://");
  EXPECT_EQ(text_of("//example.org/x"), "refused: the URL does not begin with https://");
  EXPECT_EQ(text_of("https:example.org"), "refused: the URL's scheme is not followed by //");
  EXPECT_EQ(text_of("https:/example.org"), "refused: the URL's scheme is not followed by //");
  EXPECT_EQ(text_of(""), "refused: the URL is empty");
  EXPECT_EQ(text_of("https://h/" + std::string(8192, 'a')),
            "refused: the URL is longer than 8192 bytes");
}

TEST(Url, ResolvesReferencesAsRfc3986Does) {
  const std::string base = "https://h:8443/b/c/d?q";
  EXPECT_EQ(resolved(base, "g"), "https://h:8443/b/c/g");
  EXPECT_EQ(resolved(base, "./g/."), "https://h:8443/b/c/g/");
  EXPECT_EQ(resolved(base, "../g"), "https://h:8443/b/g");
  EXPECT_EQ(resolved(base, "../../../g"), "https://h:8443/g");
  EXPECT_EQ(resolved(base, ".."), "https://h:8443/b/");
  EXPECT_EQ(resolved(base, "/g?y#s"), "https://h:8443/g?y");
  EXPECT_EQ(resolved(base, "?y"), "https://h:8443/b/c/d?y");
  EXPECT_EQ(resolved(base, "#s"), "https://h:8443/b/c/d?q");
  EXPECT_EQ(resolved(base, "//other/x"), "https://other/x");
  EXPECT_EQ(resolved(base, "http://other/x"), "http://other/x");
}

TEST(Url, T31_RefusesReferencesOfOtherSchemes) {
  const std::string rule =
      "refused: the URL's scheme is not https (or http, where that is allowed)";
  EXPECT_EQ(resolved("https://h/", "file:///etc/passwd"), rule);
  EXPECT_EQ(resolved("https://h/", "FILE:/etc/passwd"), rule);
  EXPECT_EQ(resolved("https://h/", "/\\evil.org"),
            "refused: the URL holds a backslash; percent-encode it");
  EXPECT_EQ(resolved("https://h/", ""), "refused: the URL is empty");
}

TEST(Url, T31_OriginIsSchemeHostAndPort) {
  const auto same = [](std::string_view a, std::string_view b) {
    return same_origin(*parse_url(a), *parse_url(b));
  };
  EXPECT_TRUE(same("https://a/x?1", "https://A:443/y"));
  EXPECT_FALSE(same("https://a/", "http://a:443/"));
  EXPECT_FALSE(same("https://a/", "https://a:444/"));
  EXPECT_FALSE(same("https://a/", "https://b.a/"));
}

}  // namespace
}  // namespace sandboxrun::agent
