-- Who describes a client in files; null: nobody, it is managed by hand. Only a prune of one owner's clients reads by it, so it has no index.
ALTER TABLE clients ADD COLUMN managed_by TEXT;
