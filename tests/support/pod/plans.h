#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "operator/base/document.h"
#include "operator/pod/options.h"
#include "operator/run/plan.h"

/// Plans and rendered pods for tests of operator/pod.
namespace sandboxrun::pod::testing {

inline const std::string kHexA(64, 'a');
inline const std::string kHexB(64, 'b');

/// The plan of the run "weather" whose spec has, beside image and command, these lines of YAML.
run::Plan plan_of(const std::string& lines = "");

/// A run with everything: archive, assets of each source, setup, upload, secrets.
run::Plan full_plan();

PodOptions options();
Attempt attempt();

/// The rendered pod.
Node rendered(const run::Plan& plan, const PodOptions& with = options());

Node parsed(const std::string& json);

/// The value at "spec.containers[run].env[HOME].value": members by name, items of lists by their
/// "name" (mounts: "mountPath") or index. nullptr if it isn't there.
Node* find(Node& root, std::string_view path);
const Node* find(const Node& root, std::string_view path);

/// The text or number at `path`, or "" if it isn't there.
std::string text(const Node& root, std::string_view path);
/// A list of texts.
std::vector<std::string> texts(const Node& root, std::string_view path);
/// The names of a map's members, or the `name`s of a list's items.
std::vector<std::string> names(const Node& root, std::string_view path);

/// The value as one line of JSON.
std::string json(const Node& root, std::string_view path);

/// Puts a value, given as JSON, at `path`: replaces a member or item, adds a member, or appends to
/// the list that "list[+]" names.
void put(Node& root, const std::string& path, const std::string& value);
void drop(Node& root, const std::string& path);

}  // namespace sandboxrun::pod::testing
