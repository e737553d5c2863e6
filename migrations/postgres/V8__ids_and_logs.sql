-- The times of token ids, as far as all nodes must agree on them. One row. `reserved_ms`: no id has a later time. `slew_from_ms`,
-- `slew_ahead_ms`: when the clock was found behind the ids, and by how much; ids run at half speed until it has caught up.
CREATE TABLE id_clock (
    one            boolean PRIMARY KEY DEFAULT true CHECK (one),
    reserved_ms    bigint NOT NULL,
    slew_from_ms   bigint NOT NULL,
    slew_ahead_ms  bigint NOT NULL
);
INSERT INTO id_clock (reserved_ms, slew_from_ms, slew_ahead_ms) VALUES (0, 0, 0);

-- Corrections of cut-offs, by the id of the row in `revocations`, which counts with the `cutoff_ms` of this one. Append-only, and small:
-- readers of the log compare the sum of its ids.
CREATE TABLE cutoff_corrections (
    revocation_id bigint PRIMARY KEY,
    cutoff_ms     bigint NOT NULL
);

-- Transaction ids order the logs, and count within one cluster only. Each cluster that the logs lived in has an epoch, the latest the
-- highest. The position of a row is its epoch in the upper bits (from the 48th on) and its transaction id below. Epoch 0 is this cluster,
-- so that positions are transaction ids until the database is restored into another cluster.
CREATE TABLE log_epochs (
    epoch             bigint PRIMARY KEY,
    system_identifier bigint NOT NULL
);
INSERT INTO log_epochs SELECT 0, system_identifier FROM pg_control_system();

-- The position of rows that this transaction appends. The first transaction in another cluster begins an epoch. The epoch is looked up once
-- a transaction: `set_config` with `true` ends with it, so it is safe behind a transaction pooler. With the rights of the owner: the role of a
-- server of the version before has none on the table of epochs.
CREATE FUNCTION log_position() RETURNS bigint LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    known text := nullif(current_setting('oauth2_server.log_epoch', true), '');
    here  bigint;
    last  log_epochs%ROWTYPE;
BEGIN
    IF known IS NULL THEN
        SELECT system_identifier INTO here FROM pg_control_system();
        SELECT * INTO last FROM log_epochs ORDER BY epoch DESC LIMIT 1;
        WHILE last.system_identifier IS DISTINCT FROM here LOOP
            -- Of several transactions the others wait for the first here.
            INSERT INTO log_epochs VALUES (coalesce(last.epoch, -1) + 1, here) ON CONFLICT DO NOTHING;
            SELECT * INTO last FROM log_epochs ORDER BY epoch DESC LIMIT 1;
        END LOOP;
        known := set_config('oauth2_server.log_epoch', last.epoch::text, true);
    END IF;
    RETURN (known::bigint << 48) + pg_current_xact_id()::text::bigint;
END
$$;

-- Rows that were restored into this cluster before, with transaction ids that it has not reached, come first.
UPDATE revocations SET txid = 0 WHERE txid >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
UPDATE audit_log SET txid = 0 WHERE txid >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint;

ALTER TABLE revocations ALTER COLUMN txid SET DEFAULT log_position();
ALTER TABLE audit_log ALTER COLUMN txid SET DEFAULT log_position();
