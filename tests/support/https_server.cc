#include "tests/support/https_server.h"

#include <cstdlib>
#include <sstream>
#include <stdexcept>

#include "operator/base/document.h"

namespace sandboxrun::test {
namespace {

constexpr const char* kOpenssl = "/usr/bin/openssl";
constexpr const char* kPython = "/usr/bin/python3";
constexpr const char* kHere = "127.0.0.1";

std::string bracketed(const std::string& address) {
  return address.find(':') == std::string::npos ? address : "[" + address + "]";
}

CertificateAuthority::Pair make_self_signed(const TempDir& dir, const std::string& names) {
  const CertificateAuthority::Pair pair{dir / "self.pem", dir / "self.key"};
  run_program({kOpenssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
               "-nodes", "-keyout", pair.key, "-out", pair.certificate, "-days", "2", "-subj",
               "/CN=self", "-addext", "subjectAltName=" + names});
  return pair;
}

ServedRequest read_request(const std::string& line) {
  auto node = parse_json(line);
  if (!node) throw std::runtime_error("https_server.py's log: " + node.error().message);
  ServedRequest request;
  request.method = node->find("method")->text;
  request.target = node->find("target")->text;
  request.sha256 = node->find("sha256")->text;
  request.bytes = node->find("bytes")->integer;
  for (const Node& header : node->find("headers")->items) {
    request.headers.emplace(header.items[0].text, header.items[1].text);
  }
  return request;
}

}  // namespace

CertificateAuthority::CertificateAuthority() {
  run_program({kOpenssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
               "-nodes", "-keyout", dir_ / "ca.key", "-out", file(), "-days", "2", "-subj",
               "/CN=test authority", "-addext", "keyUsage=critical,keyCertSign"});
}

CertificateAuthority::Pair CertificateAuthority::issue(const std::string& names) const {
  const TempDir work;
  const std::string request = work / "request.pem";
  const std::string extensions = work / "extensions";
  const std::string name = std::to_string(std::hash<std::string>()(names));
  const Pair pair{dir_ / (name + ".pem"), dir_ / (name + ".key")};
  write_file(extensions, "subjectAltName=" + names + "\nextendedKeyUsage=serverAuth\n");
  run_program({kOpenssl, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
               "-keyout", pair.key, "-out", request, "-subj", "/CN=test server"});
  run_program({kOpenssl, "x509", "-req", "-in", request, "-CA", file(), "-CAkey", dir_ / "ca.key",
               "-CAcreateserial", "-days", "2", "-extfile", extensions, "-out", pair.certificate});
  return pair;
}

std::string ServedRequest::header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? "" : found->second;
}

HttpsServer::HttpsServer(const CertificateAuthority& authority, const std::string& script,
                         Certificate certificate, const std::string& address) {
  const std::string names =
      certificate == Certificate::OtherHost
          ? "DNS:elsewhere.example"
          : "IP:127.0.0.1,IP:::1,DNS:localhost,DNS:rebind.example,IP:" + address;
  const auto pair = certificate == Certificate::SelfSigned ? make_self_signed(dir_, names)
                                                           : authority.issue(names);
  origin_ = "https://" + bracketed(address);
  start(script, {"--cert", pair.certificate, "--key", pair.key, "--address", address});
}

HttpsServer::HttpsServer(const std::string& script) {
  origin_ = std::string("http://") + kHere;
  start(script, {"--address", kHere});
}

void HttpsServer::start(const std::string& script, std::vector<std::string> more) {
  write_file(dir_ / "script", script);
  write_file(dir_ / "log", "");
  std::vector<std::string> argv = {
      kPython,    SANDBOXRUN_SOURCE_DIR "/tests/support/https_server.py",
      "--script", dir_ / "script",
      "--log",    dir_ / "log"};
  argv.insert(argv.end(), more.begin(), more.end());
  process_ = std::make_unique<ChildProcess>(argv);
  const std::string line = process_->read_line();
  if (!line.starts_with("ready ")) {
    throw std::runtime_error("https_server.py did not start; it said \"" + line + "\"");
  }
  port_ = std::atoi(line.c_str() + 6);
}

std::string HttpsServer::url(const std::string& path) const {
  return origin_ + ":" + std::to_string(port_) + path;
}

std::vector<ServedRequest> HttpsServer::requests() const {
  std::vector<ServedRequest> out;
  std::istringstream log(read_file(dir_ / "log"));
  for (std::string line; std::getline(log, line);) out.push_back(read_request(line));
  return out;
}

}  // namespace sandboxrun::test
