# shellcheck shell=sh
# Sourced by the guard before the setup steps and the command, with a POSIX shell.
export PATH="/env/bin:${PATH:-/usr/local/bin:/usr/bin:/bin}"
export LD_LIBRARY_PATH="/env/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
# matplotlib keeps its font list beside its settings and the environment is read-only.
export MPLCONFIGDIR="${TMPDIR:-/tmp}/matplotlib"
export MPLBACKEND=Agg
