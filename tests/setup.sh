#!/usr/bin/env bash
# setup.sh run|test: makes this machine and .venv ready for the demo (run) or for everything (test).
# Installs only what is missing, says what first, starts no service, and does nothing when nothing is missing.
# setup.sh freeze: writes tests/constraints.txt from what .venv holds now.
set -eu -o pipefail

cd "$(dirname "$0")/.."
readonly packages=tests/apt-packages.txt constraints=tests/constraints.txt venv=.venv
readonly policy=/usr/sbin/policy-rc.d
readonly minimum='import sys; sys.exit(sys.version_info < (3, 11))'

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$@" >&2; exit 2; }

# The first Python that is new enough; the one on PATH wins, so that pyenv and the like are respected.
find_python() {
  local candidate
  for candidate in python3 python3.11 python3.12 python3.13 /usr/bin/python3; do
    if command -v "$candidate" >/dev/null && "$candidate" -c "$minimum" 2>/dev/null; then
      "$candidate" -c 'import sys; print(sys.executable)'
      return
    fi
  done
}

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# What is missing, one package a line: the list of this purpose, and what the chosen Python lacks.
missing_packages() {
  local purpose=$1 python=$2 name need
  while read -r name need _; do
    case "$name" in '' | '#'*) continue ;; esac
    [ "$need" = run ] || [ "$purpose" = test ] || continue
    installed "$name" || echo "$name"
  done <"$packages"
  if [ -z "$python" ]; then
    printf '%s\n' python3 python3-venv python3-dev
  elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo python3-venv
  fi
  # A Python that was built by hand brings its own headers; Debian's keeps them in python3-dev.
  if [ -n "$python" ] && ! "$python" -c "$has_headers" 2>/dev/null; then
    echo python3-dev
  fi
}
readonly has_headers='
import pathlib, sys, sysconfig
sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())'

# Another mail server would be removed by apt to make room for Postfix. That is not ours to do.
refuse_other_mail_server() {
  local others
  others=$(dpkg-query -W -f '${db:Status-Status} ${Package} ${Provides}\n' |
    awk '$1 == "installed" && $2 != "postfix" && / mail-transport-agent/ { print $2 }')
  [ -z "$others" ] || fail \
    "the tests need Postfix, and this machine has another mail server: $(echo $others)." \
    "Installing Postfix would remove it, so nothing was changed. Use a machine without it," \
    "or remove it yourself. The demo (make demo) needs no mail server."
}

install_packages() {
  local as_root=() ours=''
  command -v apt-get >/dev/null || fail \
    "this machine has no apt-get; install the like of these yourself: $*"
  case " $* " in *' postfix '*) refuse_other_mail_server ;; esac
  say "these Debian packages are missing and will be installed: $*"
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "neither root nor sudo; as root, run: apt-get install $*"
    as_root=(sudo)
  fi
  # Servers that are installed for tests must not start: the tests start private instances of their own.
  if [ ! -e "$policy" ]; then
    ours=yes
    trap '"${as_root[@]}" rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod 755 "$policy"
  fi
  echo 'postfix postfix/main_mailer_type select No configuration' | "${as_root[@]}" debconf-set-selections
  "${as_root[@]}" apt-get -qq update </dev/null
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -y -q --no-install-recommends \
    -o Dpkg::Options::=--force-confold install "$@" </dev/null
  if [ -n "$ours" ]; then
    "${as_root[@]}" rm -f "$policy"
    trap - EXIT
  fi
}

# .venv is remade if its Python is gone, and filled again when anything that decides its content has changed.
make_venv() {
  local python=$1 stamp
  stamp=$({ cat setup.cfg pyproject.toml "$constraints"; pwd; echo "$python"; } | sha256sum | cut -d' ' -f1)
  [ "$(cat "$venv/.ready" 2>/dev/null)" != "$stamp" ] || return 0
  if ! "$venv/bin/python" -c "$minimum" 2>/dev/null; then
    say "making $venv with $python"
    "$python" -m venv --clear "$venv"
  fi
  say "installing gatepost and its parts into $venv (once; a minute or two)"
  "$venv/bin/python" -m pip --disable-pip-version-check install --no-input \
    --constraint "$constraints" --editable '.[milter,console,ldap,postgres,test]' </dev/null
  echo "$stamp" >"$venv/.ready"
}

prepare() {
  local purpose=$1 python missing
  python=$(find_python)
  missing=$(missing_packages "$purpose" "$python")
  if [ -n "$missing" ]; then
    # shellcheck disable=SC2086 # one word for each package
    install_packages $missing
    python=$(find_python)
  fi
  [ -n "$python" ] || fail "gatepost needs Python 3.11 or newer, and none was found"
  make_venv "$python"
}

freeze() {
  {
    echo '# The versions that the tests were last run with; written by tests/setup.sh freeze.'
    "$venv/bin/python" -m pip --disable-pip-version-check freeze --all --exclude-editable --exclude pip
  } >"$constraints.new"
  mv "$constraints.new" "$constraints"
}

case "${1-}" in
  run | test) prepare "$1" ;;
  freeze) freeze ;;
  *) fail 'usage: tests/setup.sh run|test|freeze' ;;
esac
