-- When a key begins to sign, in milliseconds since the Unix epoch; NULL = from the moment that it was made (a node of the
-- version before writes that). The newest key of an algorithm that may sign is the one that does.
ALTER TABLE signing_keys ADD COLUMN signs_from_ms bigint;

-- The longest life, in seconds, of the tokens that a key has signed or will: it is kept so long after it last signed. Of keys
-- that were there before nobody knows, so the longest there is.
ALTER TABLE signing_keys ADD COLUMN token_lifetime bigint NOT NULL DEFAULT 2592000;

-- A client that is given a longer life of tokens lengthens that of every key, in the same transaction.
CREATE FUNCTION lengthen_signing_keys() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE signing_keys k SET token_lifetime = longest.lifetime
    FROM (SELECT max(c.access_token_lifetime) AS lifetime FROM changed c) AS longest
    WHERE k.token_lifetime < longest.lifetime;
    RETURN NULL;
END
$$;
CREATE TRIGGER clients_inserted AFTER INSERT ON clients REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION lengthen_signing_keys();
CREATE TRIGGER clients_updated AFTER UPDATE ON clients REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION lengthen_signing_keys();
