#pragma once

#include <string>
#include <string_view>

/// Paths as text: nothing here looks at a file system.
namespace sandboxrun::run {

/// The shortest way to write an absolute path: no empty, "." and ".." components, no slash at the
/// end. ".." at the root stays there.
std::string normalise(std::string_view absolute);

/// `inner` is `outer` or lies below it. Both normalised.
bool is_within(std::string_view inner, std::string_view outer);

/// `inner` lies below `outer` and is not the same. Both normalised.
bool is_below(std::string_view inner, std::string_view outer);

/// Number of components: "/work/a" has 2.
int component_count(std::string_view normalised);

/// "/work/a" of "/work/a/b"; "/" of "/work".
std::string parent_of(std::string_view normalised);

}  // namespace sandboxrun::run
