#include "operator/cli/help.h"

namespace sandboxrun::cli {
namespace {

constexpr std::string_view kOverview =
    R"(usage: sandboxrun COMMAND [FLAG...]

Runs code that nobody should have to trust: verifies its environment, places its inputs, runs one
command in a sandbox without network, and stores its results.

  run     run a SandboxRun manifest on this machine
  check   say everything that is wrong with manifests, without running anything
  render  print the OCI configuration that `run` would use
  version print the version

examples:
  sandboxrun check run.yaml
  sandboxrun run -f run.yaml --results out/

`sandboxrun COMMAND --help` lists the flags, their defaults and the exit codes.
)";

constexpr std::string_view kRun =
    R"(usage: sandboxrun run -f FILE [FLAG...]

Runs one manifest to its end and cleans up. The program's stdout and stderr come out as ours;
progress and the summary go to stderr.

what to run
  -f, --file FILE            the manifest, YAML or JSON; - reads standard input
      --base-dir DIR         where relative paths of file: sources start
                             (default: the manifest's folder; for -, the current one)
      --secret NAME=DIR      a Secret that the manifest names: a folder with one file for each key
      --config-map NAME=DIR  the same for a ConfigMap; both may be repeated

what comes out
      --results DIR          store the results as DIR/NAME.tar.gz (or .tar.zst); DIR is made if need
                             be; what is there already is kept, the new archive then becomes
                             NAME.2.tar.gz and so on (default: results are not kept)
  -q, --quiet                no progress and no summary, only the program's output and errors
  -o, --output yaml|json     at the end print the run with its status on stdout; the program's
                             stdout then goes to stderr

how
      --images DIR           an OCI layout in which images are looked up by digest before a registry
                             is asked; may be repeated
      --cache DIR            verified images and environments, kept between runs (default:
                             $SANDBOXRUN_CACHE, else $XDG_CACHE_HOME/sandboxrun, else
                             ~/.cache/sandboxrun)
      --state-dir DIR        where a run's files live while it does (default: /var/lib/sandboxrun
                             for root, else $XDG_RUNTIME_DIR/sandboxrun, else /tmp/sandboxrun-UID)
      --runtime PATH         the OCI runtime, an absolute path (default: /usr/sbin/runc)
      --guard PATH           the guard program, an absolute path (default: ../libexec/sandboxrun/guard
                             from this program, else beside it)
      --allow-address CIDR[:PORT]
                             let transfers connect to addresses that are refused otherwise (private,
                             loopback, ...); may be repeated; IPv6 with a port: [CIDR]:PORT
      --allow-http           let transfers use http://; without it only https:// is

Ctrl-C (or SIGTERM) cancels: the program is stopped, its results are still collected, everything is
cleaned up. A second one kills the program at once and gives up the results.

exit codes
  the program's own; 128 + N if signal N ended it; 124 if its deadline passed, 123 if a setup step
  failed, 126 and 127 if it could not be executed or found
  125  it was never started, or it ended with 0 but the run failed all the same (its results could
       not be stored, ...): 0 always means that the run succeeded

examples:
  sandboxrun run -f run.yaml --results out/
  sandboxrun run -f - -o json <run.yaml >status.json
  sandboxrun run -f run.yaml --secret s3-keys=./keys --allow-address 10.1.0.0/16:443
)";

constexpr std::string_view kCheck =
    R"(usage: sandboxrun check [FLAG...] FILE...

Reads manifests as a cluster would and prints everything that is wrong with them, by file, line and
column. Nothing is run, fetched or looked up. - reads standard input.

      --local         check for `sandboxrun run` instead: file: sources are accepted, what only a
                      cluster can do is not
      --allow-http    accept http:// sources, as an operator or a `run` with this flag does
  -o, --output json   print the findings as JSON

exit codes
  0  all are valid      1  something is wrong      2  the command line is wrong

examples:
  sandboxrun check run.yaml
  sandboxrun check --local docs/examples/*/run.yaml
)";

constexpr std::string_view kRender =
    R"(usage: sandboxrun render --oci -f FILE [FLAG...]

Prints the config.json of the OCI bundle that `sandboxrun run` would make of the manifest. Nothing
is fetched or run; paths inside the bundle are shown relative to it.

      --oci              print the OCI runtime configuration (the only form there is)
  -f, --file FILE        the manifest; - reads standard input
      --base-dir, --secret, --config-map, --images, --cache, --state-dir, --runtime, --guard,
      --allow-address, --allow-http
                         as in `sandboxrun run --help`

exit codes
  0  printed      1  the manifest is not valid      2  the command line is wrong

example:
  sandboxrun render --oci -f run.yaml | jq .process.args
)";

}  // namespace

std::string_view help_text(std::string_view command) {
  if (command == "run") return kRun;
  if (command == "check") return kCheck;
  if (command == "render") return kRender;
  return kOverview;
}

}  // namespace sandboxrun::cli
