// Feeds bytes to the URL parser and the address policy: the first line is a URL, the second a
// Location header's value, the third an exception of the policy. What is accepted has one normal
// form, which reads back as itself, and shows no query.
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "sandbox-image/agent/address_policy.h"
#include "sandbox-image/agent/url.h"

namespace {

namespace agent = sandboxrun::agent;

std::string_view take_line(std::string_view& text) {
  const std::string_view line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(text.size(), line.size() + 1));
  return line;
}

void require(bool holds) {
  if (!holds) std::abort();
}

void check_url(const agent::Url& url) {
  const auto again = agent::parse_url(url.text());
  require(again && *again == url);
  require(agent::same_origin(url, *again));
  require(url.port != 0 && url.path.starts_with('/'));
  require(url.shown().find('?') == std::string::npos);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const std::string_view text = take_line(rest);
  const std::string_view reference = take_line(rest);
  const std::string_view exception = take_line(rest);

  const auto policy = agent::AddressPolicy::parse({std::string(exception)});
  for (const std::string_view candidate : {text, reference}) {
    const auto address = agent::parse_ip(candidate);
    if (!address) continue;
    const auto again = agent::parse_ip(address->text());
    require(again && *again == *address);
    if (policy) static_cast<void>(policy->check(*address, 443));
  }
  const auto url = agent::parse_url(text);
  if (!url) return 0;
  check_url(*url);
  if (const auto target = agent::resolve_reference(*url, reference)) check_url(*target);
  return 0;
}
