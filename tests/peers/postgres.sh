# shellcheck shell=bash
# A private PostgreSQL for one run, to be sourced: start_postgres sets PG_URL (without a database) and PG_BIN,
# stop_postgres ends that one server by its pid and removes its data. Nothing else on the machine is touched.
#
# fsync is on, as by default; it says something only on a disk. ACCEPTD_PEERS_DATA names another folder than TMPDIR.

pg_data=
pg_pid=

# PostgreSQL does not run as root.
as_postgres() {
  if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

find_postgres() {
  local newest
  newest=$(find /usr/lib/postgresql -mindepth 3 -maxdepth 3 -path '*/bin/initdb' 2>/dev/null | sort -V | tail -1)
  newest=${newest:-$(command -v initdb || true)}
  if [ -z "$newest" ]; then
    echo "ERROR: PostgreSQL is not installed here; on Debian and Ubuntu: apt-get install postgresql" >&2
    return 1
  fi
  PG_BIN=$(dirname "$newest")
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

start_postgres() {
  local port
  find_postgres || return 1
  pg_data=$(mktemp -d "${ACCEPTD_PEERS_DATA:-${TMPDIR:-/tmp}}/acceptd-peers.XXXXXX")
  case $(stat -f -c %T "$pg_data" 2>/dev/null) in
    tmpfs | ramfs) echo "WARNING: $pg_data is in memory, where fsync is nothing; set ACCEPTD_PEERS_DATA" >&2 ;;
  esac
  [ "$(id -u)" != 0 ] || chown postgres "$pg_data"
  as_postgres "$PG_BIN/initdb" -D "$pg_data/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-instructions \
    >"$pg_data.log" 2>&1 || { cat "$pg_data.log" >&2; return 1; }
  port=$(free_port)
  as_postgres "$PG_BIN/postgres" -D "$pg_data/data" -p "$port" -c listen_addresses=127.0.0.1 \
    -c unix_socket_directories="$pg_data" -c shared_buffers=512MB -c max_wal_size=4GB >"$pg_data.log" 2>&1 &
  for _ in $(seq 300); do
    if "$PG_BIN/pg_isready" -q -h 127.0.0.1 -p "$port"; then
      pg_pid=$(head -1 "$pg_data/data/postmaster.pid")
      PG_URL=postgres://postgres@127.0.0.1:$port
      return 0
    fi
    sleep 0.1
  done
  echo "ERROR: PostgreSQL did not start:" >&2
  tail -5 "$pg_data.log" >&2
  return 1
}

stop_postgres() {
  if [ -z "$pg_pid" ] && [ -n "$pg_data" ]; then # it was given up on while it started
    pg_pid=$(head -1 "$pg_data/data/postmaster.pid" 2>/dev/null || true)
  fi
  if [ -n "$pg_pid" ]; then
    kill -INT "$pg_pid" 2>/dev/null || true
    while kill -0 "$pg_pid" 2>/dev/null; do sleep 0.1; done
  fi
  [ -z "$pg_data" ] || rm -rf "$pg_data" "$pg_data.log"
}
