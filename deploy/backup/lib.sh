# shellcheck shell=bash
# Functions shared by the programs of this directory: configuration, encryption, checksums, object storage, retention.

# Settings come from the environment, which wins, or from a file of KEY=VALUE lines. docs/operations/backup.md lists them.
load_configuration() {
    local file=${BACKUP_CONFIG:-/etc/oauth2_server/backup.conf} given
    given=$(export -p | sed -nE 's/^declare -x ((PG|BACKUP_|RESTORE_|AWS_)[A-Z0-9_]*=".*")$/export \1/p')
    if [ -n "${BACKUP_CONFIG:-}" ] || [ -e "$file" ]; then
        # Every assignment is exported: the clients of object storage read AWS_* from the environment.
        set -o allexport
        # shellcheck disable=SC1090
        . "$file"
        set +o allexport
        eval "$given"
    fi
    : "${BACKUP_DIRECTORY:=/var/backups/oauth2_server}"
    : "${BACKUP_RECIPIENTS:=/etc/oauth2_server/backup.recipients}"
    : "${BACKUP_IDENTITY:=}"
    : "${BACKUP_KEEP_DAYS:=30}"
    : "${BACKUP_KEEP_LAST:=3}"
    : "${BACKUP_METRICS_DIRECTORY:=$BACKUP_DIRECTORY}"
    : "${BACKUP_S3_CLIENT:=}"
    : "${BACKUP_S3_URL:=}"
    : "${BACKUP_S3_ENDPOINT:=}"
    [ -z "${PG_BINARIES:-}" ] || PATH=$PG_BINARIES:$PATH
    umask 077
}

