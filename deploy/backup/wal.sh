# shellcheck shell=bash
# Functions shared by the programs for the write-ahead log (WAL). Its files lie in BACKUP_DIRECTORY/wal, and as objects under the same names.

wal_directory() { printf '%s/wal' "$BACKUP_DIRECTORY"; }

# Deletes archived log that is older than what the oldest base backup needs. Without a good base backup, nothing is deleted.
expire_wal() {
    local oldest='' file name
    while IFS= read -r file; do
        name=${file##*/}
        name=${name#oauth2-base-*.}
        name=${name%%.*}
        if [ -z "$oldest" ] || [[ ${name:8} < ${oldest:8} ]]; then oldest=$name; fi
    done < <(find "$BACKUP_DIRECTORY" -maxdepth 1 -name 'oauth2-base-*.age')
    [[ $oldest =~ ^[0-9A-F]{24}$ ]] || return 0
    while IFS= read -r file; do
        name=${file##*/}
        # Names are timeline, then position: positions are compared over all timelines. Histories of timelines are kept.
        if [[ $name =~ ^[0-9A-F]{24} ]] && [[ ${name:8:16} < ${oldest:8} ]]; then rm -f "$file"; fi
    done < <(find "$(wal_directory)" -maxdepth 1 -type f 2>/dev/null)
    [ -n "$BACKUP_S3_CLIENT" ] || return 0
    while IFS= read -r name; do
        if [[ $name =~ ^wal-([0-9A-F]{24}) ]] && [[ ${BASH_REMATCH[1]:8} < ${oldest:8} ]]; then store_delete "$name"; fi
    done < <(store_list)
}
