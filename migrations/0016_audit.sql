-- Audit events as they have to be to be searched, sealed and kept (decision 0027): who, from where and
-- by which API key, about which user of which department; partitions by month; a hash chain.
--
-- The server (umail_app, umail_tenant) adds events and seals and does nothing else to them. The owner
-- removes what is older than is to be kept (`umail-api audit prune`), whole months at a time.

-- The smallest id that can be minted at a time: ids begin with the milliseconds since 1970.
CREATE FUNCTION audit_floor(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE
    RETURN (lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0')
        || '00000000000000000000')::uuid;

ALTER TABLE audit_event RENAME TO audit_event_before;
ALTER INDEX audit_event_pkey RENAME TO audit_event_before_pkey;
ALTER INDEX audit_event_domain_id_idx RENAME TO audit_event_before_domain_id_idx;

CREATE TABLE audit_event (
    id             uuid PRIMARY KEY,
    at             timestamptz NOT NULL,
    kind           text NOT NULL CHECK (kind IN ('change', 'security')),
    actor_kind     text NOT NULL,
    actor_id       uuid,
    -- The API key by which it was done on behalf of the actor.
    api_key_id     uuid,
    client_address text,
    action         text NOT NULL,
    resource       text NOT NULL,
    resource_id    uuid,
    domain_id      uuid,
    department_id  uuid,
    -- The user whom it is about.
    user_id        uuid,
    before         jsonb,
    after          jsonb,
    request_id     text NOT NULL
) PARTITION BY RANGE (id);
-- Each filter of the search, newest first. What was done in a change is one of few things, which are
-- found soon without an index; each one is paid by every change.
CREATE INDEX audit_event_domain_id_idx ON audit_event (domain_id, id);
CREATE INDEX audit_event_department_id_idx ON audit_event (department_id, id)
    WHERE department_id IS NOT NULL;
CREATE INDEX audit_event_user_id_idx ON audit_event (user_id, id) WHERE user_id IS NOT NULL;
CREATE INDEX audit_event_actor_id_idx ON audit_event (actor_id, id);
CREATE INDEX audit_event_resource_id_idx ON audit_event (resource_id, id);
CREATE INDEX audit_event_resource_idx ON audit_event (resource, id);
CREATE INDEX audit_event_action_idx ON audit_event (action, id) WHERE kind = 'security';

-- Events of times for which there is no month, such as those that were late when theirs was pruned.
CREATE TABLE audit_event_other PARTITION OF audit_event DEFAULT;

-- Makes the partition of a month. One that cannot be made is not missed: its events are in the other.
CREATE FUNCTION audit_partition(month timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    first timestamptz := date_trunc('month', month, 'UTC');
    next  timestamptz := date_trunc('month', first + interval '32 days', 'UTC');
    name  text := 'audit_event_' || to_char(first AT TIME ZONE 'UTC', 'YYYYMM');
BEGIN
    IF to_regclass('public.' || name) IS NULL THEN
        EXECUTE format('CREATE TABLE public.%I PARTITION OF public.audit_event
                        FOR VALUES FROM (%L) TO (%L)', name, audit_floor(first), audit_floor(next));
    END IF;
EXCEPTION WHEN check_violation THEN
    RAISE WARNING 'audit events of % are in audit_event_other already', name;
END $$;

-- Makes the partitions of this month and the next two. The server may ask for it.
CREATE FUNCTION audit_prepare() RETURNS void LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('audit partitions', 0));
    FOR ahead IN 0..2 LOOP
        PERFORM audit_partition(date_trunc('month', now(), 'UTC') + ahead * interval '1 month');
    END LOOP;
END $$;

-- The chain: each digest covers the one before and the event. Sequence numbers have no gaps.
CREATE TABLE audit_seal (
    sequence  bigint PRIMARY KEY CHECK (sequence > 0),
    event_id  uuid NOT NULL CONSTRAINT audit_seal_event_id_key UNIQUE,
    sealed_at timestamptz NOT NULL,
    -- SHA-256.
    digest    bytea NOT NULL CHECK (length(digest) = 32)
);
-- Events that wait for their seal, each written in the transaction of its event.
CREATE TABLE audit_unsealed (
    event_id uuid PRIMARY KEY
);
-- Where the chain begins since older events were pruned: the last seal that was removed.
CREATE TABLE audit_anchor (
    sequence  bigint PRIMARY KEY,
    digest    bytea NOT NULL,
    pruned_at timestamptz NOT NULL
);

-- Removes the events of all months before the one of a time, and their seals, as far as they are the
-- beginning of the chain. What was sealed later, or not yet, stays among the other events.
CREATE FUNCTION audit_prune(before timestamptz, OUT upto bigint, OUT removed bigint)
    LANGUAGE plpgsql AS $$
DECLARE
    floor     uuid := audit_floor(date_trunc('month', before, 'UTC'));
    month     text := 'audit_event_' || to_char(before AT TIME ZONE 'UTC', 'YYYYMM');
    partition name;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('audit seals', 0));
    SELECT sequence - 1 INTO upto FROM audit_seal WHERE event_id >= floor ORDER BY sequence LIMIT 1;
    IF NOT FOUND THEN
        SELECT max(sequence) INTO upto FROM audit_seal;
    END IF;
    INSERT INTO audit_anchor SELECT sequence, digest, now() FROM audit_seal WHERE sequence = upto;
    FOR partition IN
        SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
         WHERE inhparent = 'audit_event'::regclass AND relname ~ '^audit_event_\d{6}$'
           AND relname < month COLLATE "C"
    LOOP
        EXECUTE format('ALTER TABLE audit_event DETACH PARTITION %I', partition);
        EXECUTE format('INSERT INTO audit_event SELECT event.* FROM %I AS event
                          LEFT JOIN audit_seal ON event_id = event.id
                         WHERE coalesce(sequence > $1, true)', partition) USING upto;
        EXECUTE format('DROP TABLE %I', partition);
    END LOOP;
    DELETE FROM audit_event USING audit_seal
     WHERE audit_event.id < floor AND event_id = audit_event.id AND sequence <= upto;
    DELETE FROM audit_seal WHERE sequence <= upto;
    GET DIAGNOSTICS removed = ROW_COUNT;
END $$;

REVOKE EXECUTE ON FUNCTION audit_partition, audit_prepare, audit_prune FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_prepare TO umail_app;

DO $$
DECLARE
    month timestamptz := (SELECT min(at) FROM audit_event_before);
BEGIN
    WHILE month < now() LOOP
        PERFORM audit_partition(month);
        month := date_trunc('month', month, 'UTC') + interval '32 days';
    END LOOP;
    PERFORM audit_prepare();
END $$;
INSERT INTO audit_event (id, at, kind, actor_kind, actor_id, action, resource, resource_id, domain_id,
                         user_id, before, after, request_id)
SELECT id, at, 'change', actor_kind, actor_id, action, resource, resource_id::uuid, domain_id,
       CASE WHEN resource IN ('user', 'user password', 'sessions', 'totp', 'lockout', 'forwarding',
                              'compromised account', 'user purge') AND domain_id IS NOT NULL
            THEN resource_id::uuid END,
       before, after, request_id
  FROM audit_event_before;
INSERT INTO audit_unsealed SELECT id FROM audit_event_before;
DROP TABLE audit_event_before;

GRANT SELECT, INSERT ON audit_event, audit_seal TO umail_app;
GRANT SELECT ON audit_anchor TO umail_app;
GRANT SELECT, INSERT, DELETE ON audit_unsealed TO umail_app;
GRANT SELECT, INSERT ON audit_event TO umail_tenant;
GRANT INSERT ON audit_unsealed TO umail_tenant;
GRANT SELECT ON audit_event, audit_seal, audit_unsealed, audit_anchor TO umail_auditor;

-- Written by everybody about what they do themselves. Read by whoever administers the domain or the
-- department, by who did it, and by whom it is about.
ALTER TABLE audit_event ENABLE ROW LEVEL SECURITY;
CREATE POLICY audit_event_all ON audit_event TO umail_app USING (true);
CREATE POLICY audit_event_audit ON audit_event FOR SELECT TO umail_auditor USING (true);
CREATE POLICY audit_event_tenant_insert ON audit_event FOR INSERT TO umail_tenant
    WITH CHECK (actor_id = (SELECT reached_user()));
CREATE POLICY audit_event_tenant_select ON audit_event FOR SELECT TO umail_tenant
    USING (domain_id = ANY ((SELECT reached('domains'))::uuid[])
        OR department_id = ANY ((SELECT reached('departments'))::uuid[])
        OR actor_id = (SELECT reached_user())
        OR user_id = (SELECT reached_user()));
