-- Accepting inside the transactions of others. docs/postgres.md says how it is used.
-- The function takes no lock that a node waits for: a caller's transaction may stay open for as long as it likes.

-- What was submitted and is taken by no node yet. A row is seen once the caller has committed.
CREATE TABLE submitted (
    ordinal   bigint   PRIMARY KEY,          -- the operation's; the next one is its event's
    operation uuid     NOT NULL,
    kind      text COLLATE "C" NOT NULL,
    data      bytea,                         -- JSON in UTF-8
    owner     text COLLATE "C",
    priority  smallint NOT NULL,
    due       bigint,
    created   bigint   NOT NULL,
    source    text COLLATE "C" NOT NULL,
    given_id  text COLLATE "C",
    subject   text,
    extensions  text,                        -- as JSON
    key         text COLLATE "C",
    fingerprint bytea
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX submitted_kind ON submitted (kind, ordinal);
CREATE UNIQUE INDEX submitted_given ON submitted (given_id, source) WHERE given_id IS NOT NULL;

-- Event types that some node takes or declares: names, and patterns that end in `*`.
CREATE TABLE types (
    name text COLLATE "C" PRIMARY KEY
);

-- Tells two calls of one millisecond apart.
CREATE SEQUENCE submitted_number;

-- Whether a type is known, or nobody has ever said what is.
CREATE FUNCTION knows_type(kind text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM types t WHERE t.name = kind COLLATE "C")
        OR EXISTS (SELECT FROM types t WHERE right(t.name, 1) = '*' AND length(kind) > length(t.name) - 1
                   AND starts_with(kind, left(t.name, -1)))
        OR NOT EXISTS (SELECT FROM types)
$$;

-- The known names that begin most like a type.
CREATE FUNCTION types_like(kind text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT string_agg(l.name, ', ') FROM (
        SELECT t.name, (SELECT max(n) FROM generate_series(0, length(kind)) n
                        WHERE left(t.name, n) = left(kind, n) COLLATE "C" AND n <= length(t.name)) AS same
        FROM types t ORDER BY same DESC, t.name LIMIT 5) l
$$;

CREATE FUNCTION check_submitted(kind text, data text, owner text, key text, priority integer, given_id text,
                                source text, extensions jsonb) RETURNS void LANGUAGE plpgsql STABLE AS $$
DECLARE
    wrong text := CASE
        WHEN kind IS NULL OR octet_length(kind) NOT BETWEEN 1 AND 255 OR kind ~ '[[:space:][:cntrl:]]' THEN
            'the type must have 1 to 255 characters without spaces'
        WHEN octet_length(data) > 1048576 THEN
            format('the data has %s bytes, and the most is 1048576', octet_length(data))
        WHEN octet_length(owner) NOT BETWEEN 1 AND 255 THEN 'an owner has 1 to 255 characters'
        WHEN octet_length(key) NOT BETWEEN 1 AND 255 THEN 'an idempotency key has 1 to 255 characters'
        WHEN priority IS NULL OR priority NOT BETWEEN -100 AND 100 THEN
            format('the priority %s is not from -100 to 100', coalesce(priority::text, 'NULL'))
        WHEN octet_length(given_id) NOT BETWEEN 1 AND 255 THEN 'the event''s id must have 1 to 255 characters'
        WHEN source IS NULL OR octet_length(source) NOT BETWEEN 1 AND 2048 THEN
            'the event''s source must be a URI reference of 1 to 2048 characters'
        WHEN extensions IS NOT NULL AND jsonb_typeof(extensions) <> 'object' THEN
            'the extensions must be a JSON object'
        WHEN EXISTS (SELECT FROM jsonb_each(extensions) e WHERE e.key !~ '^[a-z0-9]{1,40}$'
                     OR jsonb_typeof(e.value) <> 'string') THEN
            'an extension has a name of 1 to 40 lower-case letters and digits, and a text'
    END;
BEGIN
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION '%', wrong USING ERRCODE = '22023';
    END IF;
    IF NOT knows_type(kind) THEN
        RAISE EXCEPTION 'no consumer takes and nothing declares the event type "%"', kind
            USING ERRCODE = '22023', HINT = format('Known types that are most like it: %s', types_like(kind));
    END IF;
END
$$;

-- The store's time, which goes on when the database's clock is set.
CREATE FUNCTION store_time() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
    SELECT clock_timestamp() + skew * interval '1 microsecond' FROM clock
$$;

-- When it is due, in microseconds since 1970; NULL is at once.
CREATE FUNCTION due_of(delay interval, at timestamptz) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    due timestamptz := coalesce(at, store_time() + delay);
BEGIN
    IF delay IS NOT NULL AND at IS NOT NULL THEN
        RAISE EXCEPTION 'give either a delay or an instant, not both' USING ERRCODE = '22023';
    END IF;
    IF delay < interval '0' THEN
        RAISE EXCEPTION 'the delay % is below 0', delay USING ERRCODE = '22023';
    END IF;
    IF NOT isfinite(due) OR due > timestamptz '9999-12-31 00:00Z' OR due < timestamptz '1970-01-01 00:00Z' THEN
        RAISE EXCEPTION 'the due time % is not from 1970 to 9999', due USING ERRCODE = '22023';
    END IF;
    RETURN (extract(epoch FROM due) * 1000000)::bigint;
END
$$;

-- An ordinal in the part of each millisecond that nodes leave free: even, the next one is free, too.
CREATE FUNCTION next_ordinal() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT ((extract(epoch FROM store_time()) * 1000)::bigint << 15) | 28672
        | ((nextval('submitted_number') & 2047) << 1)
$$;

-- The id with this ordinal; its layout is that of every other id.
CREATE FUNCTION id_of(ordinal bigint) RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT (lpad(to_hex(ordinal >> 15), 12, '0') || '7' || lpad(to_hex((ordinal >> 3) & 4095), 3, '0')
        || to_hex(128 | ((ordinal & 7) << 3) | (get_byte(r.random, 0) & 7))
        || right(encode(r.random, 'hex'), 14))::uuid
    FROM (SELECT uuid_send(gen_random_uuid()) AS random) r
$$;

CREATE FUNCTION accept(type text, data jsonb DEFAULT NULL, owner text DEFAULT NULL, idempotency_key text DEFAULT NULL,
                       delay interval DEFAULT NULL, at timestamptz DEFAULT NULL, priority integer DEFAULT 0,
                       id text DEFAULT NULL, source text DEFAULT '/acceptd', subject text DEFAULT NULL,
                       extensions jsonb DEFAULT NULL)
RETURNS uuid LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$
#variable_conflict use_column
DECLARE
    -- No caller of the API has this scope.
    the_scope CONSTANT text := E'\x01sql';
    body text := accept.data::text;
    digest bytea;
    due bigint := due_of(accept.delay, accept.at);
    number bigint;
    made uuid;
    known uuid;
    before bytea;
BEGIN
    PERFORM check_submitted(accept.type, body, accept.owner, accept.idempotency_key, accept.priority, accept.id,
                            accept.source, accept.extensions);
    number := next_ordinal();
    WHILE EXISTS (SELECT FROM operations o WHERE o.ordinal = number)
       OR EXISTS (SELECT FROM events e WHERE e.ordinal = number + 1) LOOP
        number := next_ordinal();
    END LOOP;
    made := id_of(number);
    IF accept.idempotency_key IS NOT NULL THEN
        digest := sha256(convert_to(jsonb_build_array(accept.type, accept.data, accept.owner, accept.delay::text,
            extract(epoch FROM accept.at)::text, accept.priority, accept.id, accept.source, accept.subject,
            accept.extensions)::text, 'UTF8'));
        -- Who uses the key at the same time is waited for: it counts only if that one commits.
        LOOP
            INSERT INTO idempotency (scope, key, fingerprint, operation, expires)
            VALUES (the_scope, accept.idempotency_key, digest, made, 9223372036854775807) ON CONFLICT DO NOTHING;
            EXIT WHEN FOUND;
            SELECT i.fingerprint, i.operation INTO before, known FROM idempotency i
            WHERE i.scope = the_scope AND i.key = accept.idempotency_key;
            CONTINUE WHEN NOT FOUND;
            IF before <> digest THEN
                RAISE EXCEPTION 'the idempotency key "%" was used before with another request', accept.idempotency_key
                    USING ERRCODE = '23505';
            END IF;
            RETURN known;
        END LOOP;
    END IF;
    LOOP
        SELECT e.operation INTO known FROM events e
        WHERE e.given_id = accept.id AND e.source = accept.source AND e.given_id IS NOT NULL AND e.depth = 0;
        EXIT WHEN FOUND;
        INSERT INTO submitted (ordinal, operation, kind, data, owner, priority, due, created, source, given_id,
                               subject, extensions, key, fingerprint)
        VALUES (number, made, accept.type, convert_to(body, 'UTF8'), accept.owner, accept.priority, due,
                (extract(epoch FROM store_time()) * 1000000)::bigint, accept.source, accept.id, accept.subject,
                accept.extensions::text, accept.idempotency_key, digest)
        ON CONFLICT (given_id, source) WHERE given_id IS NOT NULL DO NOTHING;
        IF FOUND THEN
            RETURN made;
        END IF;
        SELECT s.operation INTO known FROM submitted s
        WHERE s.given_id = accept.id AND s.source = accept.source AND s.given_id IS NOT NULL;
        EXIT WHEN FOUND;
    END LOOP;
    -- This event was accepted before; the key leads to it from now on.
    UPDATE idempotency i SET operation = known
    WHERE i.scope = the_scope AND i.key = accept.idempotency_key AND i.operation = made;
    RETURN known;
END
$$;

COMMENT ON FUNCTION accept(text, jsonb, text, text, interval, timestamptz, integer, text, text, text, jsonb) IS
    'Accepts an operation with one event, committed with the rows of the calling transaction or not at all.';

-- Only the one function is for others: it works with its owner's rights, and finds nothing outside this schema.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION accept SET search_path TO %I, pg_temp', current_schema());
    EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA %I FROM PUBLIC', current_schema());
END
$$;
