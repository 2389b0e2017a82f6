-- Version 1. Times are microseconds since 1970.

CREATE TABLE request (
  -- Never reused, and in the order of the commits, because there is only one writer.
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  -- An id or a domain.
  zone         TEXT NOT NULL,
  -- The id of an environment; empty for the whole zone.
  environment  TEXT NOT NULL,
  action       TEXT NOT NULL,
  kind         TEXT NOT NULL,
  -- One URL (or an object with URL and headers), tag, host or prefix; empty for everything.
  key          TEXT NOT NULL,
  -- A hash that is equal for keys that are the same to the API.
  hash         INTEGER NOT NULL,
  -- The host that contains everything the key refers to; null if that is uncertain.
  host         TEXT,
  priority     INTEGER NOT NULL,
  requested_at INTEGER NOT NULL,
  not_before   INTEGER NOT NULL,
  -- When it is given up; null for never.
  expires_at   INTEGER,
  attempts     INTEGER NOT NULL DEFAULT 0,
  last_error   TEXT,
  source       TEXT,
  event        TEXT
) STRICT;
CREATE INDEX request_claim ON request (zone, environment, action, kind, priority DESC, id);
CREATE INDEX request_same ON request (zone, hash);
CREATE INDEX request_host ON request (zone, host) WHERE host IS NOT NULL;

-- One row per bucket: `tat` is the time when the bucket will be full again.
CREATE TABLE budget (
  name          TEXT PRIMARY KEY,
  interval_us   INTEGER NOT NULL,
  burst         INTEGER NOT NULL,
  tat           INTEGER NOT NULL,
  blocked_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE dead (
  id           INTEGER PRIMARY KEY,
  zone         TEXT NOT NULL,
  environment  TEXT NOT NULL,
  action       TEXT NOT NULL,
  kind         TEXT NOT NULL,
  key          TEXT NOT NULL,
  hash         INTEGER NOT NULL,
  host         TEXT,
  priority     INTEGER NOT NULL,
  requested_at INTEGER NOT NULL,
  died_at      INTEGER NOT NULL,
  attempts     INTEGER NOT NULL,
  reason       TEXT NOT NULL,
  last_error   TEXT NOT NULL,
  source       TEXT,
  event        TEXT
) STRICT;

-- Updated to check that the file can be written.
CREATE TABLE probe (at INTEGER NOT NULL) STRICT;
INSERT INTO probe VALUES (0);
