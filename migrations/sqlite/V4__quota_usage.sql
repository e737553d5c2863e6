-- How many tokens a client was issued in the window of each kind that was last seen. Windows are whole hours, days and months of
-- UTC, named by their beginning in seconds since the Unix epoch. Only clients that have a quota have rows.
CREATE TABLE quota_usage (
    client_id    TEXT    NOT NULL,
    kind         TEXT    NOT NULL,
    window_start INTEGER NOT NULL,
    used         INTEGER NOT NULL,
    PRIMARY KEY (client_id, kind)
) WITHOUT ROWID;
