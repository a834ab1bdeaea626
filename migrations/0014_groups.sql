-- Groups: distribution lists. A group has an address in the registry, and members: users, or
-- addresses elsewhere. The table is called mail_group, since group is a reserved word of SQL.
CREATE TABLE mail_group (
    id            uuid PRIMARY KEY,
    domain_id     uuid NOT NULL REFERENCES domain,
    department_id uuid,
    local_part    text NOT NULL,
    display_name  text NOT NULL,
    -- Who may write to it, as GroupPosting of the agent protocol: 1 anyone, 2 users of the domain,
    -- 3 members.
    posting       smallint NOT NULL CHECK (posting BETWEEN 1 AND 3),
    revision      bigint NOT NULL DEFAULT 1,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    CONSTRAINT mail_group_department_id_fkey FOREIGN KEY (domain_id, department_id)
        REFERENCES department (domain_id, id)
);
CREATE INDEX mail_group_domain_id_idx ON mail_group (domain_id, id);
CREATE INDEX mail_group_department_id_idx ON mail_group (department_id, id)
    WHERE department_id IS NOT NULL;

CREATE TABLE group_member (
    id         uuid PRIMARY KEY,
    group_id   uuid NOT NULL REFERENCES mail_group ON DELETE CASCADE,
    -- A user, under whatever address; or an address of nobody here.
    account_id uuid CONSTRAINT group_member_account_id_fkey REFERENCES account,
    address    text,
    created_at timestamptz NOT NULL,
    CONSTRAINT group_member_address_check CHECK (num_nonnulls(account_id, address) = 1),
    CONSTRAINT group_member_account_id_key UNIQUE (group_id, account_id),
    CONSTRAINT group_member_address_key UNIQUE (group_id, address)
);
CREATE INDEX group_member_group_id_idx ON group_member (group_id, id);
CREATE INDEX group_member_account_id_idx ON group_member (account_id) WHERE account_id IS NOT NULL;

GRANT SELECT, INSERT, UPDATE, DELETE ON mail_group, group_member TO umail_app, umail_tenant;

-- Whoever administers the domain or the department has the group with its members; whom to add,
-- only among those in reach.
ALTER TABLE mail_group ENABLE ROW LEVEL SECURITY;
CREATE POLICY mail_group_all ON mail_group TO umail_app USING (true);
CREATE POLICY mail_group_tenant ON mail_group TO umail_tenant
    USING (domain_id = ANY ((SELECT reached('domains'))::uuid[])
        OR department_id = ANY ((SELECT reached('departments'))::uuid[]));
ALTER TABLE group_member ENABLE ROW LEVEL SECURITY;
CREATE POLICY group_member_all ON group_member TO umail_app USING (true);
CREATE POLICY group_member_tenant ON group_member TO umail_tenant
    USING (EXISTS (SELECT FROM mail_group WHERE mail_group.id = group_id))
    WITH CHECK (EXISTS (SELECT FROM mail_group WHERE mail_group.id = group_id)
        AND (account_id IS NULL OR EXISTS (SELECT FROM account WHERE account.id = account_id)));

-- Groups count, on every level.
ALTER TABLE allowance
    ADD COLUMN groups_limit bigint CHECK (groups_limit >= 0),
    ADD COLUMN groups       bigint NOT NULL DEFAULT 0 CHECK (groups >= 0),
    DROP COLUMN is_limited;
ALTER TABLE allowance
    ADD COLUMN is_limited boolean NOT NULL GENERATED ALWAYS AS
        (num_nonnulls(users_limit, aliases_limit, groups_limit, departments_limit,
                      storage_limit_bytes) > 0) STORED;

DROP VIEW allowance_recount;
CREATE VIEW allowance_recount AS
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
counted (level_id, domain_id, users, aliases, groups, departments, storage_bytes,
         unlimited_users) AS (
    SELECT domain_id, domain_id, 1, 0, 0, 0, coalesce(quota_bytes, 0), (quota_bytes IS NULL)::int
      FROM holder
    UNION ALL
    SELECT level_id, domain_id, 1, 0, 0, 0, coalesce(quota_bytes, 0), (quota_bytes IS NULL)::int
      FROM holder JOIN above USING (department_id)
    UNION ALL
    -- A forwarding has the address of its user and is no alias of its own.
    SELECT alias.domain_id, alias.domain_id, 0, 1, 0, 0, 0, 0
      FROM alias JOIN address ON address.owner_id = alias.id
    UNION ALL
    SELECT domain_id, domain_id, 0, 0, 1, 0, 0, 0 FROM mail_group
    UNION ALL
    SELECT level_id, domain_id, 0, 0, 1, 0, 0, 0 FROM mail_group JOIN above USING (department_id)
    UNION ALL
    SELECT domain_id, domain_id, 0, 0, 0, 1, 0, 0 FROM department
    UNION ALL
    SELECT level_id, domain_id, 0, 0, 0, 1, 0, 0
      FROM above JOIN department ON department.id = department_id
     WHERE level_id <> department_id
),
levels (id, domain_id) AS (
    SELECT id, id FROM domain UNION ALL SELECT id, domain_id FROM department
)
SELECT levels.id, levels.domain_id,
       coalesce(sum(users), 0)::bigint AS users,
       coalesce(sum(aliases), 0)::bigint AS aliases,
       coalesce(sum(groups), 0)::bigint AS groups,
       coalesce(sum(departments), 0)::bigint AS departments,
       coalesce(sum(storage_bytes), 0)::bigint AS storage_bytes,
       coalesce(sum(unlimited_users), 0)::bigint AS unlimited_users
  FROM levels LEFT JOIN counted ON level_id = levels.id
 GROUP BY levels.id, levels.domain_id;
GRANT SELECT ON allowance_recount TO umail_app;
