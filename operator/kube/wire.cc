#include "operator/kube/wire.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdint>

namespace sandboxrun::kube {

void watch_for_dead_peer(int socket, std::chrono::milliseconds dead_peer) {
  const int on = 1;
  const auto seconds = static_cast<int>(std::max<std::int64_t>(dead_peer.count() / 3000, 1));
  const int probes = 3;
  const auto user_timeout = static_cast<unsigned>(dead_peer.count());
  setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  setsockopt(socket, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof seconds);
  setsockopt(socket, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof seconds);
  setsockopt(socket, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
  setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout, sizeof user_timeout);
}

}  // namespace sandboxrun::kube