program=${0##*/}
say() { printf '%s: %s\n' "$program" "$*" >&2; }
# 2: usage or configuration. 3: a step failed.
usage_error() {
    say "$*"
    exit 2
}
fatal() {
    say "$*"
    exit 3
}

require_programs() {
    local name
    for name in "$@"; do command -v "$name" >/dev/null || usage_error "the program \"$name\" is not installed"; done
}

is_number() { [[ $1 =~ ^[0-9]+$ ]]; }

# Creates BACKUP_DIRECTORY, takes its lock, and sets `partial`, a private directory for what is not complete. A second backup at the same time
# would delete what the first one is about to verify.
begin_backup() {
    require_programs age sha256sum flock
    [ -s "$BACKUP_RECIPIENTS" ] || usage_error "BACKUP_RECIPIENTS: the file \"$BACKUP_RECIPIENTS\" is missing or empty; create it with age-keygen"
    is_number "$BACKUP_KEEP_DAYS" || usage_error "BACKUP_KEEP_DAYS must be a number of days, not \"$BACKUP_KEEP_DAYS\""
    if ! is_number "$BACKUP_KEEP_LAST" || [ "$BACKUP_KEEP_LAST" -lt 1 ]; then
        usage_error "BACKUP_KEEP_LAST must be at least 1, not \"$BACKUP_KEEP_LAST\""
    fi
    check_store
    mkdir -p "$BACKUP_DIRECTORY" && [ -w "$BACKUP_DIRECTORY" ] ||
        usage_error "BACKUP_DIRECTORY: the user $(id -un) cannot write to \"$BACKUP_DIRECTORY\""
    exec 9>"$BACKUP_DIRECTORY/.lock"
    flock --nonblock 9 || fatal "another backup into $BACKUP_DIRECTORY is running"
    # What a killed run left. The lock says that nobody uses it.
    rm -rf "$BACKUP_DIRECTORY"/.partial.*
    partial=$(mktemp -d "$BACKUP_DIRECTORY/.partial.XXXXXX")
    trap 'rm -rf "$partial"' EXIT
    # The time that a restore goes back to: what is committed later is not in the backup.
    started=$(date -u +%Y%m%dT%H%M%SZ)
}

# finish_backup KIND PLAIN-FILE SUFFIX: encrypts a verified file, writes its checksum, uploads both, and applies the retention.
finish_backup() {
    local kind=$1 plain=$2 suffix=$3 name
    name=oauth2-$kind-$started.$suffix.age
    age --encrypt --recipients-file "$BACKUP_RECIPIENTS" --output "$partial/$name" "$plain"
    rm -f "$plain"
    (cd "$partial" && sha256sum "$name" >"$name.sha256")
    sync "$partial/$name" "$partial/$name.sha256"
    # The checksum last: a backup without one is incomplete and counts as none.
    mv "$partial/$name" "$BACKUP_DIRECTORY/$name"
    mv "$partial/$name.sha256" "$BACKUP_DIRECTORY/$name.sha256"
    sync "$BACKUP_DIRECTORY"
    if [ -n "$BACKUP_S3_CLIENT" ]; then
        store_put "$BACKUP_DIRECTORY/$name" "$name"
        # Read back and compared: an upload that reports success may be cut off.
        store_get "$name" "$partial/$name"
        cmp --silent "$BACKUP_DIRECTORY/$name" "$partial/$name" || fatal "the object $name differs from the file that was uploaded"
        rm -f "$partial/$name"
        store_put "$BACKUP_DIRECTORY/$name.sha256" "$name.sha256"
    fi
    expire_local "$kind"
    [ -z "$BACKUP_S3_CLIENT" ] || expire_remote "$kind"
    write_metrics "$kind" "$(stat -c %s "$BACKUP_DIRECTORY/$name")"
    say "$name: $(stat -c %s "$BACKUP_DIRECTORY/$name") bytes"
    printf '%s\n' "$BACKUP_DIRECTORY/$name"
}

# For the textfile collector of node_exporter: an alert on the age of the last good backup. Its user cannot enter BACKUP_DIRECTORY, which is private.
# The backup is there already: without the file the alert fires, so this is no failure of the backup.
write_metrics() {
    local file=$BACKUP_METRICS_DIRECTORY/oauth2-backup-$1.prom
    if ! {
        printf 'oauth2_backup_last_success_timestamp_seconds{kind="%s"} %s\n' "$1" "$(date +%s)"
        printf 'oauth2_backup_last_size_bytes{kind="%s"} %s\n' "$1" "$2"
    } >"$file.new" || ! chmod 644 "$file.new" || ! mv "$file.new" "$file"; then
        say "WARNING: BACKUP_METRICS_DIRECTORY: \"$file\" cannot be written; the alert on the age of backups does not see this one"
    fi
}

# Sets `audit_logs` to the files of RESTORE_AUDIT_LOG. A restore calls it first: a path that is wrong must not be found out after hours.
find_audit_logs() {
    local file
    audit_logs=()
    [ -n "${RESTORE_AUDIT_LOG:-}" ] || return 0
    IFS=: read -r -a audit_logs <<<"$RESTORE_AUDIT_LOG"
    for file in "${audit_logs[@]}"; do
        [ -f "$file" ] && [ -r "$file" ] || usage_error "RESTORE_AUDIT_LOG: \"$file\" is not a file that can be read"
    done
}

# open_backup FILE-OR-NAME TO: checks the checksum and decrypts. A name without a file is fetched from the object storage.
open_backup() {
    local file=$1 to=$2
    require_programs age sha256sum
    [ -r "$BACKUP_IDENTITY" ] ||
        usage_error "BACKUP_IDENTITY: the file with the key that decrypts backups, \"$BACKUP_IDENTITY\", is not readable"
    if [ ! -e "$file" ] && [ "${file##*/}" = "$file" ]; then
        if [ -e "$BACKUP_DIRECTORY/$file" ]; then
            file=$BACKUP_DIRECTORY/$file
        else
            check_store
            [ -n "$BACKUP_S3_CLIENT" ] || usage_error "there is no file \"$1\", and BACKUP_S3_CLIENT is not set"
            store_get "$1.sha256" "$partial/$1.sha256"
            store_get "$1" "$partial/$1"
            file=$partial/$1
        fi
    fi
    [ -e "$file" ] || usage_error "there is no file \"$file\""
    [ -e "$file.sha256" ] || usage_error "\"$file\" has no checksum beside it: it is incomplete"
    is_good "$file" || fatal "the checksum of \"$file\" differs: it is damaged"
    age --decrypt --identity "$BACKUP_IDENTITY" --output "$to" "$file"
}

is_good() { [ -e "$1.sha256" ] && (cd "$(dirname "$1")" && sha256sum --status --check "${1##*/}.sha256"); }

# The time in a backup's name, in seconds; names are sorted by it.
time_of() {
    local stamp=${1#oauth2-*-}
    stamp=${stamp%%.*}
    date -u -d "${stamp:0:4}-${stamp:4:2}-${stamp:6:2} ${stamp:9:2}:${stamp:11:2}:${stamp:13:2}" +%s
}

# Deletes backups that are older than BACKUP_KEEP_DAYS, but never one of the BACKUP_KEEP_LAST newest good ones. It is called only after a good
# backup was made, and `good` means that the checksum was computed again: a damaged file protects nothing and is not counted.
expire_local() {
    local kind=$1 good=0 file limit
    limit=$(($(date +%s) - BACKUP_KEEP_DAYS * 86400))
    while IFS= read -r file; do
        if [ "$good" -lt "$BACKUP_KEEP_LAST" ]; then
            if is_good "$file"; then
                good=$((good + 1))
                continue
            fi
            say "WARNING: $file is damaged or incomplete; it does not count as a backup"
        fi
        [ "$good" -ge "$BACKUP_KEEP_LAST" ] || continue
        if [ "$(time_of "${file##*/}")" -lt "$limit" ]; then
            say "deleting ${file##*/}, older than $BACKUP_KEEP_DAYS days"
            rm -f "$file" "$file.sha256"
        fi
    done < <(find "$BACKUP_DIRECTORY" -maxdepth 1 -name "oauth2-$kind-*.age" | sort --reverse)
}

# The same for objects. Do not use a lifecycle rule of the bucket that deletes by age alone: when backups stop, it deletes the last good one.
expire_remote() {
    local kind=$1 kept=0 name limit names
    limit=$(($(date +%s) - BACKUP_KEEP_DAYS * 86400))
    names=$(store_list)
    while IFS= read -r name; do
        grep -qxF "$name.sha256" <<<"$names" || continue
        kept=$((kept + 1))
        [ "$kept" -gt "$BACKUP_KEEP_LAST" ] || continue
        if [ "$(time_of "$name")" -lt "$limit" ]; then
            say "deleting the object $name, older than $BACKUP_KEEP_DAYS days"
            store_delete "$name"
            store_delete "$name.sha256"
        fi
    done < <(grep -E "^oauth2-$kind-[0-9TZ]+\.[A-Za-z0-9.]+\.age$" <<<"$names" | sort --reverse)
}

# --- Object storage, by the client that BACKUP_S3_CLIENT names. Credentials are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or what else the
# client finds, such as the role of the machine.

check_store() {
    case "$BACKUP_S3_CLIENT" in
    '') return ;;
    aws | rclone | s5cmd) require_programs "$BACKUP_S3_CLIENT" ;;
    *) usage_error "BACKUP_S3_CLIENT: \"$BACKUP_S3_CLIENT\" is not supported; supported: aws, rclone, s5cmd" ;;
    esac
    [[ $BACKUP_S3_URL =~ ^s3://[^/]+ ]] || usage_error "BACKUP_S3_URL must be s3://BUCKET or s3://BUCKET/PREFIX, not \"$BACKUP_S3_URL\""
    BACKUP_S3_URL=${BACKUP_S3_URL%/}
}

# The client with its endpoint; without one, that of AWS.
s3() {
    case "$BACKUP_S3_CLIENT" in
    aws) aws ${BACKUP_S3_ENDPOINT:+--endpoint-url "$BACKUP_S3_ENDPOINT"} s3 "$@" --only-show-errors ;;
    s5cmd) s5cmd ${BACKUP_S3_ENDPOINT:+--endpoint-url "$BACKUP_S3_ENDPOINT"} --log error "$@" ;;
    rclone) RCLONE_CONFIG=/dev/null rclone --quiet --s3-env-auth --s3-provider "${BACKUP_S3_PROVIDER:-Other}" --s3-no-check-bucket \
        ${BACKUP_S3_ENDPOINT:+--s3-endpoint "$BACKUP_S3_ENDPOINT"} "$@" ;;
    esac
}

