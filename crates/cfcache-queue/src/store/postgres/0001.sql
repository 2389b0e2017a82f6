-- Version 1: the tables of requests, budgets and dead letters, and the functions for producers. `cfcache-queue migrate`
-- runs this in a transaction, after it has created the schema and the table of versions.

CREATE TABLE cfcache.request (
  id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- An id or a domain.
  zone         text NOT NULL CHECK (zone <> ''),
  -- The id of an environment; empty for the whole zone.
  environment  text NOT NULL DEFAULT '',
  action       text NOT NULL DEFAULT 'purge' CHECK (action IN ('purge', 'invalidate')),
  kind         text NOT NULL CHECK (kind IN ('everything', 'files', 'tags', 'hosts', 'prefixes')),
  -- One URL (or an object with URL and headers), tag, host or prefix; empty for everything.
  key          text NOT NULL CHECK ((kind = 'everything') = (key = '')),
  -- The text that coverage is decided by, limited to the size of an index: the host in lower case, then path and query.
  place        text COLLATE "C" NOT NULL GENERATED ALWAYS AS (left(coalesce(
    CASE kind
      WHEN 'files' THEN
        lower(substring(CASE left(key, 1) WHEN '{' THEN key::jsonb ->> 'url' ELSE key END
                        FROM '^[Hh][Tt][Tt][Pp][Ss]?://([^/?#]*)') COLLATE "C")
        || substring(CASE left(key, 1) WHEN '{' THEN key::jsonb ->> 'url' ELSE key END
                     FROM '^[Hh][Tt][Tt][Pp][Ss]?://[^/?#]*(.*)$')
      WHEN 'prefixes' THEN
        lower(split_part(key, '/', 1) COLLATE "C") || substr(key, length(split_part(key, '/', 1)) + 1)
      WHEN 'hosts' THEN lower(key COLLATE "C")
      WHEN 'tags' THEN lower(key COLLATE "C")
    END, ''), 500)) STORED,
  priority     smallint NOT NULL DEFAULT 0,
  requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  not_before   timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- When it is given up; null for never.
  expires_at   timestamptz DEFAULT clock_timestamp() + interval '24 hours',
  attempts     integer NOT NULL DEFAULT 0,
  last_error   text,
  source       text,
  event        text
) WITH (
  -- Rows exist for seconds only, so autovacuum runs after 5,000 dead rows, at full speed, whatever the size of the
  -- table.
  autovacuum_vacuum_threshold = 5000,
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_insert_threshold = 50000,
  autovacuum_vacuum_insert_scale_factor = 0,
  autovacuum_vacuum_cost_delay = 0,
  autovacuum_analyze_threshold = 20000,
  autovacuum_analyze_scale_factor = 0
);
CREATE INDEX request_claim ON cfcache.request (zone, action, environment, kind, priority DESC, id);
CREATE INDEX request_place ON cfcache.request (place, zone);

-- One row per bucket, shared by all workers: `tat` is the time when the bucket will be full again.
CREATE TABLE cfcache.budget (
  name          text PRIMARY KEY,
  interval_us   bigint NOT NULL CHECK (interval_us > 0),
  burst         integer NOT NULL CHECK (burst > 0),
  tat           timestamptz NOT NULL DEFAULT now(),
  blocked_until timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 20, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);

CREATE TABLE cfcache.dead (
  id           bigint PRIMARY KEY,
  zone         text NOT NULL,
  environment  text NOT NULL,
  action       text NOT NULL,
  kind         text NOT NULL,
  key          text NOT NULL,
  priority     smallint NOT NULL,
  requested_at timestamptz NOT NULL,
  died_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  attempts     integer NOT NULL,
  reason       text NOT NULL CHECK (reason IN ('refused', 'expired', 'attempts')),
  last_error   text NOT NULL,
  source       text,
  event        text
);

-- Takes tokens from either all of these buckets or none. Returns 0 if they were taken, otherwise the microseconds until
-- they will be available. The rows are locked in the order of their names, and only this server's clock counts.
CREATE FUNCTION cfcache.take_tokens(names text[], intervals_us bigint[], bursts integer[], counts integer[])
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  clock timestamptz;
  wait bigint;
