#!/usr/bin/env bash
# Install PostgreSQL for the tests of the job store, jq for the documented examples, Chromium for the page
# and Prometheus for the queries of rules and boards,
# where they are missing and Debian's packages can be had.
# The tests start a temporary cluster of their own; the package's own cluster is not started.
set -euo pipefail
packages=()
if ! command -v initdb >/dev/null && ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then
  packages+=(postgresql)
fi
if ! command -v jq >/dev/null; then packages+=(jq); fi
if ! command -v chromium >/dev/null; then packages+=(chromium); fi
if ! command -v prometheus >/dev/null; then packages+=(prometheus); fi
if [ ${#packages[@]} = 0 ]; then exit 0; fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "not installed, so their tests are skipped: ${packages[*]}; on Debian: sudo apt-get install" >&2
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
mkdir -p /etc/postgresql-common
[ -e /etc/postgresql-common/createcluster.conf ] || echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
apt-get update -qq
apt-get install -qq --no-install-recommends -y "${packages[@]}" >/dev/null
