#include "operator/cli/references.h"

#include <fmt/format.h>
#include <unistd.h>

#include <string_view>

namespace sandboxrun::cli {
namespace {

enum class Object { Secret, ConfigMap };

class Finder {
 public:
  explicit Finder(const Objects& objects) : objects_(objects) {}

  void source(const std::string& path, const run::Source& source) {
    if (source.https) https(path + ".https", *source.https);
    if (source.s3) s3(path + ".s3", *source.s3);
    if (source.config_map) {
      need(path + ".configMap", Object::ConfigMap, source.config_map->name, source.config_map->key);
    }
  }

  void upload(const std::string& path, const run::Upload& upload) {
    if (upload.https) https(path + ".https", *upload.https);
    if (upload.s3) s3(path + ".s3", *upload.s3);
  }

  void need(const std::string& path, Object kind, const std::string& name, const std::string& key) {
    const bool secret = kind == Object::Secret;
    const auto& given = secret ? objects_.secrets : objects_.config_maps;
    const std::string_view word = secret ? "Secret" : "ConfigMap";
    const std::string_view flag = secret ? "--secret" : "--config-map";
    const auto folder = given.find(name);
    if (folder == given.end()) {
      add(path, fmt::format("names the {0} \"{1}\", which was not given; add {2} {1}=DIR, a folder "
                            "with one file for each key",
                            word, name, flag));
    } else if (!key.empty() && access((folder->second + "/" + key).c_str(), R_OK) != 0) {
      add(path, fmt::format("needs the key \"{}\" of the {} \"{}\"; put a readable file of that "
                            "name into the folder given with {}",
                            key, word, name, flag));
    }
  }

  std::vector<run::FieldError> take() { return std::move(errors_); }

 private:
  void https(const std::string& path, const run::HttpsSource& https) {
    if (https.url_secret) {
      need(path + ".urlFrom.secretKeyRef", Object::Secret, https.url_secret->name,
           https.url_secret->key);
    }
    if (!https.headers_secret.empty()) {
      need(path + ".headersSecretRef", Object::Secret, https.headers_secret, "");
    }
    if (https.ca) {
      need(path + ".caConfigMapRef", Object::ConfigMap, https.ca->name,
           https.ca->key.empty() ? "ca.crt" : https.ca->key);
    }
  }

  void s3(const std::string& path, const run::S3Source& s3) {
    if (s3.credentials_secret.empty()) return;
    for (const char* key : {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}) {
      need(path + ".credentialsSecretRef", Object::Secret, s3.credentials_secret, key);
      if (!objects_.secrets.contains(s3.credentials_secret)) break;  // said once
    }
  }

  void add(std::string path, std::string message) {
    errors_.push_back({.path = std::move(path), .message = std::move(message)});
  }

  const Objects& objects_;
  std::vector<run::FieldError> errors_;
};

}  // namespace

std::vector<run::FieldError> missing_references(const run::SandboxRun& run,
                                                const Objects& objects) {
  Finder finder(objects);
  const run::Spec& spec = run.spec;
  if (spec.environment.archive) {
    finder.source("spec.environment.archive.source", spec.environment.archive->source);
  }
  for (std::size_t i = 0; i < spec.env.size(); ++i) {
    const std::string path = fmt::format("spec.env[{}].valueFrom", i);
    if (const auto& ref = spec.env[i].secret) {
      finder.need(path + ".secretKeyRef", Object::Secret, ref->name, ref->key);
    }
    if (const auto& ref = spec.env[i].config_map) {
      finder.need(path + ".configMapKeyRef", Object::ConfigMap, ref->name, ref->key);
    }
  }
  for (std::size_t i = 0; i < spec.assets.size(); ++i) {
    finder.source(fmt::format("spec.assets[{}].source", i), spec.assets[i].source);
  }
  if (spec.results && spec.results->upload) {
    finder.upload("spec.results.upload", *spec.results->upload);
  }
  return finder.take();
}

}  // namespace sandboxrun::cli
