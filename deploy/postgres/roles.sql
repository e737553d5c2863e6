-- Creates the database and its five roles, and revokes what every role may do by default. Safe to run again: it changes what differs.
-- Run as a superuser in the database `postgres`, by `create-roles`, which passes the password verifiers in the environment.
--
-- Roles, and what each is for:
--   oauth2_owner        owns the database and its tables; runs `oauth2_server migrate`. Not for running servers.
--   oauth2_server       what `serve --no-migrate` and the commands for clients, tokens and keys connect as.
--   oauth2_readonly     people and dashboards: reads figures, never secrets, hashes or keys.
--   oauth2_backup       pg_dump: reads everything, writes nothing.
--   oauth2_replication  standbys, pg_basebackup and pg_receivewal: a copy of the whole cluster, no SQL.
\set ON_ERROR_STOP on
\getenv owner_verifier OAUTH2_OWNER_VERIFIER
\getenv server_verifier OAUTH2_SERVER_VERIFIER
\getenv readonly_verifier OAUTH2_READONLY_VERIFIER
\getenv backup_verifier OAUTH2_BACKUP_VERIFIER
\getenv replication_verifier OAUTH2_REPLICATION_VERIFIER
\if :{?database}
\else
    \set database oauth2
\endif

-- CREATE ROLE has no IF NOT EXISTS.
SELECT format('CREATE ROLE %I', name)
FROM unnest(ARRAY['oauth2_owner', 'oauth2_server', 'oauth2_readonly', 'oauth2_backup', 'oauth2_replication']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec

-- Every attribute is named, so that a run also takes back what was added by hand. The limits leave connections to the servers.
ALTER ROLE oauth2_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 10 PASSWORD :'owner_verifier';
ALTER ROLE oauth2_server LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT -1 PASSWORD :'server_verifier';
ALTER ROLE oauth2_readonly LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 5 PASSWORD :'readonly_verifier';
ALTER ROLE oauth2_backup LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 4 PASSWORD :'backup_verifier';
ALTER ROLE oauth2_replication LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE REPLICATION NOBYPASSRLS CONNECTION LIMIT 8 PASSWORD :'replication_verifier';

-- The running server creates and drops partitions of `tokens`, which it must own for that. A migration that changes `tokens` changes these
-- partitions too, so the owner is a member of the server's role. The server is not a member of the owner.
GRANT oauth2_server TO oauth2_owner;

-- Without it, the view of statements shows "<insufficient privilege>" for those of other roles. It shows texts with placeholders, no values.
GRANT pg_read_all_stats TO oauth2_readonly;

-- What pg_rewind reads on the new primary. The role can copy the whole cluster in any case.
GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text, boolean, boolean), pg_catalog.pg_stat_file(text, boolean),
    pg_catalog.pg_read_binary_file(text), pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean) TO oauth2_replication;

-- C.UTF-8: an upgrade of the C library that changes the sort order of other locales would corrupt indexes on text.
SELECT format('CREATE DATABASE %I OWNER oauth2_owner ENCODING ''UTF8'' LOCALE ''C.UTF-8'' TEMPLATE template0', :'database')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \gexec
ALTER DATABASE :"database" OWNER TO oauth2_owner;

-- By default every role may connect to every database and create temporary tables in it. GRANT ALL ON DATABASE would give just this much:
-- CONNECT, TEMPORARY and CREATE of schemas, but since Postgres 15 no right to create a table in the schema public.
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO oauth2_server, oauth2_readonly, oauth2_backup;

-- Who runs a forgotten query or transaction holds back vacuum and blocks migrations. The server sets limits of its own.
ALTER ROLE oauth2_readonly SET default_transaction_read_only = on;
ALTER ROLE oauth2_readonly SET statement_timeout = '30s';
ALTER ROLE oauth2_readonly SET idle_in_transaction_session_timeout = '60s';
-- pg_dump must not wait for a locked table while the server waits for pg_dump's lock to drop a partition.
ALTER ROLE oauth2_backup SET default_transaction_read_only = on;
ALTER ROLE oauth2_backup SET lock_timeout = '60s';
ALTER ROLE oauth2_backup SET idle_in_transaction_session_timeout = '60s';
