-- The list of audit events (decision 0037): whoever asks, whatever is filtered, however many there are.
--
-- A page is merged from streams, each of them one range of an index in the order of the list: the events
-- of a domain, of a department, of somebody, and with a filter those of a domain with this resource and
-- action. What was done, and to what kind of thing, are few words, so which pairs of them a domain has is
-- found by skipping through the same index, and each pair is a stream.

-- Instead of two: who filters by one of the words asks for the pairs with it.
DROP INDEX audit_event_resource_idx;
DROP INDEX audit_event_action_idx;
-- Words in one, those of one resource side by side.
CREATE FUNCTION audit_what(resource text, action text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (resource || E'\t' || action) COLLATE "C";
-- What is compared cannot be nothing: what belongs to no domain is in that of no id.
CREATE FUNCTION or_none(id uuid) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce(id, '00000000-0000-0000-0000-000000000000');
CREATE INDEX audit_event_what_idx ON audit_event (audit_what(resource, action), id);
CREATE INDEX audit_event_domain_what_idx ON audit_event (domain_id, resource, action, id);
CREATE INDEX audit_event_department_what_idx ON audit_event (department_id, resource, action, id)
    WHERE department_id IS NOT NULL;
CREATE INDEX audit_event_actor_department_idx ON audit_event (actor_id, or_none(department_id), id)
    WHERE department_id IS NOT NULL;
CREATE INDEX audit_event_actor_what_idx ON audit_event
    (actor_id, or_none(domain_id), resource, action, id);

-- What is wanted, and what of it is seen.
CREATE TYPE audit_filter AS (
    -- All events, or those of all domains, or those of these places, and what is by or about oneself.
    everything   boolean,
    every_domain boolean,
    domains      uuid[],
    departments  uuid[],
    own          uuid,
    in_domain    uuid,
    by_actor     uuid,
    on_user      uuid,
    on_thing     uuid,
    of_resource  text,
    with_action  text,
    of_kind      text,
    from_time    timestamptz,
    to_time      timestamptz
);

-- Streams of one index: what stands before the id in their ranges.
CREATE TYPE audit_streams AS (places uuid[], resources text[], actions text[]);
-- A step through streams: from before one id down to another, so many events of each.
CREATE TYPE audit_walk AS (
    since  uuid,
    behind uuid,
    -- Only from here on: what is looked for in vain would else be looked for event by event.
    first  uuid,
    rows   integer,
    -- There are more: what is from here on has been seen whole.
    cut    uuid,
    -- What is wanted among the events that were seen.
    hits   uuid[]
);

-- The smallest id of the month in which an id was minted, or of one so many months later.
CREATE FUNCTION audit_month(id uuid, later integer) RETURNS uuid LANGUAGE sql STABLE
    RETURN (SELECT CASE WHEN month < '9999-01-01' THEN audit_floor(month)
                        WHEN later > 0 THEN 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid
                        ELSE audit_floor('9999-01-01') END
              FROM (SELECT date_trunc('month', to_timestamp(
                        ('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint / 1000.0), 'UTC')
                        + later * interval '1 month' AS month) AS minted);

-- Events of a kind have actions of that kind.
CREATE FUNCTION audit_is_wanted(f audit_filter, resource text, action text) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    RETURN (f.of_resource IS NULL OR resource = f.of_resource)
       AND (f.with_action IS NULL OR action = f.with_action)
       AND (f.of_kind IS NULL
            OR (f.of_kind = 'change') = (action IN ('create', 'update', 'delete', 'operate', 'read', 'list')));

-- For each index: the next events of its streams, in the order of the list. The last word before the id
-- is compared together with it, since that is the order of one index only: which one is read does not
-- depend on what the database believes about the events. Of many streams those whose next events come
-- first have all that is wanted. Bounds on the id alone leave out the months that have none; they are
-- the beginnings of months, because an index is read on behind any other.
DO $$
DECLARE
    kind record;
    statement text;
BEGIN
    FOR kind IN SELECT * FROM (VALUES
        ('all', 'true', '', ''),
        ('what', 'true', 'audit_what(resource, action), ',
         'audit_what(stream.resource, stream.action), '),
        ('domain', 'true', 'domain_id, ', 'stream.place, '),
        ('domain_what', 'domain_id = stream.place AND resource = stream.resource',
         'action, ', 'stream.action, '),
        ('department', 'department_id IS NOT NULL', 'department_id, ', 'stream.place, '),
        ('department_what', 'department_id = stream.place AND resource = stream.resource',
         'action, ', 'stream.action, '),
        ('actor', 'true', 'actor_id, ', 'actor, '),
        ('actor_department', 'actor_id = actor AND department_id IS NOT NULL',
         'or_none(department_id), ', 'stream.place, '),
        ('actor_what',
         'actor_id = actor AND or_none(domain_id) = stream.place AND resource = stream.resource',
         'action, ', 'stream.action, '),
        ('user', 'user_id IS NOT NULL', 'user_id, ', 'stream.place, '),
        ('thing', 'true', 'resource_id, ', 'stream.place, ')
    ) AS kinds (name, same, keys, sought)
    LOOP
        statement := $walk$
CREATE FUNCTION audit_walk_{name}(f audit_filter, w audit_walk, s audit_streams, actor uuid)
    RETURNS audit_walk LANGUAGE plpgsql STABLE AS $body$
DECLARE
    seen uuid[];
    hits uuid[];
BEGIN
    IF cardinality(s.places) > 8 THEN
        SELECT array_agg(near.place), array_agg(near.resource), array_agg(near.action) INTO s
          FROM (SELECT stream.*
                  FROM unnest(s.places, s.resources, s.actions) AS stream (place, resource, action)
                 CROSS JOIN LATERAL
                       (SELECT id FROM audit_event
                         WHERE {same} AND ({keys}id) < ({sought}w.behind)
                           AND ({keys}id) >= ({sought}w.since) AND id < w.behind AND id >= w.since
                         ORDER BY {order}id DESC LIMIT 1) AS newest
                 ORDER BY newest.id DESC LIMIT w.rows) AS near;
    END IF;
    IF s.places IS NULL OR s.places = '{}' THEN
        RETURN w;
    END IF;
    SELECT array_agg(step.id), array_agg(step.id) FILTER (WHERE step.is_hit) INTO seen, hits
      FROM (SELECT next.*
              FROM unnest(s.places, s.resources, s.actions) AS stream (place, resource, action)
             CROSS JOIN LATERAL
                   (SELECT id,
                           id >= w.first AND (f.from_time IS NULL OR at >= f.from_time)
                           AND (f.to_time IS NULL OR at < f.to_time)
                           AND (f.of_kind IS NULL OR kind = f.of_kind)
                           AND (f.on_thing IS NULL OR resource_id = f.on_thing)
                           AND (f.on_user IS NULL OR user_id = f.on_user)
                           AND (f.by_actor IS NULL OR actor_id = f.by_actor)
                           AND (f.in_domain IS NULL OR domain_id = f.in_domain)
                           AND (f.of_resource IS NULL OR audit_event.resource = f.of_resource)
                           AND (f.with_action IS NULL OR audit_event.action = f.with_action)
                           AND (f.everything OR f.every_domain AND domain_id IS NOT NULL
                                OR domain_id = ANY (f.domains)
                                OR department_id = ANY (f.departments)
                                OR actor_id = f.own OR user_id = f.own) AS is_hit
                      FROM audit_event
                     WHERE {same} AND ({keys}id) < ({sought}w.behind)
                       AND ({keys}id) >= ({sought}w.since) AND id < w.behind AND id >= w.since
                     ORDER BY {order}id DESC LIMIT w.rows) AS next
             ORDER BY next.id DESC LIMIT w.rows) AS step;
    IF cardinality(seen) >= w.rows THEN
        w.cut := greatest(w.cut, seen[w.rows]);
    END IF;
    w.hits := w.hits || hits;
    RETURN w;
END $body$ $walk$;
        statement := replace(statement, '{name}', kind.name);
        statement := replace(statement, '{keys}', kind.keys);
        statement := replace(statement, '{sought}', kind.sought);
        statement := replace(statement, '{same}', kind.same);
        EXECUTE replace(statement, '{order}', regexp_replace(kind.keys, ', $', ' DESC, '));
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %I FROM PUBLIC', 'audit_walk_' || kind.name);
    END LOOP;

    -- For each index with the two words: the wanted pairs that its places have in some months.
    FOR kind IN SELECT * FROM (VALUES
        ('what', 'true', 'audit_what(resource, action)', 'audit_what(pair.resource, pair.action)'),
        ('domain_what', 'domain_id = stream.place', 'resource, action', 'pair.resource, pair.action'),
        ('department_what', 'department_id = stream.place', 'resource, action',
         'pair.resource, pair.action'),
        ('actor_what', 'actor_id = actor AND or_none(domain_id) = stream.place', 'resource, action',
         'pair.resource, pair.action')
    ) AS kinds (name, same, keys, sought)
    LOOP
        statement := $pairs$
CREATE FUNCTION audit_pairs_{name}(f audit_filter, w audit_walk, places uuid[], actor uuid)
    RETURNS audit_streams LANGUAGE plpgsql STABLE AS $body$
DECLARE
    since  uuid := w.since;
    behind uuid := audit_month(w.behind, 1);
    s      audit_streams;
BEGIN
    SELECT array_agg(stream.place), array_agg(pair.resource), array_agg(pair.action) INTO s
      FROM unnest(places) AS stream (place) CROSS JOIN LATERAL (
        WITH RECURSIVE pair AS (
            SELECT coalesce(f.of_resource, '') AS resource, '' AS action, true AS is_inside
             UNION ALL
            SELECT next.* FROM pair CROSS JOIN LATERAL
                   (SELECT audit_event.resource, audit_event.action,
                           f.of_resource IS NULL
                           OR audit_event.resource = f.of_resource AS is_inside
                      FROM audit_event
                     WHERE {same} AND ({keys}) > ({sought}) AND id < behind AND id >= since
                     ORDER BY {keys} LIMIT 1) AS next
             WHERE pair.is_inside
        )
        SELECT pair.resource, pair.action FROM pair
         WHERE is_inside AND pair.action <> ''
           AND audit_is_wanted(f, pair.resource, pair.action)) AS pair;
    RETURN s;
END $body$ $pairs$;
        statement := replace(statement, '{name}', kind.name);
        statement := replace(statement, '{same}', kind.same);
        statement := replace(statement, '{sought}', kind.sought);
        EXECUTE replace(statement, '{keys}', kind.keys);
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %I FROM PUBLIC', 'audit_pairs_' || kind.name);
    END LOOP;
END $$;

-- The domains in which somebody did anything, and that of no id.
CREATE FUNCTION audit_places_of(actor uuid, w audit_walk) RETURNS uuid[] LANGUAGE plpgsql STABLE AS $$
DECLARE
    behind uuid := audit_month(w.behind, 1);
BEGIN
    RETURN ARRAY(
        WITH RECURSIVE place AS (
            SELECT or_none(NULL) AS id
             UNION ALL
            SELECT next.id FROM place CROSS JOIN LATERAL
                   (SELECT or_none(domain_id) AS id FROM audit_event
                     WHERE actor_id = actor AND or_none(domain_id) > place.id
                       AND audit_event.id < behind AND audit_event.id >= w.since
                     ORDER BY or_none(domain_id) LIMIT 1) AS next
        )
        SELECT id FROM place);
END $$;

-- A step through the streams that a filter needs.
CREATE FUNCTION audit_step(f audit_filter, w audit_walk) RETURNS audit_walk
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    nothing     uuid[] := ARRAY[NULL::uuid];
    own         uuid[] := array_remove(ARRAY[f.own], NULL);
    -- What somebody did in one foreign domain is looked for like what has words.
    is_of_what  boolean := coalesce(f.of_resource, f.with_action, f.of_kind) IS NOT NULL
                           OR f.in_domain IS NOT NULL AND f.domains = '{}';
    streams     audit_streams;
    elsewhere   uuid[];
BEGIN
    IF f.on_thing IS NOT NULL THEN
        RETURN audit_walk_thing(f, w, ROW(ARRAY[f.on_thing], NULL, NULL), NULL);
    ELSIF f.on_user IS NOT NULL THEN
        RETURN audit_walk_user(f, w, ROW(ARRAY[f.on_user], NULL, NULL), NULL);
    ELSIF f.everything OR f.every_domain THEN
        IF f.by_actor IS NOT NULL THEN
            RETURN audit_walk_actor(f, w, ROW(nothing, NULL, NULL), f.by_actor);
        ELSIF is_of_what THEN
            RETURN audit_walk_what(f, w, audit_pairs_what(f, w, nothing, NULL), NULL);
        END IF;
        RETURN audit_walk_all(f, w, ROW(nothing, NULL, NULL), NULL);
    END IF;

    -- What somebody did in the domains that are seen is among what happened there.
    IF f.in_domain IS NOT NULL THEN
        elsewhere := ARRAY(SELECT f.in_domain WHERE f.own IS NOT NULL);
    ELSIF f.own IS NOT NULL AND (is_of_what OR f.by_actor IS NOT NULL) THEN
        elsewhere := ARRAY(SELECT unnest(audit_places_of(f.own, w)) EXCEPT SELECT unnest(f.domains));
    END IF;
    IF f.by_actor IS NOT NULL THEN
        streams := audit_pairs_actor_what(f, w, f.domains, f.by_actor);
        w := audit_walk_actor_what(f, w, streams, f.by_actor);
        w := audit_walk_actor_department(f, w, ROW(f.departments, NULL, NULL), f.by_actor);
        IF f.by_actor = f.own THEN
            streams := audit_pairs_actor_what(f, w, elsewhere, f.own);
            RETURN audit_walk_actor_what(f, w, streams, f.own);
        END IF;
    ELSIF is_of_what THEN
        w := audit_walk_domain_what(f, w, audit_pairs_domain_what(f, w, f.domains, NULL), NULL);
        streams := audit_pairs_department_what(f, w, f.departments, NULL);
        w := audit_walk_department_what(f, w, streams, NULL);
        streams := audit_pairs_actor_what(f, w, elsewhere, f.own);
        w := audit_walk_actor_what(f, w, streams, f.own);
    ELSE
        w := audit_walk_domain(f, w, ROW(f.domains, NULL, NULL), NULL);
        w := audit_walk_department(f, w, ROW(f.departments, NULL, NULL), NULL);
        w := audit_walk_actor(f, w, ROW(own, NULL, NULL), f.own);
    END IF;
    RETURN audit_walk_user(f, w, ROW(own, NULL, NULL), NULL);
END $$;

-- A page of the events of somebody's scope that are wanted, the newest first. `upto`: there may be more
-- before that one, and looking for them would take too long. Months are looked at one by one first: a
-- statement that has all of them costs more than to read a page.
CREATE FUNCTION audit_page(f audit_filter, first uuid, behind uuid, wanted integer, bound integer,
                           OUT ids uuid[], OUT upto uuid)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    SET plan_cache_mode = force_generic_plan SET jit = off
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
    SET enable_incremental_sort = off AS $$
DECLARE
    base   uuid := least(behind, audit_floor(now()));
    back   integer := 0;
    walked integer := 0;
    w      audit_walk;
BEGIN
    IF current_setting('role') <> 'umail_app' THEN
        f.everything := false;
        f.every_domain := false;
        f.domains := reached('domains');
        f.departments := reached('departments');
        f.own := reached_user();
    END IF;
    -- In one domain there is nothing that it would not be found by.
    IF f.in_domain IS NOT NULL THEN
        IF f.everything OR f.every_domain OR f.in_domain = ANY (f.domains) THEN
            f.domains := ARRAY[f.in_domain];
            f.departments := '{}';
            f.own := NULL;
        ELSE
            f.domains := '{}';
            f.departments := ARRAY(SELECT id FROM department
                                    WHERE id = ANY (f.departments) AND domain_id = f.in_domain);
        END IF;
        f.everything := false;
        f.every_domain := false;
    END IF;
    ids := '{}';
    w.behind := behind;
    w.first := first;
    w.rows := wanted;
    LOOP
        w.since := CASE WHEN back > 12 THEN audit_month(first, 0)
                        ELSE greatest(audit_month(first, 0), audit_month(base, -back)) END;
        w.cut := NULL;
        w.hits := '{}';
        w := audit_step(f, w);
        ids := ids || ARRAY(SELECT DISTINCT hit FROM unnest(w.hits) AS hit
                             WHERE w.cut IS NULL OR hit >= w.cut ORDER BY hit DESC);
        IF cardinality(ids) >= wanted THEN
            ids := ids[1:wanted];
            RETURN;
        ELSIF coalesce(w.cut, w.since) <= first THEN
            RETURN;
        ELSIF w.cut IS NOT NULL THEN
            walked := walked + w.rows;
            w.behind := w.cut;
            w.rows := least(w.rows * 4, 5000);
            -- What is about one thing or user ends soon, and may be about somebody else's.
            IF walked >= bound AND coalesce(f.on_thing, f.on_user) IS NULL THEN
                upto := w.cut;
                RETURN;
            END IF;
        ELSE
            w.behind := w.since;
            w.rows := wanted;
            back := back * 3 + 2;
        END IF;
    END LOOP;
END $$;
REVOKE EXECUTE ON FUNCTION audit_places_of, audit_step, audit_page FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_page TO umail_app, umail_tenant;
