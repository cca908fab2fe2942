#include "sandbox-image/agent/address_policy.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <string>
#include <vector>

namespace sandboxrun::agent {
namespace {

/// "allowed", or the reason.
std::string verdict(const std::vector<std::string>& exceptions, std::string_view address,
                    std::uint16_t port = 443) {
  auto policy = AddressPolicy::parse(exceptions);
  if (!policy) return policy.error().message;
  auto allowed = policy->check(*parse_ip(address), port);
  return allowed ? "allowed" : allowed.error().message;
}

std::string refusal(const std::string& address, const std::string& is) {
  return "its address " + address + " is " + is +
         ", and no allowed address range names it (port 443)";
}

TEST(AddressPolicy, AllowsThePublicInternet) {
  for (const std::string address :
       {"1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
        "128.0.0.0", "169.253.255.255", "172.15.255.255", "172.32.0.0", "192.167.255.255",
        "198.17.255.255", "198.20.0.0", "223.255.255.255", "168.63.129.15", "2606:4700::1111",
        "2a00:1450::1", "2001:200::1", "2001:4860:4860::8888"}) {
    EXPECT_EQ(verdict({}, address), "allowed") << address;
  }
}

TEST(AddressPolicy, T30_RefusesWhatIsNotThePublicInternet) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"0.0.0.0", "an address of this network"},
      {"10.0.0.1", "a private address"},
      {"100.64.0.1", "a shared address"},
      {"127.0.0.1", "a loopback address"},
      {"127.255.255.254", "a loopback address"},
      {"169.254.1.1", "a link-local address"},
      {"172.16.0.1", "a private address"},
      {"172.31.255.255", "a private address"},
      {"192.0.0.8", "a protocol assignment"},
      {"192.0.2.1", "a documentation address"},
      {"192.168.1.1", "a private address"},
      {"198.18.0.1", "a benchmarking address"},
      {"198.19.255.255", "a benchmarking address"},
      {"224.0.0.1", "a multicast address"},
      {"240.0.0.1", "a reserved address"},
      {"255.255.255.255", "a reserved address"},
      {"::", "the unspecified address"},
      {"::1", "a loopback address"},
      {"fe80::1", "a link-local address"},
      {"fec0::1", "a site-local address"},
      {"fc00::1", "a private address"},
      {"fdff::1", "a private address"},
      {"ff02::1", "a multicast address"},
      {"2001:db8::1", "a documentation address"},
      {"2001::1", "a Teredo address"},
      {"2001:0:4136:e378:8000:63bf:3fff:fdd2", "a Teredo address"},
      {"64:ff9b:1::808:808", "a local-use NAT64 address"},
      {"100::1", "not a global unicast address"},
      {"4000::1", "not a global unicast address"},
  };
  for (const auto& [address, is] : cases) {
    EXPECT_EQ(verdict({}, address), refusal(address, is));
  }
}

TEST(AddressPolicy, T30_RefusesOtherFormsOfARefusedIpv4Address) {
  EXPECT_EQ(verdict({}, "::ffff:127.0.0.1"), refusal("127.0.0.1", "a loopback address"));
  EXPECT_EQ(verdict({}, "::7f00:1"), refusal("::127.0.0.1 (127.0.0.1)", "a loopback address"));
  EXPECT_EQ(verdict({}, "64:ff9b::a00:1"),
            refusal("64:ff9b::a00:1 (10.0.0.1)", "a private address"));
  EXPECT_EQ(verdict({}, "2002:7f00:1::"),
            refusal("2002:7f00:1:: (127.0.0.1)", "a loopback address"));
  EXPECT_EQ(verdict({}, "2002:c0a8:101::5"),
            refusal("2002:c0a8:101::5 (192.168.1.1)", "a private address"));
  EXPECT_EQ(verdict({}, "64:ff9b::808:808"), "allowed");
}

