-- Views over the statistics of Postgres, for people and dashboards. Run as a superuser in the server's database. Safe to run again.
--
--   psql -d oauth2 -f monitoring.sql
--
-- The extension pg_stat_statements is created in the database `postgres`, by statements.sql: it counts for the whole cluster, and a dump of the
-- server's database that contained it could be restored by a superuser only.
\set ON_ERROR_STOP on
BEGIN;
CREATE SCHEMA IF NOT EXISTS monitoring AUTHORIZATION oauth2_owner;
SET LOCAL ROLE oauth2_owner;
REVOKE ALL ON SCHEMA monitoring FROM PUBLIC;
GRANT USAGE ON SCHEMA monitoring TO oauth2_readonly, oauth2_backup;

-- Indexes by size, and how often each is used. The columns are `relname` and `indexrelname`; there is no `tablename` in this view of Postgres.
-- Counters begin at `stats_since`. An index of a constraint is needed even if it is never scanned.
CREATE OR REPLACE VIEW monitoring.indexes AS
SELECT s.schemaname AS schema, s.relname AS "table", s.indexrelname AS index, s.idx_scan AS scans, s.idx_tup_read AS rows_read,
    pg_relation_size(s.indexrelid) AS bytes, i.indisunique AS is_unique,
    EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = s.indexrelid) AS is_constraint,
    i.indisvalid AS is_valid, d.stats_reset AS stats_since
FROM pg_stat_user_indexes s JOIN pg_index i USING (indexrelid) CROSS JOIN pg_stat_database d
WHERE d.datname = current_database()
ORDER BY bytes DESC;

-- Indexes that no statement used since the statistics began and that no constraint needs. Look at every host before an index is dropped:
-- a standby counts for itself.
CREATE OR REPLACE VIEW monitoring.unused_indexes AS
SELECT schema, "table", index, bytes, stats_since FROM monitoring.indexes WHERE scans = 0 AND NOT is_unique AND NOT is_constraint;

-- Tables: sequential scans, dead rows, the last vacuum, and the age of the oldest transaction id that is not frozen.
CREATE OR REPLACE VIEW monitoring.tables AS
SELECT s.schemaname AS schema, s.relname AS "table", s.n_live_tup AS live_rows, s.n_dead_tup AS dead_rows, s.seq_scan AS sequential_scans,
    s.idx_scan AS index_scans, pg_total_relation_size(s.relid) AS bytes, greatest(s.last_vacuum, s.last_autovacuum) AS last_vacuum,
    greatest(s.last_analyze, s.last_autoanalyze) AS last_analyze, age(c.relfrozenxid) AS frozen_age
FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid
ORDER BY bytes DESC;

-- Partitions of the token ledger by the time at which their tokens have expired.
CREATE OR REPLACE VIEW monitoring.partitions AS
SELECT c.relname AS partition, pg_get_expr(c.relpartbound, c.oid) AS bounds, c.reltuples::bigint AS rows_estimated,
    pg_total_relation_size(c.oid) AS bytes, pg_get_userbyid(c.relowner) AS owner
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = to_regclass('public.tokens')
ORDER BY c.relname;

-- Who waits for whom.
CREATE OR REPLACE VIEW monitoring.blocked AS
SELECT w.pid, w.usename AS role, now() - w.query_start AS waits_for, left(w.query, 200) AS query, b.pid AS blocked_by,
    b.usename AS blocking_role, b.state AS blocking_state, now() - b.xact_start AS blocking_since, left(b.query, 200) AS blocking_query
FROM pg_stat_activity w CROSS JOIN LATERAL unnest(pg_blocking_pids(w.pid)) AS p (pid) JOIN pg_stat_activity b ON b.pid = p.pid;

-- Connections by role and state, beside what Postgres allows.
CREATE OR REPLACE VIEW monitoring.connections AS
SELECT usename AS role, application_name AS application, state, count(*) AS connections, max(now() - xact_start) AS longest_transaction,
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS allowed_in_all
FROM pg_stat_activity WHERE backend_type = 'client backend' GROUP BY 1, 2, 3 ORDER BY connections DESC;

GRANT SELECT ON ALL TABLES IN SCHEMA monitoring TO oauth2_readonly, oauth2_backup;
COMMIT;
