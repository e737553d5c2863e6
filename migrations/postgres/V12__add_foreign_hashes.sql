-- foreign_hash: the hash of a secret that another product made; then hash holds an id of it, which no presented secret has as its SHA-256.
-- imported_as: that id, once hash holds the SHA-256 that replaced the foreign hash.
ALTER TABLE client_secrets ADD COLUMN foreign_hash text, ADD COLUMN imported_as bytea;
CREATE INDEX client_secrets_foreign ON client_secrets (client_id) WHERE foreign_hash IS NOT NULL;
