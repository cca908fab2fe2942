#pragma once

#include <locale.h>

namespace sandboxrun::agent {

/// Makes the calling thread read and write names as UTF-8 for as long as this lives: libarchive
/// converts pax names to the thread's character set and back. Nothing else of the locale changes.
class Utf8Locale {
 public:
  Utf8Locale()
      : locale_(::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr)), before_(::uselocale(locale_)) {}
  ~Utf8Locale() {
    ::uselocale(before_);
    if (locale_ != nullptr) ::freelocale(locale_);
  }
  Utf8Locale(const Utf8Locale&) = delete;
  Utf8Locale& operator=(const Utf8Locale&) = delete;

 private:
  locale_t locale_;
  locale_t before_;
};

}  // namespace sandboxrun::agent
