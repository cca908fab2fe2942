#include "operator/run/spec.h"

namespace sandboxrun::run {

std::string_view to_string(NetworkMode mode) {
  return mode == NetworkMode::None ? "None" : "Egress";
}

std::string_view to_string(Dns dns) {
  return dns == Dns::None ? "None" : "Cluster";
}

std::string_view to_string(Medium medium) {
  return medium == Medium::Disk ? "Disk" : "Memory";
}

std::string_view to_string(Protocol protocol) {
  switch (protocol) {
    case Protocol::TCP:
      return "TCP";
    case Protocol::UDP:
      return "UDP";
    case Protocol::SCTP:
      return "SCTP";
  }
  return "TCP";
}

}  // namespace sandboxrun::run
