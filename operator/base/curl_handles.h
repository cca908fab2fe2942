#pragma once

#include <curl/curl.h>

#include <memory>
#include <string>

/// libcurl's handles, freed with their owner. Whoever includes this links libcurl, or what stands
/// in for it.
namespace sandboxrun {

struct CloseCurlEasy {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct CloseCurlMulti {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};
struct FreeCurlList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using CurlEasy = std::unique_ptr<CURL, CloseCurlEasy>;
using CurlMulti = std::unique_ptr<CURLM, CloseCurlMulti>;
using CurlList = std::unique_ptr<curl_slist, FreeCurlList>;

/// False: memory ran out; the list is as it was.
inline bool append_line(CurlList& list, const std::string& line) {
  curl_slist* const before = list.release();
  curl_slist* const longer = curl_slist_append(before, line.c_str());
  list.reset(longer == nullptr ? before : longer);
  return longer != nullptr;
}

}  // namespace sandboxrun
