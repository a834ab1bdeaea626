-- Plans: what users get by default, and may not exceed. A user refers to a plan; an edit of a plan
-- touches the plan and the counters of allowances, never its users.
CREATE TABLE plan (
    id          uuid PRIMARY KEY,
    name        text NOT NULL CONSTRAINT plan_name_key UNIQUE,
    -- NULL: unlimited.
    quota_bytes bigint CHECK (quota_bytes > 0),
    functions   bigint NOT NULL,
    revision    bigint NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL
);
-- The plan of whoever is given no other one. It may be changed and not be removed.
INSERT INTO plan (id, name, quota_bytes, functions, created_at, updated_at)
VALUES ('00000000-0000-7000-8000-000000000001', 'standard', 1073741824, 9223372036854775807,
        now(), now());

-- From here on a quota of a user is one that is narrower than that of the plan; NULL: the plan's.
ALTER TABLE account ADD COLUMN plan_id uuid NOT NULL
    DEFAULT '00000000-0000-7000-8000-000000000001'
    CONSTRAINT account_plan_id_fkey REFERENCES plan;
ALTER TABLE account ALTER COLUMN plan_id DROP DEFAULT;
CREATE INDEX account_plan_id_idx ON account (plan_id, id);

-- The plan of new users of the department; NULL: that of the department above.
ALTER TABLE department ADD COLUMN plan_id uuid CONSTRAINT department_plan_id_fkey REFERENCES plan;

-- How many users of a level have a plan, and how many they may be.
CREATE TABLE seat (
    -- As in allowance; the system has none.
    level_id    uuid NOT NULL REFERENCES allowance ON DELETE CASCADE,
    plan_id     uuid NOT NULL CONSTRAINT seat_plan_id_fkey REFERENCES plan,
    -- NULL: unlimited.
    users_limit bigint CHECK (users_limit >= 0),
    users       bigint NOT NULL DEFAULT 0 CHECK (users >= 0),
    -- Of the users, those that have no quota of their own.
    inheriting  bigint NOT NULL DEFAULT 0 CHECK (inheriting >= 0),
    PRIMARY KEY (level_id, plan_id)
);
CREATE INDEX seat_plan_id_idx ON seat (plan_id);

CREATE VIEW seat_recount AS
WITH RECURSIVE above (department_id, level_id) AS (
    SELECT id, id FROM department
    UNION ALL
    SELECT above.department_id, department.parent_id
      FROM above JOIN department ON department.id = above.level_id
     WHERE department.parent_id IS NOT NULL
),
counted AS (
    SELECT domain_id AS level_id, plan_id, quota_bytes FROM account
    UNION ALL
    SELECT level_id, plan_id, quota_bytes FROM account JOIN above USING (department_id)
)
SELECT level_id, plan_id, count(*) AS users,
       count(*) FILTER (WHERE quota_bytes IS NULL) AS inheriting
  FROM counted GROUP BY level_id, plan_id;

-- As before, a quota being that of the plan where a user has none of its own.
CREATE OR REPLACE VIEW allowance_recount AS
WITH RECURSIVE
above (department_id, level_id) AS (
    SELECT id, id FROM department
    UNION ALL
    SELECT above.department_id, department.parent_id
      FROM above JOIN department ON department.id = above.level_id
     WHERE department.parent_id IS NOT NULL
),
holder (domain_id, department_id, quota_bytes) AS (
    SELECT domain_id, department_id, coalesce(account.quota_bytes, plan.quota_bytes)
      FROM account JOIN plan ON plan.id = plan_id
),
counted (level_id, domain_id, users, aliases, departments, storage_bytes, unlimited_users) AS (
    SELECT domain_id, domain_id, 1, 0, 0, coalesce(quota_bytes, 0), (quota_bytes IS NULL)::int
      FROM holder
    UNION ALL
    SELECT level_id, domain_id, 1, 0, 0, coalesce(quota_bytes, 0), (quota_bytes IS NULL)::int
      FROM holder JOIN above USING (department_id)
    UNION ALL
    -- A forwarding has the address of its user and is no alias of its own.
    SELECT alias.domain_id, alias.domain_id, 0, 1, 0, 0, 0
      FROM alias JOIN address ON address.owner_id = alias.id
    UNION ALL
    SELECT domain_id, domain_id, 0, 0, 1, 0, 0 FROM department
    UNION ALL
    SELECT level_id, domain_id, 0, 0, 1, 0, 0
      FROM above JOIN department ON department.id = department_id
     WHERE level_id <> department_id
),
levels (id, domain_id) AS (
    SELECT id, id FROM domain UNION ALL SELECT id, domain_id FROM department
)
SELECT levels.id, levels.domain_id,
       coalesce(sum(users), 0)::bigint AS users,
       coalesce(sum(aliases), 0)::bigint AS aliases,
       coalesce(sum(departments), 0)::bigint AS departments,
       coalesce(sum(storage_bytes), 0)::bigint AS storage_bytes,
       coalesce(sum(unlimited_users), 0)::bigint AS unlimited_users
  FROM levels LEFT JOIN counted ON level_id = levels.id
 GROUP BY levels.id, levels.domain_id;

-- Users that had no quota have that of the plan now.
UPDATE allowance
   SET storage_bytes = counted.storage_bytes, unlimited_users = counted.unlimited_users
  FROM allowance_recount AS counted WHERE counted.id = allowance.id;
INSERT INTO seat (level_id, plan_id, users, inheriting)
SELECT level_id, plan_id, users, inheriting FROM seat_recount;

GRANT SELECT, INSERT, UPDATE, DELETE ON plan, seat TO umail_app;
GRANT SELECT ON seat_recount TO umail_app;