BEGIN
  -- Locks the row even if nothing changes.
  INSERT INTO cfcache.budget AS known (name, interval_us, burst)
    SELECT given.name, given.interval_us, given.burst
    FROM unnest(names, intervals_us, bursts) AS given (name, interval_us, burst)
    ORDER BY given.name
  ON CONFLICT (name) DO UPDATE SET interval_us = excluded.interval_us, burst = excluded.burst
    WHERE (known.interval_us, known.burst) IS DISTINCT FROM (excluded.interval_us, excluded.burst);
  clock := clock_timestamp();
  SELECT ceil(max(greatest(
      0,
      extract(epoch FROM greatest(known.tat, clock) - clock) * 1000000
        + (least(given.count, known.burst) - known.burst)::numeric * known.interval_us,
      extract(epoch FROM known.blocked_until - clock) * 1000000
    )))::bigint
    INTO wait
    FROM cfcache.budget AS known JOIN unnest(names, counts) AS given (name, count) USING (name);
  IF wait > 0 THEN
    RETURN wait;
  END IF;
  UPDATE cfcache.budget AS known
    SET tat = greatest(known.tat, clock)
      + (least(given.count, known.burst) * known.interval_us) * interval '1 microsecond'
    FROM unnest(names, counts) AS given (name, count)
    WHERE known.name = given.name;
  RETURN 0;
END
$$;

