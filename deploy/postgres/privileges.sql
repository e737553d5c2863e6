-- Grants each role what it needs in the server's database. Run as oauth2_owner or a superuser, in the server's database, after every
-- `oauth2_server migrate` and after a restore. Safe to run again, also while servers run: it is one transaction.
\set ON_ERROR_STOP on
BEGIN;
-- Fails rather than makes requests wait: the locks below are short, but a queue behind a long transaction is not.
SET LOCAL lock_timeout = '2s';

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO oauth2_server, oauth2_readonly, oauth2_backup;
-- For the partitions of `tokens`, which the server creates each few hours.
GRANT CREATE ON SCHEMA public TO oauth2_server;

-- ATTACH PARTITION and DROP TABLE need the owner of the table. No grant replaces that. So the server owns its partitioned tables and their
-- partitions, and nothing else.
DO $$
DECLARE
    ledger regclass;
BEGIN
    FOR ledger IN
        SELECT c.oid::regclass FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relowner <> 'oauth2_server'::regrole
            AND (c.relkind = 'p' OR (c.relispartition AND c.relkind = 'r'))
        ORDER BY c.relispartition
    LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO oauth2_server', ledger);
    END LOOP;
END
$$;

-- The server, table by table. Rows of the two logs are appended, read, and deleted when their time is over, but never changed. The schema's
-- history is read. A table that this list does not know, of a later version, keeps what the default privileges below gave.
CREATE TEMPORARY TABLE server_rights (name text, rights text) ON COMMIT DROP;
INSERT INTO server_rights VALUES
    ('clients', 'SELECT, INSERT, UPDATE, DELETE'),
    ('client_secrets', 'SELECT, INSERT, UPDATE, DELETE'),
    ('signing_keys', 'SELECT, INSERT, UPDATE, DELETE'),
    ('verify_only_keys', 'SELECT, INSERT, UPDATE, DELETE'),
    ('key_fetchers', 'SELECT, INSERT, UPDATE, DELETE'),
    ('client_groups', 'SELECT, INSERT, UPDATE, DELETE'),
    ('group_usage', 'SELECT, INSERT, UPDATE, DELETE'),
    ('quota_usage', 'SELECT, INSERT, UPDATE, DELETE'),
    ('remembered', 'SELECT, INSERT, UPDATE, DELETE'),
    ('revocations', 'SELECT, INSERT, DELETE'),
    ('audit_log', 'SELECT, INSERT, DELETE'),
    ('cutoff_corrections', 'SELECT, INSERT'),
    ('id_clock', 'SELECT, UPDATE'),
    ('log_epochs', 'SELECT'),
    ('refinery_schema_history', 'SELECT');
DO $$
DECLARE
    listed record;
BEGIN
    FOR listed IN SELECT * FROM server_rights WHERE to_regclass('public.' || name) IS NOT NULL LOOP
        EXECUTE format('REVOKE ALL ON public.%I FROM PUBLIC, oauth2_server', listed.name);
        EXECUTE format('GRANT %s ON public.%I TO oauth2_server', listed.rights, listed.name);
    END LOOP;
END
$$;

-- Functions, too, may be called by everyone by default. `log_position` runs with the rights of its owner.
DO $$
BEGIN
    EXECUTE (SELECT coalesce(string_agg(format('REVOKE ALL ON FUNCTION %1$s FROM PUBLIC; GRANT EXECUTE ON FUNCTION %1$s TO oauth2_server',
        p.oid::regprocedure), ';'), 'SELECT 1') FROM pg_proc p
        WHERE p.pronamespace = 'public'::regnamespace AND p.proowner = 'oauth2_owner'::regrole);
END
$$;

-- Reading for people: figures, without the columns that hold hashes, keys, or answers that are remembered. A query of `tokens` is checked
-- against `tokens` alone, so it also reads partitions that are created later; the partitions themselves cannot be read, nor can a new table.
DO $$
DECLARE
    shown record;
BEGIN
    FOR shown IN
        SELECT c.relname, string_agg(quote_ident(a.attname), ', ') AS columns FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
            AND c.relname IN ('clients', 'client_secrets', 'signing_keys', 'verify_only_keys', 'key_fetchers', 'tokens', 'revocations', 'audit_log', 'quota_usage', 'client_groups', 'group_usage',
                'cutoff_corrections', 'id_clock', 'log_epochs', 'refinery_schema_history')
            AND a.attname NOT IN ('hash', 'secret_hash', 'sealed_private_key', 'policy')
        GROUP BY c.relname
    LOOP
        EXECUTE format('REVOKE ALL ON public.%I FROM oauth2_readonly', shown.relname);
        EXECUTE format('GRANT SELECT (%s) ON public.%I TO oauth2_readonly', shown.columns, shown.relname);
    END LOOP;
END
$$;

-- pg_dump reads every table, every partition and the sequences.
GRANT SELECT ON ALL TABLES IN SCHEMA public TO oauth2_backup;
GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO oauth2_backup;

-- Default privileges belong to the role that creates: the owner creates tables by migrations, the server creates partitions. Without the
-- last of these, the first backup after a new partition fails.
ALTER DEFAULT PRIVILEGES FOR ROLE oauth2_owner IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO oauth2_server;
ALTER DEFAULT PRIVILEGES FOR ROLE oauth2_owner IN SCHEMA public GRANT EXECUTE ON FUNCTIONS TO oauth2_server;
ALTER DEFAULT PRIVILEGES FOR ROLE oauth2_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE oauth2_owner IN SCHEMA public GRANT SELECT ON TABLES TO oauth2_backup;
ALTER DEFAULT PRIVILEGES FOR ROLE oauth2_owner IN SCHEMA public GRANT SELECT ON SEQUENCES TO oauth2_backup;
ALTER DEFAULT PRIVILEGES FOR ROLE oauth2_server IN SCHEMA public GRANT SELECT ON TABLES TO oauth2_backup;
COMMIT;
