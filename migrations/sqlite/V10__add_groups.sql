-- The group of a client, such as a tenant or a plan; null: none. A group needs no row of its own.
ALTER TABLE clients ADD COLUMN client_group TEXT;
CREATE INDEX clients_group ON clients (client_group) WHERE client_group IS NOT NULL;

-- Limits that hold for all clients of a group together. A group without a row has none.
CREATE TABLE client_groups (
    name       TEXT PRIMARY KEY,
    limits     TEXT NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How many tokens the clients of a group were issued on a day (UTC), named by its beginning in seconds since the Unix epoch.
CREATE TABLE group_usage (
    day        INTEGER NOT NULL,
    group_name TEXT    NOT NULL,
    tokens     INTEGER NOT NULL,
    PRIMARY KEY (day, group_name)
) STRICT, WITHOUT ROWID;

-- A group's use of its quotas is in quota_usage, too: client_id is then a tab and the group's name, which is no client's id.
