-- The list of audit events (decision 0037): whoever asks, whatever is filtered, however many there are.
--
-- A page is merged from streams, each of them one range of an index in the order of the list: the events
-- of a domain, of a department, of somebody, and with a filter those of a domain with this resource and
-- action. What was done, and to what kind of thing, are few words, so which pairs of them a domain has is
-- found by skipping through the same index, and each pair is a stream.

-- All at once, and in the order in which a server takes them: one that runs beside would otherwise hold
-- some of them and wait for others.
LOCK TABLE account, mail_group, department, role_assignment, audit_event IN ACCESS EXCLUSIVE MODE;

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
    -- The departments of somebody, with all below.
    tops         uuid[],
    own          uuid,
    in_domain    uuid,
    by_actor     uuid,
    on_user      uuid,
    on_thing     uuid,
    of_resource  text,
    with_action  text,
    of_kind      text,
    from_time    timestamptz,
    to_time      timestamptz,
    -- Where to look: of many departments, in their domains.
    in_domains     uuid[],
    in_departments uuid[]
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
              FROM (SELECT greatest(to_timestamp(0), date_trunc('month', to_timestamp(
                        ('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint / 1000.0), 'UTC')
                        + later * interval '1 month') AS month) AS minted);

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
                                OR (actor_id = f.own OR user_id = f.own)
                                   AND audit_event.action <> 'hide'
                                OR (SELECT true FROM department_above AS above
                                     WHERE above.department_id = audit_event.department_id
                                       AND above.above_id = ANY (f.tops) LIMIT 1)) AS is_hit
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
        -- Of what is hidden from who asked, and from whom it is about, the time tells nothing either.
        statement := replace(statement, '{same}', kind.same || $hidden$
            AND (audit_event.action = 'hide' AND (actor_id = f.own OR user_id = f.own)
                 AND (domain_id = ANY (f.domains)) IS NOT TRUE
                 AND (SELECT true FROM department_above AS above
                       WHERE above.department_id = audit_event.department_id
                         AND above.above_id = ANY (f.tops) LIMIT 1) IS NULL) IS NOT TRUE $hidden$);
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
        statement := replace(statement, '{same}', kind.same || $hidden$
            AND (audit_event.action = 'hide' AND (actor_id = f.own OR user_id = f.own)
                 AND (domain_id = ANY (f.domains)) IS NOT TRUE
                 AND (SELECT true FROM department_above AS above
                       WHERE above.department_id = audit_event.department_id
                         AND above.above_id = ANY (f.tops) LIMIT 1) IS NULL) IS NOT TRUE $hidden$);
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
                     WHERE actor_id = actor AND or_none(domain_id) > place.id AND action <> 'hide'
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
                           OR f.in_domain IS NOT NULL AND f.in_domains = '{}';
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

    -- What somebody did in the domains that are looked at is among what happened there.
    IF f.own IS NOT NULL AND (is_of_what OR f.by_actor IS NOT NULL) THEN
        elsewhere := CASE WHEN f.in_domain IS NULL THEN audit_places_of(f.own, w)
                          ELSE ARRAY[f.in_domain] END;
        elsewhere := ARRAY(SELECT unnest(elsewhere) EXCEPT SELECT unnest(f.in_domains));
    END IF;
    IF f.by_actor IS NOT NULL THEN
        streams := audit_pairs_actor_what(f, w, f.in_domains, f.by_actor);
        w := audit_walk_actor_what(f, w, streams, f.by_actor);
        w := audit_walk_actor_department(f, w, ROW(f.in_departments, NULL, NULL), f.by_actor);
        IF f.by_actor = f.own THEN
            streams := audit_pairs_actor_what(f, w, elsewhere, f.own);
            RETURN audit_walk_actor_what(f, w, streams, f.own);
        END IF;
    ELSIF is_of_what THEN
        w := audit_walk_domain_what(f, w, audit_pairs_domain_what(f, w, f.in_domains, NULL), NULL);
        streams := audit_pairs_department_what(f, w, f.in_departments, NULL);
        w := audit_walk_department_what(f, w, streams, NULL);
        streams := audit_pairs_actor_what(f, w, elsewhere, f.own);
        w := audit_walk_actor_what(f, w, streams, f.own);
    ELSE
        w := audit_walk_domain(f, w, ROW(f.in_domains, NULL, NULL), NULL);
        w := audit_walk_department(f, w, ROW(f.in_departments, NULL, NULL), NULL);
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
        f.tops := reached('departments');
        f.own := reached_user();
    END IF;
    f.in_domains := f.domains;
    -- In a domain that is seen as a whole there is nothing that it would not be found by.
    IF f.in_domain IS NOT NULL THEN
        IF f.everything OR f.every_domain OR f.in_domain = ANY (f.domains) THEN
            f.domains := ARRAY[f.in_domain];
            f.tops := '{}';
            f.own := NULL;
        ELSE
            f.domains := '{}';
            f.tops := ARRAY(SELECT id FROM department
                             WHERE id = ANY (f.tops) AND domain_id = f.in_domain);
        END IF;
        f.everything := false;
        f.every_domain := false;
        f.in_domains := f.domains;
    END IF;
    f.in_departments := few_departments(f.tops);
    IF f.in_departments IS NULL THEN
        f.in_domains := ARRAY(SELECT unnest(f.domains)
                              UNION SELECT domain_id FROM department WHERE id = ANY (f.tops));
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

-- What is in departments, however many there are below one (decision 0037). Each department with all above
-- it and itself, so whether a row is below an administrator's department is one look into an index; it was
-- a comparison with each of thousands. `umail.departments` names only the departments that somebody
-- administers; servers of the version before name all below as well, which is the same.
CREATE TABLE department_above (
    above_id      uuid NOT NULL,
    -- One that is removed while one above it is moved leaves nothing behind.
    department_id uuid NOT NULL REFERENCES department ON DELETE CASCADE,
    domain_id     uuid NOT NULL,
    PRIMARY KEY (above_id, department_id) INCLUDE (domain_id)
);
CREATE INDEX department_above_department_id_idx ON department_above (department_id);

CREATE FUNCTION place_department() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        DELETE FROM department_above WHERE department_id = OLD.id;
        RETURN NULL;
    ELSIF TG_OP = 'UPDATE' THEN
        DELETE FROM department_above USING department_above AS below
         WHERE below.above_id = NEW.id AND department_above.department_id = below.department_id
           AND department_above.above_id IN (SELECT above_id FROM department_above AS above
                                              WHERE above.department_id = NEW.id
                                                AND above.above_id <> NEW.id);
    ELSE
        INSERT INTO department_above VALUES (NEW.id, NEW.id, NEW.domain_id);
    END IF;
    INSERT INTO department_above
    WITH RECURSIVE above AS (
        SELECT NEW.parent_id AS id
         UNION
        SELECT parent_id FROM department JOIN above USING (id)
    )
    SELECT above.id, below.department_id, NEW.domain_id FROM above CROSS JOIN department_above AS below
     WHERE above.id IS NOT NULL AND below.above_id = NEW.id
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER department_placed AFTER INSERT OR DELETE ON department
    FOR EACH ROW EXECUTE FUNCTION place_department();
CREATE TRIGGER department_moved AFTER UPDATE OF parent_id ON department
    FOR EACH ROW WHEN (OLD.parent_id IS DISTINCT FROM NEW.parent_id)
    EXECUTE FUNCTION place_department();
INSERT INTO department_above
WITH RECURSIVE above AS (
    SELECT id AS department_id, id, domain_id FROM department
     UNION
    SELECT department_id, parent_id, department.domain_id FROM department JOIN above USING (id)
     WHERE parent_id IS NOT NULL
)
SELECT id, department_id, domain_id FROM above;

GRANT SELECT ON department_above TO umail_app, umail_tenant;
ALTER TABLE department_above ENABLE ROW LEVEL SECURITY;
CREATE POLICY department_above_all ON department_above TO umail_app USING (true);
CREATE POLICY department_above_tenant ON department_above FOR SELECT TO umail_tenant
    USING (domain_id = ANY ((SELECT reached('homes'))::uuid[]));

CREATE OR REPLACE FUNCTION may_limit(level uuid) RETURNS boolean LANGUAGE sql STABLE
    RETURN EXISTS (
        SELECT FROM department
         WHERE id = level AND (domain_id = ANY (reached('domains'))
                               OR EXISTS (SELECT FROM department_above AS above
                                           WHERE above.department_id = parent_id
                                             AND above.above_id = ANY (reached('departments')))));
-- The policies that compared with each department. (With EXISTS, the database may read all departments
-- below instead of looking for one; not so here.)
DO $$
DECLARE
    policy record;
    here   text := 'domain_id = ANY ((SELECT reached(''domains''))::uuid[])';
    below  text := '(SELECT true FROM department_above AS above WHERE above.department_id = {column}
                        AND above.above_id = ANY ((SELECT reached(''departments''))::uuid[]) LIMIT 1)';
