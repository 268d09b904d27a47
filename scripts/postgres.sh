#!/usr/bin/env bash
# A private PostgreSQL cluster in a folder, reached by a socket only its owner may open. Sourced by mlflow_server.sh.
# PostgreSQL refuses root: there, the user `postgres` that Debian's package makes owns the data.

as_owner=() binaries='' data='' sockets=''

find_postgres() {  # sets `binaries`: the folder of initdb and pg_ctl, the newest where there are several
  local folder
  for folder in $(ls -d /usr/lib/postgresql/*/bin /usr/pgsql-*/bin 2>/dev/null | sort -rV) \
    "$(pg_config --bindir 2>/dev/null || true)" "$(dirname "$(command -v initdb || echo /)")"; do
    if [ -x "$folder/initdb" ] && [ -x "$folder/pg_ctl" ]; then binaries="$folder"; return; fi
  done
  stop "PostgreSQL is not installed. Install it (Debian: apt-get install postgresql), or name a database with --database."
}

start_cluster() {  # start_cluster FOLDER: sets `database`; makes the cluster the first time
  local folder log
  find_postgres
  mkdir -p "$1" || stop "the folder $1 cannot be made."
  folder="$(cd "$1" && pwd)"
  data="$folder/postgres" log="$folder/postgres.log"

  # 1. One server per folder: a second one would lose its database when the first stops.
  exec 9>"$folder/lock"
  flock -n 9 || stop "another mlflow_server.sh uses $folder. Stop it first, or name another folder."
  if [ "$(id -u)" = 0 ]; then
    id postgres >/dev/null 2>&1 || stop "PostgreSQL does not run as root, and there is no user postgres. Start this as another user."
    as_owner=(runuser -u postgres --)
    if [ ! -d "$data" ]; then mkdir "$data" && chown postgres "$data"; fi
    touch "$log" && chown postgres "$log"
    "${as_owner[@]}" test -w "$data" 2>/dev/null || stop "the user postgres may not enter $folder. Name a folder outside of private ones, such as /var/tmp/mlflow."
  fi
  # 2. The socket's folder is ours alone; its path must be short. What a killed server left of it is removed.
  case "$(cat "$folder/socket" 2>/dev/null)" in /tmp/rlhf-postgres-??????) rm -rf "$(cat "$folder/socket")" ;; esac
  sockets="$(mktemp -d /tmp/rlhf-postgres-XXXXXX)"
  echo "$sockets" >"$folder/socket"
  if [ "$(id -u)" = 0 ]; then chown postgres "$sockets"; fi

  # 3. The cluster, made once. A half-made one is made anew.
  if [ ! -f "$data/ready" ]; then
    if [ -d "$data" ]; then find "$data" -mindepth 1 -delete; fi
    owner "$binaries/initdb" -D "$data" -U mlflow --auth=trust --encoding=UTF8 --locale=C >"$private/log" 2>&1 \
      || { tail -n 5 "$private/log" >&2; stop "initdb failed in $data (see above)."; }
  fi
  # 4. What a SIGKILL of an earlier server left running is stopped: its socket is no longer known.
  if owner "$binaries/pg_ctl" -D "$data" status >/dev/null 2>&1; then
    owner "$binaries/pg_ctl" -D "$data" -m fast -w stop >/dev/null
  fi
  owner "$binaries/pg_ctl" -D "$data" -l "$log" -w -t 60 -o "-c listen_addresses='' -k '$sockets'" start >/dev/null \
    || { tail -n 5 "$log" >&2; data=''; stop "PostgreSQL did not start (see above and $log)."; }
  if [ ! -f "$data/ready" ]; then
    owner "$binaries/createdb" -h "$sockets" -U mlflow mlflow || stop "the database could not be made (see above)."
    owner touch "$data/ready"
  fi
  database="postgresql://mlflow@/mlflow?host=$sockets"
}

stop_cluster() {
  if [ -n "$data" ] && [ -n "$binaries" ]; then
    owner "$binaries/pg_ctl" -D "$data" -m fast -w stop >/dev/null 2>&1 || true
  fi
  [ -z "$sockets" ] || rm -rf "$sockets"
}

owner() {  # owner COMMAND...: as the cluster's owner, from a folder it may be in, without our lock
  (cd / && exec "${as_owner[@]}" "$@" 9>&-)
}
