-- App passwords: when they were used, and who may use them at all. Departments below departments.

-- When app passwords were used last, and from where, as nodes tell it: each at most once an hour.
-- NULL: never, or before this was noted. (Not `last_used_at`: servers of the version before, which
-- go on during an upgrade, join this table with `session`, which has a column of that name.)
ALTER TABLE credential
    ADD COLUMN last_use_at      timestamptz,
    ADD COLUMN last_use_address text;

-- A function of its own from now on (bit 64). Whoever could use app passwords so far still can.
WITH had AS (UPDATE domain SET functions = functions | 64, revision = revision + 1
              WHERE functions & 64 = 0 RETURNING id)
INSERT INTO change (entity, key) SELECT 1, id FROM had;
WITH had AS (UPDATE account SET functions = functions | 64, revision = revision + 1
              WHERE functions & 64 = 0 RETURNING id)
INSERT INTO change (entity, key) SELECT 2, id FROM had;
WITH had AS (UPDATE department SET functions = functions | 64, revision = revision + 1
              WHERE functions & 64 = 0 RETURNING id)
INSERT INTO change (entity, key) SELECT 7, id FROM had;
WITH had AS (UPDATE plan SET functions = functions | 64, revision = revision + 1
              WHERE functions & 64 = 0 RETURNING id)
INSERT INTO change (entity, key) SELECT 8, id FROM had;

-- Whoever administers a department adds, changes and removes those below it, and not that one.
ALTER POLICY department_tenant ON department
    WITH CHECK (domain_id = ANY ((SELECT reached('domains'))::uuid[])
        OR parent_id = ANY ((SELECT reached('departments'))::uuid[]));
CREATE POLICY department_tenant_update ON department AS RESTRICTIVE FOR UPDATE TO umail_tenant
    USING (domain_id = ANY ((SELECT reached('domains'))::uuid[])
        OR parent_id = ANY ((SELECT reached('departments'))::uuid[]));
CREATE POLICY department_tenant_delete ON department AS RESTRICTIVE FOR DELETE TO umail_tenant
    USING (domain_id = ANY ((SELECT reached('domains'))::uuid[])
        OR parent_id = ANY ((SELECT reached('departments'))::uuid[]));
