-- `typ` of a client's JWTs; null: the server's default.
ALTER TABLE clients ADD COLUMN token_typ text;
