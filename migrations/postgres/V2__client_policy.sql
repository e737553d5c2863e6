-- What a client is held to and what is said of it in its tokens, as one document: no query looks into it. NULL = nothing said.
ALTER TABLE clients ADD COLUMN policy jsonb;
