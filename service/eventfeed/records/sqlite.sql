-- Approvals, at most one for each organisation, and the audit log, which is append-only.

CREATE TABLE approval (
  organisation TEXT PRIMARY KEY,
  valid_to INTEGER NOT NULL,
  approval BLOB NOT NULL
) STRICT;

CREATE TABLE audit (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  time INTEGER NOT NULL,
  organisation TEXT NOT NULL,
  entry BLOB NOT NULL
) STRICT;

CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;

CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit
BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;

PRAGMA user_version = 1;
