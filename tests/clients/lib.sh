# What every folder's `suite` script shares; sourced, never run.
#
# A folder holds one ecosystem and has one executable, `suite`:
#   suite list           the names of its suites, one per line
#   suite install NAME   installs the client in the version that the folder's lock file names, into $OTTLA_CACHE
#   suite run NAME       becomes the suite's program: a line per step on standard output
#
# A line is `CLIENT | STEP | ok`, `… | FAILED why` or `… | skipped why`. CLIENT is the client's name with the version that
# it tells itself, where it does. A step is `AREA: DETAIL`, the area one of topics, produce, consume, groups, errors,
# restarts, programs: README.md's table has a column per area.
set -euo pipefail
: "${OTTLA_CACHE:?directory for what is installed}"
folder=$(cd "$(dirname "${BASH_SOURCE[1]}")" && pwd)
clients=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export clients

say() {
  printf '%s\n' "$*"
}

# need COMMAND-OR-FILE PACKAGE…: the distribution's packages, where the command (or the file) is missing.
need() {
  local wanted=$1 log=$OTTLA_CACHE/apt.log sudo=
  shift
  case $wanted in
    /*) [ -e "$wanted" ] && return ;;
    *) command -v "$wanted" >/dev/null && return ;;
  esac
  [ "$(id -u)" -eq 0 ] || sudo=sudo
  say "installing $*" >&2
  $sudo apt-get update -qq >"$log" 2>&1 || true
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "$@" >>"$log" 2>&1 \
    || { tail -n 5 "$log" >&2; return 1; }
}

# keyed NAME FILE…: a directory in the cache that is a new one whenever a file's content changes.
keyed() {
  local name=$1
  shift
  echo "$OTTLA_CACHE/$name-$(cat "$@" | sha256sum | cut -c1-12)"
}

# once DIRECTORY COMMAND…: runs the command unless it has succeeded for this directory before.
once() {
  local directory=$1
  shift
  [ -e "$directory/.complete" ] && return
  rm -rf "$directory"
  mkdir -p "$directory"
  "$@"
  : >"$directory/.complete"
}

verb=${1:-} suite=${2:-}
