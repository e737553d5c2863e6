-- The client's version at its cut-off: tokens decided by an earlier version are revoked whatever their time. 0: by time only.
ALTER TABLE revocations ADD COLUMN client_version bigint NOT NULL DEFAULT 0;