TEST(AddressPolicy, T30_RefusesMetadataAddressesUnlessNamedOneByOne) {
  const std::string is = "a cloud metadata address";
  for (const std::string address : {"169.254.169.254", "169.254.170.2", "168.63.129.16",
                                    "100.100.100.200", "fd00:ec2::254", "fd20:ce::254"}) {
    EXPECT_EQ(verdict({}, address), refusal(address, is));
    EXPECT_EQ(verdict({"0.0.0.0/0", "::/0"}, address), refusal(address, is));
  }
  EXPECT_EQ(verdict({}, "64:ff9b::a9fe:a9fe"), refusal("64:ff9b::a9fe:a9fe (169.254.169.254)", is));
  EXPECT_EQ(verdict({"169.254.169.254/32"}, "169.254.169.254"), "allowed");
  EXPECT_EQ(verdict({"fd00:ec2::254/128"}, "fd00:ec2::254"), "allowed");
}

TEST(AddressPolicy, ExceptionsOpenTheirRangeAndPortOnly) {
  EXPECT_EQ(verdict({"10.1.0.0/16"}, "10.1.255.255"), "allowed");
  EXPECT_EQ(verdict({"10.1.0.0/16"}, "10.2.0.0"), refusal("10.2.0.0", "a private address"));
  EXPECT_EQ(verdict({"10.1.0.0/15"}, "10.1.0.0"),
            "allowed address \"10.1.0.0/15\" has address bits beyond its prefix");
  EXPECT_EQ(verdict({"127.0.0.1/32:443"}, "127.0.0.1"), "allowed");
  EXPECT_EQ(verdict({"127.0.0.1/32:8443"}, "127.0.0.1"),
            refusal("127.0.0.1", "a loopback address"));
  EXPECT_EQ(verdict({"10.1.0.0/16"}, "::ffff:10.1.2.3"), "allowed");
  EXPECT_EQ(verdict({"fd00::/8"}, "fd12::1"), "allowed");
  EXPECT_EQ(verdict({"[fd00::]/8"}, "fd12::1"), "allowed");
  EXPECT_EQ(verdict({"[fd00::]/8:443"}, "fd12::1"), "allowed");
  EXPECT_EQ(verdict({"[fd00::]/8:80"}, "fd12::1"), refusal("fd12::1", "a private address"));
  EXPECT_EQ(verdict({"::1/128"}, "127.0.0.1"), refusal("127.0.0.1", "a loopback address"));
  EXPECT_EQ(verdict({"0.0.0.0/0"}, "fd12::1"), refusal("fd12::1", "a private address"));
}

TEST(AddressPolicy, RefusesExceptionsItCannotReadAndSaysHowToWriteThem) {
  for (const std::string text :
       {"", "10.0.0.1", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/08", "10.0.0.0/8:", "010.0.0.0/8",
        "10.0/8", "localhost/8", "fd00::/8:443", "[10.0.0.0]/8:443", "[fd00::/8]:443", "/8",
        "10.0.0.0/8x", "10.0.0.0/-1", "fd00::/129", "fe80::1%eth0/128"}) {
    EXPECT_EQ(verdict({text}, "1.1.1.1"),
              "allowed address \"" + text +
                  "\" is not of the form 10.0.0.0/8, 10.0.0.0/8:443, fd00::/8 or [fd00::]/8:443");
  }
  for (const std::string text : {"10.0.0.0/8:0", "10.0.0.0/8:65536", "10.0.0.0/8:x"}) {
    EXPECT_EQ(verdict({text}, "1.1.1.1"),
              "allowed address \"" + text + "\" has a port that is not a number from 1 to 65535");
  }
}

TEST(AddressPolicy, RefusesOtherFamilies) {
  auto policy = AddressPolicy::parse({"0.0.0.0/0", "::/0"});
  ASSERT_TRUE(policy);
  sockaddr_un local{};
  local.sun_family = AF_UNIX;
  auto allowed = policy->check(reinterpret_cast<const sockaddr*>(&local), sizeof(local));
  ASSERT_FALSE(allowed);
  EXPECT_EQ(allowed.error(), (Error{ErrorKind::Denied, "its address is neither IPv4 nor IPv6"}));
}

TEST(AddressPolicy, ReadsSocketAddresses) {
  auto policy = AddressPolicy::parse({"127.0.0.1/32:8443"});
  ASSERT_TRUE(policy);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(8443);
  EXPECT_TRUE(policy->check(reinterpret_cast<const sockaddr*>(&address), sizeof(address)));
  address.sin_port = htons(8444);
  EXPECT_FALSE(policy->check(reinterpret_cast<const sockaddr*>(&address), sizeof(address)));
}

}  // namespace
}  // namespace sandboxrun::agent
