-- Version 2: searches do not read the requests that are not due yet, however many they are.
--
-- A request is due if `not_before <= requested_at`. It is stored so without a delay. Of the others, workers find those
-- whose time has come in `request_delayed`, and make them due.

CREATE INDEX request_due ON cfcache.request (zone, action, environment, kind, priority DESC, id)
  WHERE not_before <= requested_at;
CREATE INDEX request_delayed ON cfcache.request (not_before) WHERE not_before > requested_at;
DROP INDEX cfcache.request_claim;

-- All defaults are the same time in one statement.
ALTER TABLE cfcache.request
  ALTER COLUMN requested_at SET DEFAULT statement_timestamp(),
  ALTER COLUMN not_before SET DEFAULT statement_timestamp(),
  ALTER COLUMN expires_at SET DEFAULT statement_timestamp() + interval '24 hours';

-- Takes tokens from either all of these buckets or none. Returns 0 if they were taken, otherwise the microseconds until
-- they will be available. The rows are locked in the order of their names, and only this server's clock counts.
CREATE OR REPLACE FUNCTION cfcache.take_tokens(names text[], intervals_us bigint[], bursts integer[], counts integer[])
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
  -- Corrects times that are further ahead than anything sets them: the server's clock went back since then.
  UPDATE cfcache.budget
    SET blocked_until = CASE WHEN blocked_until > clock + interval '1 hour' THEN clock ELSE blocked_until END,
      tat = least(tat, greatest(clock, CASE WHEN blocked_until > clock + interval '1 hour' THEN clock ELSE blocked_until END)
        + (burst * interval_us) * interval '1 microsecond')
    WHERE name = ANY (names)
      AND (blocked_until > clock + interval '1 hour'
        OR tat > greatest(clock, blocked_until) + (burst * interval_us) * interval '1 microsecond');
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

-- Checks all arguments, then stores requests of one kind. Errors have the class of invalid parameters (22023).
CREATE OR REPLACE FUNCTION cfcache.enqueue(
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
  clock timestamptz := clock_timestamp();
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
  INSERT INTO cfcache.request
      (zone, environment, action, kind, key, priority, requested_at, not_before, expires_at, source)
    SELECT zone_name, coalesce(environment, ''), action, kind,
      CASE kind WHEN 'hosts' THEN lower(given.key) ELSE given.key END,
      priority, clock, clock + delay,
      CASE WHEN kind <> 'everything' THEN clock + delay + interval '24 hours' END,
      'sql'
    FROM unnest(keys) AS given (key);
  GET DIAGNOSTICS stored = ROW_COUNT;
  RETURN stored;
END
$$;
