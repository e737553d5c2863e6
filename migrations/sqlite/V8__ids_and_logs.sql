-- The times of token ids, as far as the server and the command line must agree on them. One row. `reserved_ms`: no id has a later
-- time. `slew_from_ms`, `slew_ahead_ms`: when the clock was found behind the ids, and by how much; ids run at half speed until it
-- has caught up.
CREATE TABLE id_clock (
    one            INTEGER PRIMARY KEY CHECK (one = 1),
    reserved_ms    INTEGER NOT NULL,
    slew_from_ms   INTEGER NOT NULL,
    slew_ahead_ms  INTEGER NOT NULL
) STRICT;
INSERT INTO id_clock (one, reserved_ms, slew_from_ms, slew_ahead_ms) VALUES (1, 0, 0, 0);

-- Corrections of cut-offs, by the id of the row in `revocations`, which counts with the `cutoff_ms` of this one. Append-only, and small:
-- readers of the log compare the sum of its ids.
CREATE TABLE cutoff_corrections (
    revocation_id INTEGER PRIMARY KEY,
    cutoff_ms     INTEGER NOT NULL
) STRICT;
