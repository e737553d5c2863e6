//! The store, its maintenance, and what this node holds of it.

use oauth2_store::{ErrorClass, Fallback};

use super::limits::OUTCOME;
use super::row::{LabelSet, counter, gauge};

const CLASS: LabelSet = LabelSet::closed("class", || ErrorClass::ALL.iter().map(|one| one.as_str()).collect());

const SERVER: LabelSet = LabelSet::closed("server", || SERVERS.to_vec());

const FALLBACK: LabelSet = LabelSet::closed("reason", || Fallback::ALL.iter().map(|one| one.as_str()).collect());

/// The servers of a database.
pub const SERVERS: [&str; 2] = ["primary", "replica"];

crate::catalogue! {
    STORE_UP = gauge("store_up", &[], "1 if the store confirmed clients and revocations within the last 2 s");
    STORE_WRITABLE = gauge("store_writable", &[], "1 while the store accepts writes").notes(
        "0 when its disk is full, when the database is read-only or a privilege is missing, and when nothing could be written for 10 s although \
         the store can be read. The log says why.");
    STORE_ERRORS = counter("store_errors", &[CLASS], "Failed calls of the store, by class of error").notes(
        "Of requests and of the server's own work. `conflict` is a change that collides with stored data, such as a client id that is taken; \
         `other` is a value that cannot be stored.");
    CONNECTIONS_ACTIVE = gauge("db_connections_active", &[], "Store connections in use, including those of the token stores");
    CONNECTIONS_OPEN = gauge("db_connections_open", &[], "Store connections open").detail();
    CONNECTIONS_MAX = gauge("db_connections_max", &[], "Store connections allowed, including those of the token stores").notes(
        "On SQLite its three threads.");
    DNS_STALE = counter("db_dns_stale", &[], "Attempts to connect to the last known addresses of the database, because its host name was not resolved").notes(
        "Of the primary. 0 on SQLite.");
    READS = counter("db_reads", &[SERVER], "Reads that a replica may answer, by the server that answered").notes(
        "Introspection of opaque tokens, and lists of tokens and of the audit log. Postgres with `OAUTH2_DATABASE_READ_URL` only.").replica_only();
    READ_FALLBACKS = counter("db_read_fallbacks", &[FALLBACK], "Reads for which the primary was asked although there is a replica, by reason").notes(
        "`missing`: the replica does not have the token, which may be too new; `behind`: it misses more than `OAUTH2_DATABASE_READ_MAX_LAG`; \
         `foreign`: it is no replica of this primary. Postgres with `OAUTH2_DATABASE_READ_URL` only.").replica_only();
    REPLICA_IN_USE = gauge("db_replica_in_use", &[], "1 if reads go to the replica").notes(
        "0: the primary answers, and the log says why. Postgres with `OAUTH2_DATABASE_READ_URL` only.").replica_only();
    REPLICA_LAG = gauge("db_replica_lag_seconds", &[], "Time of whose changes the replica may miss some").notes(
        "At most: it grows between two checks, which are up to 0.4 s apart, and while the replica cannot be reached. `NaN`: unknown. Postgres with \
         `OAUTH2_DATABASE_READ_URL` only.").replica_only();
    TOKEN_PARTITIONS = gauge("token_partitions", &[], "Partitions of the token ledger, without the default partition").notes("0 on SQLite.").detail();
    PARTITIONS_AHEAD = gauge("token_partitions_ahead", &[], "Partitions that begin after the present time").notes(
        "Computed at each scrape, so that it falls while maintenance fails. 0 on SQLite.");
    PARTITIONS_NEEDED = gauge("token_partitions_needed", &[], "Partitions after the present one that maintenance keeps ready").notes("0 on SQLite.");
    DEFAULT_PARTITION_ROWS = gauge("token_default_partition_rows", &[], "Token rows in the default partition, counted up to 100 000").notes(
        "Above 0, the creation of partitions fell behind. 0 on SQLite.");
    PURGE_ROWS_WAITING = gauge("purge_rows_waiting", &[], "Expired token rows that are not purged, counted up to 100 000").notes(
        "As of the last maintenance, after its purge: above 0, the purge failed or fell behind. Rows are kept for an hour after they expire, on \
         Postgres until their whole partition has.");
    MAINTENANCE_SUCCESS = gauge("maintenance_last_success_timestamp_seconds", &[], "When maintenance of the store last succeeded").notes(
        "By the store's clock; 0 before the first time. It runs every minute.");
    CHECKPOINTS = counter("sqlite_checkpoints", &[OUTCOME], "Checkpoints of the write-ahead log, by outcome").notes("SQLite only.").sqlite_only();
    WAL_BYTES = gauge("sqlite_wal_bytes", &[], "Size of the write-ahead log").notes(
        "It is reused, so that it rarely shrinks. SQLite only.").sqlite_only();
    DISK_FREE = gauge("store_disk_free_bytes", &[], "Free space on the file system of the store").notes(
        "For an unprivileged process. SQLite only.").sqlite_only();
    DISK_SIZE = gauge("store_disk_size_bytes", &[], "Size of the file system of the store").notes("SQLite only.").sqlite_only();
    CLIENTS = gauge("clients", &[], "Registered clients");
    REVOCATIONS_HELD = gauge("revocations_held", &[], "Revoked token ids and revocation cut-offs in memory").notes(
        "Without the issuer's cut-off.");
    REVOCATION_LAG = gauge("revocation_lag_seconds", &[], "Time since the published revocations last agreed with the store").notes(
        "`NaN` before the first time. Above 5, the token and introspection endpoints answer 503.");
    CLOCK_DIFFERENCE = gauge("clock_difference_seconds", &[], "By how much the store's clock is ahead of this machine's").notes(
        "Beyond 30 s the node is not ready.");
    CLOCK_STEPS = counter("clock_steps", &[], "How often the store's clock was set by more than a second").detail();
    IDS_AHEAD = gauge("token_ids_ahead_seconds", &[], "By how much token ids are ahead of the store's clock").notes(
        "The clock was set back. They run at half speed until it has caught up.");
    CUTOFFS_AHEAD = gauge("cutoffs_ahead", &[], "Cut-offs later than the ids of new tokens: they revoke new tokens").notes(
        "`oauth2_server token cutoffs` lists them.");
}