BEGIN
    FOR policy IN SELECT * FROM (VALUES
        ('account', 'account_tenant', 'account.department_id',
         'USING ({here} OR {below} OR id = (SELECT reached_user()))
          WITH CHECK ({here} OR {below} OR id = (SELECT reached_user())
                      AND domain_id = ANY ((SELECT reached(''homes''))::uuid[]))'),
        ('mail_group', 'mail_group_tenant', 'mail_group.department_id', 'USING ({here} OR {below})'),
        ('department', 'department_tenant', 'department.parent_id', 'WITH CHECK ({here} OR {below})'),
        ('department', 'department_tenant_update', 'department.parent_id', 'USING ({here} OR {below})'),
        ('department', 'department_tenant_delete', 'department.parent_id', 'USING ({here} OR {below})'),
        ('role_assignment', 'role_assignment_tenant', 'role_assignment.department_id',
         'USING ({here} OR {below}
                 OR EXISTS (SELECT FROM account WHERE account.id = account_id))'),
        ('audit_event', 'audit_event_tenant_select', 'audit_event.department_id',
         'USING ({here} OR {below}
                 OR action <> ''hide'' AND (actor_id = (SELECT reached_user())
                                          OR user_id = (SELECT reached_user())))')
    ) AS policies (on_table, name, department, conditions)
    LOOP
        EXECUTE format('ALTER POLICY %I ON %I ', policy.name, policy.on_table)
            || replace(replace(policy.conditions, '{below}', replace(below, '{column}', policy.department)),
                       '{here}', here);
    END LOOP;
END $$;

-- Those of some departments that are below others, or are those.
CREATE FUNCTION departments_below(departments uuid[], tops uuid[]) RETURNS uuid[] LANGUAGE sql STABLE
    RETURN ARRAY(SELECT one FROM unnest(departments) AS one
                  WHERE tops IS NULL
                     OR (SELECT true FROM department_above
                          WHERE department_id = one AND above_id = ANY (tops) LIMIT 1));
-- Of somebody who does not administer the place: as far as they are below the own departments.
CREATE FUNCTION tops_in_reach(place uuid, tops uuid[]) RETURNS uuid[] LANGUAGE sql STABLE
    RETURN CASE WHEN is_reached(place) THEN tops
                WHEN tops IS NULL THEN reached('departments')
                ELSE departments_below(tops, reached('departments')) END;
-- All departments below these, unless they are many.
CREATE FUNCTION few_departments(tops uuid[]) RETURNS uuid[] LANGUAGE sql STABLE
    RETURN (SELECT CASE WHEN count(*) <= 32 AND tops IS NOT NULL
                        THEN coalesce(array_agg(DISTINCT department_id), '{}') END
              FROM (SELECT department_id FROM department_above WHERE above_id = ANY (tops)
                     LIMIT 33) AS below);

-- The functions of migration 0020 again, with `tops`: what is in these departments or below them. Those
-- with fewer parameters are for servers of the version before, until the next migration.
--
-- Of more than a few departments, a page is what a walk in the order of the list finds, if the first steps
-- say that it finds it soon; counters of allowances tell how many there are in all.
DO $$
DECLARE
    kind record;
    statement text;
BEGIN
    FOR kind IN SELECT * FROM (VALUES
        ('account', 'deleted_at IS NULL', 'domain_id = place', 'department_id',
         '(in_status IS NULL OR status = in_status) AND (in_plan IS NULL OR plan_id = in_plan)',
         'users',
         'SELECT department_id FROM account WHERE domain_id = place AND deleted_at IS NOT NULL'),
        ('mail_group', 'true', 'domain_id = place', 'department_id', 'true',
         'groups', 'SELECT NULL::uuid AS department_id WHERE false'),
        ('alias', 'NOT is_forwarding', 'domain_id = place', 'NULL::uuid', 'true', NULL, NULL),
        ('domain', 'deleted_at IS NULL', 'true', 'NULL::uuid', 'true', NULL, NULL)
    ) AS kinds (name, live, place, department, passing, counter, gone)
    LOOP
        FOREACH statement IN ARRAY ARRAY[
$inside$
-- The next rows of some departments: of many those whose next rows come first have all that is wanted.
CREATE FUNCTION {name}_of_departments(place uuid, departments uuid[], tops uuid[], in_status smallint,
                                      in_plan uuid, behind uuid, wanted integer, OUT ids uuid[])
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    SET plan_cache_mode = force_generic_plan SET jit = off
    SET enable_seqscan = off SET enable_bitmapscan = off AS $body$
DECLARE
    rows   integer := 300;
    walked integer := 0;
    seen   uuid[];
    hits   uuid[];
BEGIN
    tops := tops_in_reach(place, tops);
    IF departments IS NOT NULL THEN
        departments := departments_below(departments, tops);
    ELSE
        departments := few_departments(tops);
    END IF;
    ids := '{}';
    IF departments IS NULL THEN
        LOOP
            SELECT step.seen, step.hits INTO seen, hits
              FROM {name}_walk(place, NULL, tops, in_status, in_plan, NULL, behind, rows) AS step;
            ids := ids || hits[1:wanted - cardinality(ids)];
            IF cardinality(ids) >= wanted OR coalesce(cardinality(seen), 0) < rows THEN
                RETURN;
            END IF;
            behind := seen[rows];
            walked := walked + rows;
            EXIT WHEN cardinality(ids) * 1200 < wanted * walked OR walked >= 1200;
            rows := 900;
        END LOOP;
        -- The page is filled within ten thousand rows: it takes less to know all departments then.
        IF cardinality(ids) * 10000 >= wanted * walked THEN
            hits := ids || ARRAY(
                SELECT id
                  FROM (SELECT domain_id, id, {department} AS department, {passing} AS is_wanted
                          FROM {name} WHERE {ahead} AND {live} ORDER BY {order} LIMIT 20000) AS next
                 WHERE is_wanted AND (department IN (SELECT department_id FROM department_above
                                                      WHERE above_id = ANY (tops))) IS TRUE
                 ORDER BY {order} LIMIT wanted - cardinality(ids));
            IF cardinality(hits) >= wanted THEN
                ids := hits;
                RETURN;
            END IF;
        END IF;
        departments := ARRAY(SELECT DISTINCT department_id FROM department_above
                              WHERE above_id = ANY (tops));
    END IF;
    ids := ids || ARRAY(
        SELECT inside.id
          FROM (SELECT department
                  FROM unnest(departments) AS department CROSS JOIN LATERAL
                       (SELECT id FROM {name}
                         WHERE {department} = department AND id > behind AND {live} AND {passing}
                         ORDER BY id LIMIT 1) AS next
                 ORDER BY next.id LIMIT wanted - cardinality(ids)) AS nearest
         CROSS JOIN LATERAL
               (SELECT id, {place} AS is_here FROM {name}
                 WHERE {department} = department AND id > behind AND {live} AND {passing}
                 ORDER BY id LIMIT wanted - cardinality(ids)) AS inside
         WHERE is_here ORDER BY inside.id LIMIT wanted - cardinality(ids));
END $body$
$inside$,
$walk$
-- The next rows in the order of the list: all that were seen, and those among them that match. Of a place,
-- they are compared by place and id together, for which there is one index only.
CREATE FUNCTION {name}_walk(place uuid, departments uuid[], tops uuid[], in_status smallint, in_plan uuid,
                            pattern text, behind uuid, rows integer, OUT seen uuid[], OUT hits uuid[])
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode = force_generic_plan SET jit = off
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
    SET enable_incremental_sort = off AS $body$
BEGIN
    SELECT array_agg(id), array_agg(id) FILTER (WHERE is_hit) INTO seen, hits
      FROM (SELECT id, (pattern IS NULL OR search_text LIKE pattern) AND {passing} AND {below} AS is_hit
              FROM {name} WHERE {ahead} AND {live} ORDER BY {order} LIMIT rows) AS step;
END $body$
$walk$,
$indexed$
-- All rows that match, by what the index finds for a part of the text; it knows of no places. Nothing if
-- it finds too many, or if the part has nothing that is indexed.
CREATE FUNCTION {name}_indexed(place uuid, departments uuid[], tops uuid[], in_status smallint,
                               in_plan uuid, term text, part text, behind uuid, rows integer,
                               OUT hits uuid[])
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode = force_generic_plan SET jit = off
    SET enable_seqscan = off SET enable_indexscan = off AS $body$
DECLARE
    pattern  text := like_pattern(part);
    matching bigint;
BEGIN
    IF show_trgm(pattern) = '{}' THEN
        RETURN;
    END IF;
    SELECT count(*), array_agg(id ORDER BY id) FILTER (
               WHERE strpos(search_text, term) > 0 AND {place} AND id > behind AND {passing} AND {below})
      INTO matching, hits
      FROM (SELECT * FROM {name} WHERE {live} AND search_text LIKE pattern
             LIMIT rows + 1) AS {name};
    hits := CASE WHEN matching <= rows THEN coalesce(hits, '{}') END;
END $body$
$indexed$,
$search$
-- The next rows of a list that match. `upto`: there may be more behind that one, and looking for them
-- would take too long.
CREATE FUNCTION {name}_search(place uuid, departments uuid[], tops uuid[], in_status smallint,
                              in_plan uuid, term text, behind uuid, wanted integer, bound integer,
                              OUT ids uuid[], OUT upto uuid)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $body$
DECLARE
    pattern text := like_pattern(term);
    sample  text[];
    rows    integer := 1000;
    walked  integer := 0;
    asked   boolean := false;
    few     uuid[];
    seen    uuid[];
    hits    uuid[];
BEGIN
    tops := tops_in_reach(place, tops);
    IF departments IS NOT NULL THEN
        departments := departments_below(departments, tops);
        few := departments;
    ELSIF tops IS NOT NULL THEN
        few := few_departments(tops);
        IF few IS NULL AND (SELECT sum({counter}) <= 2000 FROM allowance WHERE id = ANY (tops)) THEN
            few := ARRAY(SELECT DISTINCT department_id FROM department_above
                          WHERE above_id = ANY (tops));
        END IF;
    END IF;
    ids := '{}';
    -- What few departments have, or few rows in many, is looked at as a whole.
    IF few IS NOT NULL THEN
        SELECT array_agg(id), array_agg(id ORDER BY id) FILTER (WHERE is_hit) INTO seen, hits
          FROM (SELECT inside.* FROM unnest(few) AS department CROSS JOIN LATERAL
                       (SELECT id, {place} AND search_text LIKE pattern AND {passing} AS is_hit
                          FROM {name} WHERE {department} = department AND {live} AND id > behind
                         ORDER BY id LIMIT 2001) AS inside
                 LIMIT 2001) AS looked;
        IF coalesce(cardinality(seen), 0) <= 2000 THEN
            ids := coalesce(hits[1:wanted], '{}');
            RETURN;
        END IF;
    END IF;
    LOOP
        SELECT step.seen, step.hits INTO seen, hits
          FROM {name}_walk(place, departments, tops, in_status, in_plan, pattern, behind, rows) AS step;
        ids := (ids || hits)[1:wanted];
        IF cardinality(ids) >= wanted OR coalesce(cardinality(seen), 0) < rows THEN
            RETURN;
        END IF;
        behind := seen[rows];
        walked := walked + rows;
        -- To fill the page like this, more than ten thousand rows would be walked.
        IF NOT asked AND cardinality(ids) * 10000 < wanted * walked THEN
            asked := true;
            term := folded(term);
            sample := ARRAY(SELECT search_text FROM {name} WHERE id = ANY (seen[1:100]));
            hits := {name}_indexed(place, departments, tops, in_status, in_plan, term,
                                   rare_part(term, sample), behind, 20000);
            IF hits IS NOT NULL THEN
                ids := (ids || hits)[1:wanted];
                RETURN;
            END IF;
        END IF;
        IF walked >= bound THEN
            upto := behind;
            RETURN;
        END IF;
        rows := least(rows * 2, 20000);
    END LOOP;
END $body$
$search$,
$counted$
-- What the counters of allowances say, if that is certain: how many rows are below departments, or that a
-- place has more than are counted. Users that were deleted count until they are purged.
CREATE FUNCTION {name}_counted(place uuid, tops uuid[], most integer) RETURNS integer
    LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $body$
DECLARE
    total bigint;
    gone  uuid[];
BEGIN
    SELECT sum({counter}) INTO total FROM allowance
     WHERE id = ANY (coalesce(tops, ARRAY[place])) AND (domain_id = place) IS TRUE
       AND (SELECT true FROM department_above AS above
             WHERE department_id = id AND above_id = ANY (tops) AND above_id <> id LIMIT 1) IS NULL;
    IF total IS NULL OR tops IS NULL AND total <= most THEN
        RETURN NULL;
    END IF;
    gone := ARRAY(SELECT coalesce(department_id, place) FROM ({gone}) AS row LIMIT 1001);
    IF cardinality(gone) > 1000 THEN
        RETURN NULL;
    ELSIF tops IS NOT NULL THEN
        gone := departments_below(gone, tops);
    END IF;
    total := total - cardinality(gone);
    RETURN CASE WHEN tops IS NOT NULL OR total > most THEN least(total, most + 1) END;
END $body$
$counted$,
$all$
-- How many rows there are without any filter, up to so many, and one more if there are more.
CREATE FUNCTION {name}_count_all(place uuid, departments uuid[], most integer) RETURNS integer
    LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off SET enable_bitmapscan = off AS $body$
BEGIN
    IF departments IS NULL THEN
        RETURN (SELECT count(*) FROM
            (SELECT FROM {name} WHERE {place} AND {live} LIMIT most + 1) AS counted);
    END IF;
    RETURN (SELECT count(*) FROM
        (SELECT FROM unnest(departments) AS department CROSS JOIN LATERAL
                (SELECT FROM {name} WHERE {department} = department AND {place} AND {live}
                  LIMIT most + 1) AS inside
          LIMIT most + 1) AS counted);
END $body$
$all$,
$count$
-- How many rows of a list there are, or match: up to so many, and one more if there are more.
CREATE FUNCTION {name}_count(place uuid, departments uuid[], tops uuid[], in_status smallint,
                             in_plan uuid, term text, most integer) RETURNS integer
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    SET plan_cache_mode = force_custom_plan SET jit = off SET enable_seqscan = off AS $body$
DECLARE
    pattern text := like_pattern(term);
    sample  text[];
    rows    integer := 1000;
    total   integer;
    behind  uuid := '00000000-0000-0000-0000-000000000000';
    seen    uuid[];
    hits    uuid[];
    is_wide boolean;
BEGIN
    tops := tops_in_reach(place, tops);
    IF departments IS NOT NULL THEN
        departments := departments_below(departments, tops);
        tops := NULL;
    ELSIF tops IS NOT NULL THEN
        departments := few_departments(tops);
    END IF;
    is_wide := departments IS NULL AND tops IS NOT NULL;
    IF pattern IS NULL AND in_status IS NULL AND in_plan IS NULL THEN
        IF departments IS NULL THEN
            total := {name}_counted(place, tops, most);
        END IF;
        IF total IS NOT NULL THEN
            RETURN total;
        ELSIF NOT is_wide THEN
            RETURN {name}_count_all(place, departments, most);
        END IF;
    END IF;
    IF is_wide AND pattern IS NOT NULL THEN
        SELECT step.seen, step.hits INTO seen, hits
          FROM {name}_walk(place, NULL, NULL, in_status, in_plan, pattern, behind, 1000) AS step;
        -- Not even one in fifty matches: the index has few to look at.
        IF coalesce(cardinality(hits), 0) < 20 THEN
            term := folded(term);
            sample := ARRAY(SELECT search_text FROM {name} WHERE id = ANY (seen[1:100]));
            hits := {name}_indexed(place, NULL, tops, in_status, in_plan, term,
                                   rare_part(term, sample), behind, 20000);
            IF hits IS NOT NULL THEN
                RETURN least(cardinality(hits), most + 1);
            END IF;
        END IF;
    END IF;
    IF is_wide THEN
        RETURN (SELECT count(*) FROM
            (SELECT FROM (SELECT DISTINCT department_id AS department FROM department_above
                           WHERE above_id = ANY (tops)) AS below
              CROSS JOIN LATERAL
                    (SELECT FROM {name}
                      WHERE {department} = department AND {place} AND {live} AND {passing}
                        AND (pattern IS NULL OR search_text LIKE pattern) OFFSET 0) AS inside
              LIMIT most + 1) AS counted);
    ELSIF departments IS NOT NULL THEN
        RETURN (SELECT count(*) FROM
            (SELECT FROM {name}
              WHERE {department} = ANY (departments) AND {place} AND {live} AND {passing}
                AND (pattern IS NULL OR search_text LIKE pattern) LIMIT most + 1) AS counted);
    ELSIF pattern IS NULL THEN
        RETURN (SELECT count(*) FROM
            (SELECT FROM {name} WHERE {place} AND {live} AND {passing} LIMIT most + 1) AS counted);
    END IF;
    total := 0;
    LOOP
        SELECT step.seen, step.hits INTO seen, hits
          FROM {name}_walk(place, NULL, NULL, in_status, in_plan, pattern, behind, rows) AS step;
        total := total + coalesce(cardinality(hits), 0);
        IF total > most OR coalesce(cardinality(seen), 0) < rows THEN
            RETURN least(total, most + 1);
        END IF;
        behind := seen[rows];
        -- Not even one in ten matches: the index has fewer to look at.
        IF rows = 1000 AND total < 100 AND show_trgm(pattern) <> '{}' THEN
            term := folded(term);
            sample := ARRAY(SELECT search_text FROM {name} WHERE id = ANY (seen[1:100]));
            pattern := like_pattern(rare_part(term, sample));
            RETURN (SELECT count(*) FROM
                (SELECT FROM {name} WHERE {place} AND {live} AND {passing}
                    AND search_text LIKE pattern AND strpos(search_text, term) > 0
                  LIMIT most + 1) AS counted);
        END IF;
        rows := 20000;
    END LOOP;
END $body$
$count$
        ] LOOP
            CONTINUE WHEN kind.counter IS NULL
                      AND statement ~ '_(of_departments|counted)\(place uuid';
            -- What has no department is below none.
            statement := replace(statement, '{below}', CASE WHEN kind.counter IS NULL
                THEN '(departments IS NULL AND tops IS NULL)'
                ELSE '(departments IS NULL OR {department} = ANY (departments))
                      AND (tops IS NULL OR (SELECT true FROM department_above AS above
                                             WHERE above.department_id = {name}.{department}
                                               AND above.above_id = ANY (tops) LIMIT 1))' END);
            statement := replace(statement, '{ahead}', CASE WHEN kind.place = 'true' THEN 'id > behind'
                ELSE '(domain_id, id) > (place, behind)
                      AND (domain_id, id) < (place, ''ffffffff-ffff-ffff-ffff-ffffffffffff'')' END);
            statement := replace(statement, '{order}',
                CASE WHEN kind.place = 'true' THEN 'id' ELSE 'domain_id, id' END);
            IF kind.counter IS NULL THEN
                statement := replace(statement, '{name}_counted(place, tops, most)', 'NULL');
            END IF;
            statement := replace(statement, '{name}', kind.name);
            statement := replace(statement, '{live}', kind.live);
            statement := replace(statement, '{place}', kind.place);
            statement := replace(statement, '{counter}', coalesce(kind.counter, 'NULL::bigint'));
            statement := replace(statement, '{gone}', coalesce(kind.gone, ''));
            statement := replace(statement, '{department}', kind.department);
            EXECUTE replace(statement, '{passing}', kind.passing);
        END LOOP;
    END LOOP;
END $$;

-- What tenants and the server ask.
DO $$
DECLARE
    one record;
BEGIN
    FOR one IN
        SELECT oid::regprocedure AS signature, proname AS name FROM pg_proc
         WHERE pronamespace = 'public'::regnamespace AND 'tops' = ANY (proargnames)
           AND proname ~ '_(of_departments|walk|indexed|search|counted|count_all|count)$'
            OR pronamespace = 'public'::regnamespace AND proname ~ '_count_all$'
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', one.signature);
        IF one.name ~ '_(of_departments|search|count)$' THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO umail_app', one.signature);
            -- Whoever administers some domains has few, which are looked at by their ids.
            IF one.name !~ '^domain_' THEN
                EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO umail_tenant', one.signature);
            END IF;
        END IF;
    END LOOP;
END $$;
