-- One log in one file. `entry` is the log itself, `log` its record of both ends, which does not age.
-- Every index ends in the rowid, which is the sequence: each feed is a seek that comes out in order.

CREATE TABLE log (
  only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
  name TEXT NOT NULL,
  floor INTEGER NOT NULL,
  position INTEGER NOT NULL,
  time INTEGER NOT NULL
) STRICT;

CREATE TABLE entry (
  sequence INTEGER PRIMARY KEY,
  time INTEGER NOT NULL,
  mark TEXT NOT NULL,
  identity_digest BLOB NOT NULL,
  content BLOB NOT NULL,
  id TEXT NOT NULL,
  source TEXT NOT NULL,
  type TEXT NOT NULL,
  subject TEXT,
  org TEXT,
  app TEXT,
  instance TEXT,
  resource TEXT,
  body BLOB NOT NULL
) STRICT;

-- An identity is found by its id. Only an entry that is not the first one of its id has a digest of its identity, and so
-- a key here: a part of the digest, since a search compares the whole. Other keys in no order cost half of a row.
CREATE INDEX entry_identity ON entry (substr(identity_digest, 1, 8)) WHERE identity_digest <> x'';
CREATE INDEX entry_id ON entry (id);
CREATE INDEX entry_app ON entry (org, app) WHERE app IS NOT NULL;
CREATE INDEX entry_app_type ON entry (org, app, type) WHERE app IS NOT NULL;
CREATE INDEX entry_type ON entry (type);
CREATE INDEX entry_resource ON entry (resource) WHERE resource IS NOT NULL AND app IS NULL;
CREATE INDEX entry_subject ON entry (subject) WHERE subject IS NOT NULL;
CREATE INDEX entry_instance ON entry (instance) WHERE instance IS NOT NULL;

PRAGMA user_version = 5;
