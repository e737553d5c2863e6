#!/bin/bash
# Runs once, on the primary, when its data directory is created. The passwords reach psql through its variables, so they are on no command line.
set -Eeuo pipefail
psql -X --no-psqlrc -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\set database_password `cat /run/secrets/database_password`
\set replication_password `cat /run/secrets/replication_password`
-- A failed statement must not be logged with its text.
SET log_min_error_statement = panic;
SET log_min_duration_statement = -1;
CREATE ROLE oauth2 LOGIN PASSWORD :'database_password';
CREATE ROLE replicator LOGIN REPLICATION PASSWORD :'replication_password';
CREATE DATABASE oauth2 OWNER oauth2 ENCODING 'UTF8' TEMPLATE template0;
REVOKE CONNECT ON DATABASE oauth2 FROM PUBLIC;
SELECT pg_create_physical_replication_slot('replica');
SQL
