#include "tests/support/kstatus.h"

#include "tests/support/child_process.h"
#include "tests/support/setup_cache.h"
#include "tests/support/temp_dir.h"

namespace sandboxrun::test {

std::string kstatus(const std::string& object) {
  const TempDir work;
  write_file(work / "object", object);
  std::string line = run_program({"/bin/sh", "-c", R"(exec "$0" <"$1")",
                                  setup_cache() + "/tools/bin/kstatus", work / "object"});
  while (line.ends_with('\n')) line.pop_back();
  return line;
}

}  // namespace sandboxrun::test
