-- Search in lists, counts, and lists that do not bend with the number of rows (decision 0032).
--
-- What is searched is one text for each row: `\n `, the local part, `@`, then the names, each word
-- with a blank before it. So the beginning of a word is a blank and what follows, the end of a local
-- part is `@` and a new line, and nothing that people type reaches over two fields.
CREATE EXTENSION IF NOT EXISTS pg_trgm;

-- In lower case, whatever the locale of the database.
DO $$
DECLARE
    lowered text := CASE WHEN EXISTS (SELECT FROM pg_collation WHERE collname = 'und-x-icu')
                         THEN 'lower($1 COLLATE "und-x-icu")' ELSE 'lower($1)' END;
BEGIN
    EXECUTE 'CREATE FUNCTION folded(text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
             RETURN ' || lowered;
END $$;

-- Finds a text, none of whose characters means something else.
CREATE FUNCTION like_pattern(term text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN '%' || regexp_replace(folded(term), '([\\%_])', '\\\1', 'g') || '%';

ALTER TABLE account ADD COLUMN search_text text NOT NULL GENERATED ALWAYS AS (folded(
    E'\n ' || local_part || E'@\n ' || display_name || E'\n ' || given_name || ' ' || family_name
)) STORED;
ALTER TABLE mail_group ADD COLUMN search_text text NOT NULL GENERATED ALWAYS AS (folded(
    E'\n ' || local_part || E'@\n ' || display_name)) STORED;
ALTER TABLE domain ADD COLUMN search_text text NOT NULL GENERATED ALWAYS AS (folded(
    E'\n ' || name)) STORED;
-- A forwarding has the address of its user; there may be as many as there are users, and no list of
-- aliases shows them.
ALTER TABLE alias
    ADD COLUMN is_forwarding boolean NOT NULL DEFAULT false,
    ADD COLUMN search_text text NOT NULL GENERATED ALWAYS AS (folded(
        E'\n ' || local_part || E'@\n ')) STORED;
UPDATE alias SET is_forwarding = true
 WHERE NOT EXISTS (SELECT FROM address WHERE owner_id = alias.id);

-- The list of rows that wait for their place in an index is read by every search, so it is short.
CREATE INDEX account_search_idx ON account USING gin
    (search_text gin_trgm_ops) WITH (gin_pending_list_limit = 1024);
CREATE INDEX mail_group_search_idx ON mail_group USING gin
    (search_text gin_trgm_ops) WITH (gin_pending_list_limit = 1024);
CREATE INDEX alias_search_idx ON alias USING gin
    (search_text gin_trgm_ops) WITH (gin_pending_list_limit = 1024) WHERE NOT is_forwarding;
CREATE INDEX domain_search_idx ON domain USING gin
    (search_text gin_trgm_ops) WITH (gin_pending_list_limit = 1024);

-- An index in the order of the list behind each filter. They say what was deleted, so rows are counted
-- without being read. Most users are active: those are found without an index of their own.
CREATE INDEX account_status_idx ON account (domain_id, status, id)
    WHERE status <> 1 AND deleted_at IS NULL;
DROP INDEX account_domain_id_idx;
CREATE INDEX account_domain_id_idx ON account (domain_id, id) INCLUDE (deleted_at);
DROP INDEX account_plan_id_idx;
CREATE INDEX account_plan_id_idx ON account (plan_id, domain_id, id) INCLUDE (deleted_at);
DROP INDEX account_department_id_idx;
CREATE INDEX account_department_id_idx ON account (department_id, id) INCLUDE (deleted_at);
CREATE INDEX alias_listed_idx ON alias (domain_id, id) WHERE NOT is_forwarding;
CREATE INDEX domain_listed_idx ON domain (id) WHERE deleted_at IS NULL;
CREATE INDEX department_children_idx ON department (domain_id, parent_id, id);

-- Whether the rows of a place are within the reach of whoever asks: the functions below read as the
-- owner, since the database does not let LIKE use an index of a table that it narrows.
CREATE FUNCTION is_reached(place uuid) RETURNS boolean LANGUAGE sql STABLE
    RETURN current_setting('role') = 'umail_app' OR place = ANY (reached('domains'));
-- The departments that are wanted, as far as they are within reach; nothing wanted: all of those.
CREATE FUNCTION reached_departments(wanted uuid[]) RETURNS uuid[] LANGUAGE sql STABLE
    RETURN CASE WHEN wanted IS NULL THEN reached('departments')
                ELSE ARRAY(SELECT unnest(wanted) INTERSECT SELECT unnest(reached('departments'))) END;

-- The part of a text for which to ask the index: without what many rows have at its ends, which takes
-- the index long and excludes next to nothing.
CREATE FUNCTION rare_part(term text, sample text[]) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    WHILE length(term) > 3 AND (SELECT count(*) > cardinality(sample) / 5 FROM unnest(sample) AS one
                                 WHERE strpos(one, left(term, 3)) > 0) LOOP
        term := substr(term, 2);
    END LOOP;
    WHILE length(term) > 3 AND (SELECT count(*) > cardinality(sample) / 5 FROM unnest(sample) AS one
                                 WHERE strpos(one, right(term, 3)) > 0) LOOP
        term := left(term, -1);
    END LOOP;
    RETURN term;
END $$;

-- For each table that is searched: what is on a page of some departments, what a search finds, and how
-- many there are. Rows are walked in the order of the list, which
-- fills a page at once if the text is common; if the first steps say that it is rare, the index is
-- asked for all rows that have it; and if those are too many after all (they are further away), the
-- walk goes on, up to a bound, behind which the next page begins.
DO $$
DECLARE
    kind record;
    statement text;
BEGIN
    FOR kind IN SELECT * FROM (VALUES
        ('account', 'deleted_at IS NULL', 'domain_id = place', 'department_id',
         '(in_status IS NULL OR status = in_status) AND (in_plan IS NULL OR plan_id = in_plan)'),
        ('mail_group', 'true', 'domain_id = place', 'department_id', 'true'),
        ('alias', 'NOT is_forwarding', 'domain_id = place', 'NULL::uuid', 'true'),
        ('domain', 'deleted_at IS NULL', 'true', 'NULL::uuid', 'true')
    ) AS kinds (name, live, place, department, passing)
    LOOP
        FOREACH statement IN ARRAY ARRAY[
$inside$
-- The next rows of some departments: of many those whose next rows come first have all that is wanted.
CREATE FUNCTION {name}_of_departments(place uuid, departments uuid[], in_status smallint, in_plan uuid,
                                      behind uuid, wanted integer) RETURNS uuid[]
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off SET enable_bitmapscan = off AS $body$
BEGIN
    IF NOT is_reached(place) THEN
        departments := reached_departments(departments);
    END IF;
    RETURN ARRAY(
        SELECT inside.id
          FROM (SELECT department
                  FROM unnest(departments) AS department CROSS JOIN LATERAL
                       (SELECT id FROM {name}
                         WHERE {department} = department AND id > behind AND {live} AND {passing}
                         ORDER BY id LIMIT 1) AS next
                 ORDER BY next.id LIMIT wanted) AS nearest
         CROSS JOIN LATERAL
               (SELECT id, {place} AS is_here FROM {name}
                 WHERE {department} = department AND id > behind AND {live} AND {passing}
                 ORDER BY id LIMIT wanted) AS inside
         WHERE is_here ORDER BY inside.id LIMIT wanted);
END $body$
$inside$,
$walk$
-- The next rows in the order of the list: all that were seen, and those among them that match.
CREATE FUNCTION {name}_walk(place uuid, departments uuid[], in_status smallint, in_plan uuid,
                            pattern text, behind uuid, rows integer, OUT seen uuid[], OUT hits uuid[])
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $body$
BEGIN
    SELECT array_agg(id), array_agg(id) FILTER (WHERE is_hit) INTO seen, hits
      FROM (SELECT id, search_text LIKE pattern AND {passing}
                       AND (departments IS NULL OR {department} = ANY (departments)) AS is_hit
              FROM {name} WHERE {place} AND {live} AND id > behind ORDER BY id LIMIT rows) AS step;
END $body$
$walk$,
$indexed$
-- All rows that match, by what the index finds for a part of the text; it knows of no places. Nothing if
-- it finds too many, or if the part has nothing that is indexed.
CREATE FUNCTION {name}_indexed(place uuid, departments uuid[], in_status smallint, in_plan uuid,
                               term text, part text, behind uuid, rows integer, OUT hits uuid[])
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off SET enable_indexscan = off AS $body$
DECLARE
    pattern  text := like_pattern(part);
    matching bigint;
BEGIN
    IF show_trgm(pattern) = '{}' THEN
        RETURN;
    END IF;
    SELECT count(*), array_agg(id ORDER BY id) FILTER (WHERE strpos(search_text, term) > 0 AND {place} AND id > behind AND {passing}
               AND (departments IS NULL OR {department} = ANY (departments)))
      INTO matching, hits
      FROM (SELECT * FROM {name} WHERE {live} AND search_text LIKE pattern
             LIMIT rows + 1) AS candidate;
    hits := CASE WHEN matching <= rows THEN coalesce(hits, '{}') END;
END $body$
$indexed$,
$search$
-- The next rows of a list that match. `upto`: there may be more behind that one, and looking for them
-- would take too long.
CREATE FUNCTION {name}_search(place uuid, departments uuid[], in_status smallint, in_plan uuid,
                              term text, behind uuid, wanted integer, bound integer,
                              OUT ids uuid[], OUT upto uuid)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $body$
DECLARE
    pattern text := like_pattern(term);
    sample  text[];
    rows    integer := 1000;
    walked  integer := 0;
    asked   boolean := false;
    seen    uuid[];
    hits    uuid[];
BEGIN
    IF NOT is_reached(place) THEN
        departments := reached_departments(departments);
    END IF;
    ids := '{}';
    -- What few departments have is looked at as a whole.
    IF departments IS NOT NULL THEN
        SELECT array_agg(id), array_agg(id ORDER BY id) FILTER (WHERE is_hit) INTO seen, hits
          FROM (SELECT inside.* FROM unnest(departments) AS department CROSS JOIN LATERAL
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
          FROM {name}_walk(place, departments, in_status, in_plan, pattern, behind, rows) AS step;
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
            hits := {name}_indexed(place, departments, in_status, in_plan, term,
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
$count$
-- How many rows of a list there are, or match: up to so many, and one more if there are more.
CREATE FUNCTION {name}_count(place uuid, departments uuid[], in_status smallint, in_plan uuid,
                             term text, most integer) RETURNS integer
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $body$
DECLARE
    pattern text := like_pattern(term);
    sample  text[];
    rows    integer := 1000;
    total   integer := 0;
    behind  uuid := '00000000-0000-0000-0000-000000000000';
    seen    uuid[];
    hits    uuid[];
BEGIN
    IF NOT is_reached(place) THEN
        departments := reached_departments(departments);
    END IF;
    IF departments IS NOT NULL THEN
        RETURN (SELECT count(*) FROM
            (SELECT FROM {name}
              WHERE {department} = ANY (departments) AND {place} AND {live} AND {passing}
                AND (pattern IS NULL OR search_text LIKE pattern) LIMIT most + 1) AS counted);
    ELSIF pattern IS NULL THEN
        RETURN (SELECT count(*) FROM
            (SELECT FROM {name} WHERE {place} AND {live} AND {passing} LIMIT most + 1) AS counted);
    END IF;
    LOOP
        SELECT step.seen, step.hits INTO seen, hits
          FROM {name}_walk(place, NULL, in_status, in_plan, pattern, behind, rows) AS step;
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
            statement := replace(statement, '{name}', kind.name);
            statement := replace(statement, '{live}', kind.live);
            statement := replace(statement, '{place}', kind.place);
            statement := replace(statement, '{department}', kind.department);
            EXECUTE replace(statement, '{passing}', kind.passing);
        END LOOP;
        EXECUTE replace('REVOKE EXECUTE ON FUNCTION {name}_of_departments, {name}_walk, {name}_indexed,
            {name}_search, {name}_count FROM PUBLIC', '{name}', kind.name);
        EXECUTE replace('GRANT EXECUTE ON FUNCTION {name}_of_departments, {name}_search,
            {name}_count TO umail_app',
            '{name}', kind.name);
        -- Whoever administers some domains has few, which are looked at by their ids.
        IF kind.name <> 'domain' THEN
            EXECUTE replace('GRANT EXECUTE ON FUNCTION {name}_of_departments, {name}_search,
                {name}_count TO umail_tenant',
                '{name}', kind.name);
        END IF;
    END LOOP;
END $$;
