#pragma once

#include <dlfcn.h>

namespace sandboxrun {

/// A function of a library that is opened while the program runs, by the name and the type of its
/// declaration. Null if there is no such function, or no library.
template <typename Function>
Function* late_function(void* library, const char* name) {
  return library == nullptr ? nullptr : reinterpret_cast<Function*>(dlsym(library, name));
}

}  // namespace sandboxrun
