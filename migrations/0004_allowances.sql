-- Allowances (D14): what the system, a domain or a department may have at most, and counters of
-- what has been given away, so that a limit is checked by locking a few rows and counting none.
CREATE TABLE allowance (
    -- Of the domain or department; nil: the system.
    id                  uuid PRIMARY KEY,
    -- The domain that it is in; NULL: the system.
    domain_id           uuid REFERENCES domain,
    -- NULL: unlimited.
    users_limit         bigint CHECK (users_limit >= 0),
    aliases_limit       bigint CHECK (aliases_limit >= 0),
    departments_limit   bigint CHECK (departments_limit >= 0),
    storage_limit_bytes bigint CHECK (storage_limit_bytes >= 0),
    overselling_percent integer NOT NULL DEFAULT 100
        CHECK (overselling_percent BETWEEN 100 AND 10000),
    is_limited          boolean NOT NULL GENERATED ALWAYS AS
        (num_nonnulls(users_limit, aliases_limit, departments_limit, storage_limit_bytes) > 0) STORED,
    -- Users that were deleted count until they are purged.
    users               bigint NOT NULL DEFAULT 0 CHECK (users >= 0),
    aliases             bigint NOT NULL DEFAULT 0 CHECK (aliases >= 0),
    departments         bigint NOT NULL DEFAULT 0 CHECK (departments >= 0),
    storage_bytes       bigint NOT NULL DEFAULT 0 CHECK (storage_bytes >= 0),
    unlimited_users     bigint NOT NULL DEFAULT 0 CHECK (unlimited_users >= 0),
    revision            bigint NOT NULL DEFAULT 1
);
CREATE INDEX allowance_domain_id_idx ON allowance (domain_id);

-- What the counters have to be, counted. For new limits of the system, and for proofs.
CREATE VIEW allowance_recount AS
WITH RECURSIVE
above (department_id, level_id) AS (
    SELECT id, id FROM department
    UNION ALL
    SELECT above.department_id, department.parent_id
      FROM above JOIN department ON department.id = above.level_id
     WHERE department.parent_id IS NOT NULL
),
counted (level_id, domain_id, users, aliases, departments, storage_bytes, unlimited_users) AS (
    SELECT domain_id, domain_id, 1, 0, 0, coalesce(quota_bytes, 0), (quota_bytes IS NULL)::int
      FROM account
    UNION ALL
    SELECT level_id, domain_id, 1, 0, 0, coalesce(quota_bytes, 0), (quota_bytes IS NULL)::int
      FROM account JOIN above USING (department_id)
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

INSERT INTO allowance (id, domain_id, users, aliases, departments, storage_bytes, unlimited_users)
SELECT id, domain_id, users, aliases, departments, storage_bytes, unlimited_users
  FROM allowance_recount;
INSERT INTO allowance (id) VALUES ('00000000-0000-0000-0000-000000000000');

GRANT SELECT, INSERT, UPDATE, DELETE ON allowance TO umail_app;
GRANT SELECT ON allowance_recount TO umail_app;
