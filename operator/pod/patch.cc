#include "operator/pod/patch.h"

#include "operator/base/json_writer.h"
#include "operator/pod/names.h"

namespace sandboxrun::pod {

std::string ungate_patch(std::string_view uid, std::string_view resource_version,
                         const std::vector<std::string>& other_gates) {
  JsonWriter json;
  json.begin_object();
  json.key("metadata").begin_object().member("uid", uid);
  json.member("resourceVersion", resource_version).end_object();
  json.key("spec").begin_object().key("schedulingGates");
  if (other_gates.empty()) {
    json.null();
  } else {
    json.begin_array();
    for (const std::string& name : other_gates) {
      json.begin_object().member("name", name).end_object();
    }
    json.end_array();
  }
  json.end_object().end_object();
  return json.take();
}

std::string stop_patch(std::string_view uid, run::Reason reason, TimePoint at) {
  JsonWriter json;
  json.begin_object();
  json.key("metadata").begin_object().member("uid", uid);
  json.key("annotations").begin_object();
  json.member(kStopAnnotation, run::to_string(reason));
  json.member(kStopAtAnnotation, format_time(at));
  json.end_object().end_object();
  json.key("spec").begin_object().member("activeDeadlineSeconds", 1).end_object();
  json.end_object();
  return json.take();
}

std::string delete_options(std::string_view uid, std::string_view resource_version) {
  JsonWriter json;
  json.begin_object();
  json.member("apiVersion", "v1").member("kind", "DeleteOptions");
  json.key("preconditions").begin_object().member("uid", uid);
  if (!resource_version.empty()) json.member("resourceVersion", resource_version);
  json.end_object();
  json.member("propagationPolicy", "Background");
  json.end_object();
  return json.take();
}

}  // namespace sandboxrun::pod