-- Returns the text of an invalid argument, shortened for a message.
CREATE FUNCTION cfcache.shown(given text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT '`' || CASE WHEN length(given) > 200 THEN left(given, 200) || '…' ELSE given END || '`' $$;

-- Returns why a target of that kind is invalid; null if it is valid. The worker checks more: targets that it finds
-- invalid or that the API refuses are moved to `cfcache.dead`.
CREATE FUNCTION cfcache.invalid(kind text, key text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  host text := split_part(key, '/', 1);
BEGIN
  IF kind = 'files' AND left(key, 1) = '{' AND octet_length(key) <= 32768 THEN
    BEGIN
      IF jsonb_typeof(key::jsonb -> 'url') IS DISTINCT FROM 'string' THEN
        RETURN 'has no string field "url"';
      END IF;
      RETURN cfcache.invalid('files', key::jsonb ->> 'url');
    EXCEPTION WHEN data_exception THEN
      RETURN 'is not a JSON object such as {"url": "https://…", "headers": {"CF-Device-Type": "mobile"}}';
    END;
  END IF;
  RETURN CASE
    WHEN key IS NULL THEN 'is null'
    WHEN key = '' THEN 'is empty'
    WHEN octet_length(key) > 32768 THEN 'is longer than 32,768 bytes'
    WHEN key ~ '[[:space:][:cntrl:]]' THEN 'contains white space or a control character'
    WHEN kind = 'tags' THEN CASE
      WHEN key !~ '^[!-~]+$' THEN 'is not printable ASCII'
      WHEN position(',' IN key) > 0 THEN 'contains a comma: pass each tag as a separate element'
      WHEN length(key) > 1024 THEN 'is longer than 1,024 characters'
    END
    WHEN position('\' IN key) > 0 THEN 'contains a backslash'
    WHEN kind = 'files' THEN CASE
      WHEN key !~* '^https?://' THEN 'does not begin with http:// or https://'
      WHEN key !~* '^https?://[^/?#]' THEN 'has no host'
    END
    WHEN key ~ '^[A-Za-z][A-Za-z0-9+.-]*://' THEN 'has a scheme: remove everything before the host'
    WHEN host = '' THEN 'has no host'
    WHEN position('*' IN host) > 0 THEN 'has a wildcard in its host'
    WHEN kind = 'hosts' AND key ~ '[/?#]' THEN 'has a path: a host is a name such as www.example.com'
    WHEN kind = 'prefixes' AND key ~ '[?#]' THEN 'has a query or a fragment'
  END;
END
$$;

-- Checks all arguments, then stores requests of one kind. Errors have the class of invalid parameters (22023).
CREATE FUNCTION cfcache.enqueue(
  kind text, zone text, keys text[], environment text, action text, priority integer, delay interval
) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  noun text := CASE kind WHEN 'files' THEN 'URL' WHEN 'tags' THEN 'tag' WHEN 'hosts' THEN 'host' ELSE 'prefix' END;
  zone_name text := lower(btrim(zone));
  problem text;
  position integer;
  stored bigint;
BEGIN
  problem := CASE
    WHEN zone IS NULL THEN 'the zone is null'
    WHEN zone_name = '' THEN 'the zone is empty'
    WHEN zone_name !~ '^([0-9a-f]{32}|([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)$'
      OR length(zone_name) > 253
      THEN 'the zone ' || cfcache.shown(zone) || ' is neither a zone id (32 hexadecimal digits) nor a domain (letters beyond ASCII in their xn-- form)'
    WHEN environment ~ '[^A-Za-z0-9_-]' OR length(environment) > 32
      THEN 'the environment ' || cfcache.shown(environment) || ' is not an id'
    WHEN action IS NULL OR action NOT IN ('purge', 'invalidate')
      THEN 'the action ' || coalesce(cfcache.shown(action), 'null') || ' is neither `purge` nor `invalidate`'
    WHEN priority IS NULL OR priority NOT BETWEEN -32768 AND 32767
      THEN 'the priority ' || coalesce(priority::text, 'null') || ' is not between -32768 and 32767'
    WHEN delay IS NULL OR delay < interval '0' OR delay > interval '24 hours'
      THEN 'the delay ' || coalesce(delay::text, 'null') || ' is not between 0 and 24 hours'
    WHEN keys IS NULL THEN 'the array is null'
    WHEN cardinality(keys) = 0 THEN 'the array is empty'
    WHEN cardinality(keys) > 10000
      THEN 'the array has ' || cardinality(keys) || ' elements, but one call takes at most 10,000'
  END;
  IF problem IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'cfcache: ' || problem;
  END IF;
  IF kind <> 'everything' THEN
    SELECT given.position, cfcache.invalid(kind, given.key) INTO position, problem
      FROM unnest(keys) WITH ORDINALITY AS given (key, position)
      WHERE cfcache.invalid(kind, given.key) IS NOT NULL
      ORDER BY given.position LIMIT 1;
    IF problem IS NOT NULL THEN
      RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
        MESSAGE = 'cfcache: ' || noun || ' ' || position || coalesce(' ' || cfcache.shown(keys[position]), '') || ' ' || problem,
        HINT = 'This call stored nothing.';
    END IF;
  END IF;
  INSERT INTO cfcache.request (zone, environment, action, kind, key, priority, not_before, expires_at, source)
    SELECT zone_name, coalesce(environment, ''), action, kind,
      CASE kind WHEN 'hosts' THEN lower(given.key) ELSE given.key END,
      priority, clock_timestamp() + delay,
      CASE WHEN kind <> 'everything' THEN clock_timestamp() + delay + interval '24 hours' END,
      'sql'
    FROM unnest(keys) AS given (key);
  GET DIAGNOSTICS stored = ROW_COUNT;
  RETURN stored;
END
$$;

-- The functions for producers, called in the transaction that changes the content. A role needs USAGE on the schema and
-- EXECUTE on the functions, but no rights on the tables: the functions write with the rights of their owner.
CREATE FUNCTION cfcache.request_urls(
  zone text, urls text[],
  environment text DEFAULT NULL, action text DEFAULT 'purge', priority integer DEFAULT 0, delay interval DEFAULT '0'
) RETURNS bigint
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$ SELECT cfcache.enqueue('files', zone, urls, environment, action, priority, delay) $$;

CREATE FUNCTION cfcache.request_tags(
  zone text, tags text[],
  environment text DEFAULT NULL, action text DEFAULT 'purge', priority integer DEFAULT 0, delay interval DEFAULT '0'
) RETURNS bigint
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$ SELECT cfcache.enqueue('tags', zone, tags, environment, action, priority, delay) $$;

CREATE FUNCTION cfcache.request_hosts(
  zone text, hosts text[],
  environment text DEFAULT NULL, action text DEFAULT 'purge', priority integer DEFAULT 0, delay interval DEFAULT '0'
) RETURNS bigint
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$ SELECT cfcache.enqueue('hosts', zone, hosts, environment, action, priority, delay) $$;

CREATE FUNCTION cfcache.request_prefixes(
  zone text, prefixes text[],
  environment text DEFAULT NULL, action text DEFAULT 'purge', priority integer DEFAULT 0, delay interval DEFAULT '0'
) RETURNS bigint
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$ SELECT cfcache.enqueue('prefixes', zone, prefixes, environment, action, priority, delay) $$;

CREATE FUNCTION cfcache.request_everything(
  zone text,
  environment text DEFAULT NULL, action text DEFAULT 'purge', priority integer DEFAULT 0, delay interval DEFAULT '0'
) RETURNS bigint
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$ SELECT cfcache.enqueue('everything', zone, ARRAY[''], environment, action, priority, delay) $$;

-- Only the owner may call the functions, until others are granted the right.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA cfcache FROM PUBLIC;
