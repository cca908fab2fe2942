#pragma once

#include <string>

#include "operator/base/json_writer.h"
#include "operator/pod/options.h"
#include "operator/run/plan.h"

/// The pod's spec. Part of the renderer.
namespace sandboxrun::pod {

void write_spec(JsonWriter& json, const run::Plan& plan, const PodOptions& options,
                const Attempt& attempt);

/// `text` with every "$" doubled: the kubelet expands $(NAME), and "$$" is how it writes "$".
std::string double_dollars(std::string_view text);

}  // namespace sandboxrun::pod
