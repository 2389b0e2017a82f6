-- Version 2: searches do not read the requests that are not due yet, however many they are.
--
-- A request is due if `not_before <= requested_at`. It is stored so without a delay. Of the others, the store finds those
-- whose time has come in `request_delayed`, and makes them due.

CREATE INDEX request_due ON request (zone, environment, action, kind, priority DESC, id) WHERE not_before <= requested_at;
CREATE INDEX request_delayed ON request (not_before) WHERE not_before > requested_at;
DROP INDEX request_claim;
