#!/usr/bin/env bash
# Installs the Debian packages of scripts/packages.txt that this machine lacks; does nothing, quickly, when all are there.
# Usage: scripts/install_packages.sh [GROUP...]     groups: build (default), rust, test, fuzz
# Needs root or sudo. Without either it lists what is missing, says how to get it, and exits 1.
set -euo pipefail

groups=${*:-build}
list=$(dirname "$0")/packages.txt

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  echo "note: this is no Debian system, so packages are not installed for you; scripts/packages.txt names what is needed" >&2
  exit 0
fi

wanted=$(awk -v groups="$groups" '
  BEGIN { count = split(groups, names, " "); for (i = 1; i <= count; ++i) asked[names[i]] = 1 }
  { sub(/#.*/, "") }
  /^\[.*\]/ { group = substr($1, 2, length($1) - 2); known[group] = 1; next }
  NF && (group in asked) { print $1 }
  END { for (name in asked) if (!(name in known)) { print "error: no package group \"" name "\" in scripts/packages.txt" > "/dev/stderr"; exit 2 } }
' "$list")

# Also counts a package that another one provides (pkgconf provides pkg-config).
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package} ${Provides}\n' | awk '$1 == "installed" { $1 = ""; gsub(/\([^)]*\)|,/, " "); print }' | tr -s ' ' '\n')
missing=$(comm -23 <(sort -u <<<"$wanted") <(sort -u <<<"$installed"))
[ -n "$missing" ] || exit 0

names=$(tr '\n' ' ' <<<"$missing")
if [ "$(id -u)" -eq 0 ]; then
  as_root=()
elif command -v sudo >/dev/null; then
  as_root=(sudo)
else
  {
    echo "error: these Debian packages are missing, and installing them needs root or sudo:"
    sed 's/^/  /' <<<"$missing"
    echo "Ask an administrator to run:  apt-get install --no-install-recommends $names"
  } >&2
  exit 1
fi

echo "installing Debian packages: $names"
export DEBIAN_FRONTEND=noninteractive
# The package lists of a fresh machine or image are empty or old.
"${as_root[@]}" apt-get update -qq
# shellcheck disable=SC2086
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $names >/dev/null
