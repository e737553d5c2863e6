-- When a key begins to sign, in milliseconds since the Unix epoch; NULL = from the moment that it was made (a node of the
-- version before writes that). The newest key of an algorithm that may sign is the one that does.
ALTER TABLE signing_keys ADD COLUMN signs_from_ms INTEGER;

-- The longest life, in seconds, of the tokens that a key has signed or will: it is kept so long after it last signed. Of keys
-- that were there before nobody knows, so the longest there is.
ALTER TABLE signing_keys ADD COLUMN token_lifetime INTEGER NOT NULL DEFAULT 2592000;

-- A client that is given a longer life of tokens lengthens that of every key, in the same transaction.
CREATE TRIGGER clients_inserted AFTER INSERT ON clients WHEN NEW.access_token_lifetime IS NOT NULL
BEGIN
    UPDATE signing_keys SET token_lifetime = NEW.access_token_lifetime WHERE token_lifetime < NEW.access_token_lifetime;
END;
CREATE TRIGGER clients_updated AFTER UPDATE OF access_token_lifetime ON clients WHEN NEW.access_token_lifetime IS NOT NULL
BEGIN
    UPDATE signing_keys SET token_lifetime = NEW.access_token_lifetime WHERE token_lifetime < NEW.access_token_lifetime;
END;
