-- The slowest statements. Run as a superuser in the database `postgres`, after a restart with shared_preload_libraries = 'pg_stat_statements'
-- (conf/oauth2.conf). Safe to run again.
--
--   psql -d postgres -f statements.sql
--   psql -d postgres -U oauth2_readonly -c 'SELECT * FROM monitoring.slow_statements LIMIT 20'
\set ON_ERROR_STOP on
BEGIN;
CREATE SCHEMA IF NOT EXISTS monitoring;
REVOKE ALL ON SCHEMA monitoring FROM PUBLIC;
GRANT USAGE ON SCHEMA monitoring TO oauth2_readonly;
CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA monitoring;

-- By the time spent in all calls together: what costs the database most. `deviation_ms` beside `mean_ms` tells steady from erratic.
CREATE OR REPLACE VIEW monitoring.slow_statements AS
SELECT d.datname AS database, r.rolname AS role, s.calls, round(s.total_exec_time::numeric, 1) AS total_ms,
    round((100 * s.total_exec_time / nullif(sum(s.total_exec_time) OVER (), 0))::numeric, 1) AS percent,
    round(s.mean_exec_time::numeric, 3) AS mean_ms, round(s.max_exec_time::numeric, 1) AS max_ms,
    round(s.stddev_exec_time::numeric, 3) AS deviation_ms, s.rows, s.shared_blks_read AS blocks_read, s.wal_bytes,
    s.queryid, regexp_replace(s.query, '\s+', ' ', 'g') AS query
FROM monitoring.pg_stat_statements s LEFT JOIN pg_database d ON d.oid = s.dbid LEFT JOIN pg_roles r ON r.oid = s.userid
ORDER BY s.total_exec_time DESC;

GRANT SELECT ON monitoring.slow_statements TO oauth2_readonly;
GRANT CONNECT ON DATABASE postgres TO oauth2_readonly;
COMMIT;
