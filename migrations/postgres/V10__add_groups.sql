-- The group of a client, such as a tenant or a plan; null: none. A group needs no row of its own.
ALTER TABLE clients ADD COLUMN client_group text;
CREATE INDEX clients_group ON clients (client_group) WHERE client_group IS NOT NULL;

-- Limits that hold for all clients of a group together. A group without a row has none.
CREATE TABLE client_groups (
    name       text COLLATE "C" PRIMARY KEY,
    limits     jsonb NOT NULL,
    updated_at timestamptz NOT NULL
);

-- How many tokens the clients of a group were issued on a day (UTC), named by its beginning in seconds since the Unix epoch.
CREATE TABLE group_usage (
    day         bigint NOT NULL,
    group_name  text COLLATE "C" NOT NULL,
    tokens      bigint NOT NULL,
    PRIMARY KEY (day, group_name)
);

-- A group's use of its quotas is in quota_usage, too: client_id is then a tab and the group's name, which is no client's id.
