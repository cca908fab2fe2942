// What a cached object costs, and how fast watch events are read:
//   kube_store_bench [objects]
#include <malloc.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <variant>

#include "operator/kube/projection.h"
#include "operator/kube/store.h"

namespace {

using namespace sandboxrun::kube;

// About what a controller keeps of a pod: a few short texts and numbers.
struct Projection {
  std::string phase;
  std::string node;
  std::int64_t numbers[4];
};

// A pod of 5 kB, most of it managedFields, as the API server sends it.
std::string event_of(int number) {
  const std::string text = std::to_string(number);
  return R"({"type":"ADDED","object":{"kind":"Pod","apiVersion":"v1","metadata":{"name":"run-)" +
         text + R"(-7d9fc1","namespace":"students","uid":"5a0c54a4-3d9b-4bd7-9f0a-)" +
         std::to_string(100000000000 + number) + R"(","resourceVersion":")" +
         std::to_string(1000 + number) +
         R"(","ownerReferences":[{"uid":"7d0f35f2-26a5-47f5-8b86-)" +
         std::to_string(100000000000 + number) + R"(","controller":true}],"managedFields":[")" +
         std::string(4500, 'f') + R"("]},"status":{"phase":"Running"}}})";
}

}  // namespace

int main(int argc, char** argv) {
  const int objects = argc > 1 ? std::atoi(argv[1]) : 10000;
  WatchReader reader;
  Store<Projection> store;
  reader.read_event(event_of(0));  // its buffers are not the store's
  const auto before = mallinfo2().uordblks;
  std::size_t bytes = 0;
  std::chrono::nanoseconds reading{0};
  for (int i = 0; i < objects; ++i) {
    const std::string line = event_of(i);
    bytes += line.size();
    const auto begun = std::chrono::steady_clock::now();
    auto input = reader.read_event(line);
    reading += std::chrono::steady_clock::now() - begun;
    auto object = std::make_shared<Cached<Projection>>();
    object->meta = std::move(std::get<WatchItem>(input).item.meta);
    object->value = Projection{.phase = "Running", .node = "node-1", .numbers = {}};
    store.apply(std::move(object));
  }
  const auto used = mallinfo2().uordblks - before;
  const double seconds = std::chrono::duration<double>(reading).count();
  std::printf("objects: %d\nbytes an object: %zu\nmicroseconds an event: %.2f\nMB/s: %.0f\n",
              objects, used / static_cast<std::size_t>(objects), seconds * 1e6 / objects,
              static_cast<double>(bytes) / seconds / 1e6);
  return 0;
}
