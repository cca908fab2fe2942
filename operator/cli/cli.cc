#include "operator/cli/cli.h"

#include <unistd.h>

#include <type_traits>
#include <utility>
#include <variant>

#include "operator/cli/screen.h"

namespace sandboxrun::cli {

int run_program(const std::vector<std::string>& arguments, const Surroundings& surroundings) {
  return std::visit(
      [&]<typename T>(T&& command) -> int {
        if constexpr (std::is_same_v<T, RunOptions>) {
          return run_command(std::forward<T>(command), surroundings);
        } else if constexpr (std::is_same_v<T, CheckOptions>) {
          return check_command(command);
        } else if constexpr (std::is_same_v<T, RenderOptions>) {
          return render_command(std::forward<T>(command), surroundings);
        } else {
          const bool good = command.exit_code == kExitOk;
          write_all(good ? STDOUT_FILENO : STDERR_FILENO, command.text);
          return command.exit_code;
        }
      },
      parse_arguments(arguments));
}

}  // namespace sandboxrun::cli
