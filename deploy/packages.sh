#!/usr/bin/env bash
# Installs the Debian packages that the product and its tests need, and those named as arguments,
# and says which.
# No service is started or enabled: a policy-rc.d that answers 101 sees to it.
set -euo pipefail

packages=(
  # the product: mail daemons and the private database
  postfix postfix-sqlite
  dovecot-core dovecot-sqlite dovecot-lmtpd dovecot-pop3d dovecot-imapd dovecot-sieve
  postgresql-15
  # building the C parts of the Rust crates
  gcc libc6-dev perl pkg-config
  # namespaces, tests, and looking at things by hand
  iproute2 util-linux sqlite3 swaks libnet-ssleay-perl curl jq ca-certificates dbus
  "$@"
)

# All mail on storage nodes belongs to this user. It owns nothing else and cannot sign in.
make_mail_user() {
  if getent passwd vmail >/dev/null; then return; fi
  if [ "$(id -u)" -ne 0 ]; then
    echo "packages.sh: the user vmail is missing, and only root can add it" >&2
    exit 1
  fi
  echo "adding the system user vmail"
  useradd --system --user-group --no-create-home --home-dir /nonexistent \
    --shell /usr/sbin/nologin vmail
}

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
  [ "$status" = "install ok installed" ] || missing+=("$package")
done
if [ "${#missing[@]}" -eq 0 ]; then
  make_mail_user
  exit 0
fi

if [ "$(id -u)" -ne 0 ]; then
  echo "packages.sh: missing packages, and only root can install them: ${missing[*]}" >&2
  exit 1
fi

echo "installing Debian packages: ${missing[*]}"
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' > "$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi
# Debian's postgresql-common would create and start a cluster of its own.
mkdir -p /etc/postgresql-common
[ -e /etc/postgresql-common/createcluster.conf ] \
  || echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf

export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
if ! { apt-get update -q && apt-get install -y -q --no-install-recommends "${missing[@]}"; } > "$log" 2>&1; then
  tail -n 20 "$log" >&2
  echo "packages.sh: apt-get failed; the whole output is in $log" >&2
  exit 1
fi
rm -f "$log"
make_mail_user
