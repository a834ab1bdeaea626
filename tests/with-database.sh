#!/usr/bin/env bash
# Runs a command with a private PostgreSQL cluster: DATABASE_URL names an empty database of
# it, migrated. The cluster listens on a socket only and is gone afterwards.
# usage: tests/with-database.sh COMMAND [ARGUMENT…]
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1 || true)
[ -n "$bin" ] || { echo "with-database.sh: PostgreSQL is not installed; run make packages" >&2; exit 1; }
dir=$(mktemp -d /tmp/umail-tests.XXXXXX)
as_user=()
if [ "$(id -u)" -eq 0 ]; then
  chown postgres "$dir"
  as_user=(setpriv --reuid=postgres --regid=postgres --init-groups)
fi
cleanup() {
  "${as_user[@]}" "$bin/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null 2>&1 || true
  rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
cd "$dir"
"${as_user[@]}" "$bin/initdb" --no-sync -A trust -U umail -E UTF8 --locale=C --lc-ctype=C.UTF-8 -D "$dir/data" >/dev/null
"${as_user[@]}" "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w \
  -o "-c listen_addresses='' -k $dir -c fsync=off -c max_connections=400" start >/dev/null
psql=(psql -q -v ON_ERROR_STOP=1 -h "$dir" -U umail)
"${psql[@]}" -d postgres -c 'CREATE DATABASE umail'
for file in "$root"/migrations/*.sql; do PGOPTIONS='-c client_min_messages=warning' "${psql[@]}" -1 -d umail -f "$file"; done
cd "$root"
DATABASE_URL="postgres://umail@localhost/umail?host=$dir" "$@"