# NAME as the client calls the object.
object() {
    case "$BACKUP_S3_CLIENT" in
    rclone) printf ':s3:%s/%s' "${BACKUP_S3_URL#s3://}" "$1" ;;
    *) printf '%s/%s' "$BACKUP_S3_URL" "$1" ;;
    esac
}

store_put() {
    case "$BACKUP_S3_CLIENT" in
    rclone) s3 copyto "$1" "$(object "$2")" ;;
    *) s3 cp "$1" "$(object "$2")" >/dev/null ;;
    esac
}

store_get() {
    case "$BACKUP_S3_CLIENT" in
    rclone) s3 copyto "$(object "$1")" "$2" && [ -e "$2" ] ;;
    *) s3 cp "$(object "$1")" "$2" >/dev/null ;;
    esac
}

# The names of all objects below BACKUP_S3_URL, one a line. (aws fails if there are none; callers have stored one before.)
store_list() {
    case "$BACKUP_S3_CLIENT" in
    aws) aws ${BACKUP_S3_ENDPOINT:+--endpoint-url "$BACKUP_S3_ENDPOINT"} s3 ls "$BACKUP_S3_URL/" | awk '$1 != "PRE" { print $4 }' ;;
    # With --log error, s5cmd would not print the list.
    s5cmd) s5cmd ${BACKUP_S3_ENDPOINT:+--endpoint-url "$BACKUP_S3_ENDPOINT"} ls "$BACKUP_S3_URL/" | awk '$1 != "DIR" { print $NF }' ;;
    rclone) s3 lsf --files-only "$(object '')" ;;
    esac
}

store_delete() {
    case "$BACKUP_S3_CLIENT" in
    rclone) s3 deletefile "$(object "$1")" ;;
    *) s3 rm "$(object "$1")" >/dev/null ;;
    esac
}
