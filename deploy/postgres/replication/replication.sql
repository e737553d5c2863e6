-- The state of replication. On the primary: standbys, their lag in bytes and time, and slots that hold back the log. Run as a superuser or a
-- member of pg_monitor.
--
--   psql -d postgres -f replication.sql
SELECT application_name AS standby, state, sync_state, pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) AS lag_bytes, write_lag, flush_lag,
    replay_lag
FROM pg_stat_replication ORDER BY 1;

-- wal_status: `reserved` is good; `extended` keeps more than max_wal_size; `unreserved` will be lost at the next checkpoint; `lost`: copy the
-- standby again. A slot that nobody uses must be dropped: SELECT pg_drop_replication_slot('NAME').
SELECT slot_name AS slot, active, wal_status, pg_size_pretty(safe_wal_size) AS until_lost,
    pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)) AS kept
FROM pg_replication_slots ORDER BY 1;
