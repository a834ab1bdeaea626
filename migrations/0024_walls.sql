-- What a tenant may turn a row into (decision 0024): a policy without WITH CHECK asks of the row to
-- be no more than of the row that was, and where any of several grounds is enough, the own one was
-- enough for a row elsewhere. Rights that no request of a user needs are taken away.

-- The domains in which the user administers anything.
CREATE FUNCTION administered() RETURNS uuid[] LANGUAGE sql STABLE
    RETURN reached('domains') || ARRAY(
        SELECT domain_id FROM department WHERE id = ANY (reached('departments')));
-- Whether the user sets the limits of a level: of a department, from above it.
CREATE FUNCTION may_limit(level uuid) RETURNS boolean LANGUAGE sql STABLE
    RETURN EXISTS (
        SELECT FROM department
         WHERE id = level AND (domain_id = ANY (reached('domains'))
                               OR parent_id = ANY (reached('departments'))));

-- People stay where they can be administered from, and go with a task of the server only.
REVOKE DELETE ON account FROM umail_tenant;
ALTER POLICY account_tenant ON account
    WITH CHECK (domain_id = ANY ((SELECT reached('domains'))::uuid[])
        OR department_id = ANY ((SELECT reached('departments'))::uuid[])
        OR id = (SELECT reached_user())
           AND domain_id = ANY ((SELECT reached('homes'))::uuid[]));

-- Whoever administers a domain appoints administrators of its departments, nobody else anybody; the
-- server removes roles as itself, as their holders may be elsewhere.
REVOKE UPDATE, DELETE ON role_assignment FROM umail_tenant;
ALTER POLICY role_assignment_tenant ON role_assignment
    WITH CHECK (role = 'department_admin'
        AND domain_id = ANY ((SELECT reached('domains'))::uuid[])
        AND EXISTS (SELECT FROM account WHERE account.id = account_id));

-- An alias is of the domain of whom it stands for.
ALTER POLICY alias_tenant ON alias
    WITH CHECK (account_id IS NULL AND domain_id = ANY ((SELECT reached('domains'))::uuid[])
        OR EXISTS (SELECT FROM account
                    WHERE account.id = account_id AND account.domain_id = alias.domain_id));

-- Addresses are seen in the whole domain, and taken and given free by its administrators.
REVOKE UPDATE ON address FROM umail_tenant;
CREATE POLICY address_tenant_insert ON address AS RESTRICTIVE FOR INSERT TO umail_tenant
    WITH CHECK (domain_id = ANY ((SELECT administered())::uuid[]));
CREATE POLICY address_tenant_delete ON address AS RESTRICTIVE FOR DELETE TO umail_tenant
    USING (domain_id = ANY ((SELECT administered())::uuid[]));

-- Whoever gives something away counts it on every level above; limits are set from above.
REVOKE UPDATE ON allowance FROM umail_tenant;
GRANT UPDATE (users, aliases, groups, departments, storage_bytes, unlimited_users, users_limit,
              aliases_limit, groups_limit, departments_limit, storage_limit_bytes,
              overselling_percent, revision) ON allowance TO umail_tenant;
CREATE POLICY allowance_tenant_insert ON allowance AS RESTRICTIVE FOR INSERT TO umail_tenant
    WITH CHECK (may_limit(id));
CREATE POLICY allowance_tenant_update ON allowance AS RESTRICTIVE FOR UPDATE TO umail_tenant
    USING (domain_id = ANY ((SELECT administered())::uuid[])
        OR domain_id IS NULL AND (SELECT administered())::uuid[] <> '{}');
-- An allowance goes with its department.
CREATE POLICY allowance_tenant_delete ON allowance AS RESTRICTIVE FOR DELETE TO umail_tenant
    USING (id <> domain_id AND domain_id = ANY ((SELECT administered())::uuid[])
        AND NOT EXISTS (SELECT FROM department WHERE department.id = allowance.id));

REVOKE UPDATE, DELETE ON seat FROM umail_tenant;
GRANT UPDATE (users_limit, users, inheriting) ON seat TO umail_tenant;
CREATE POLICY seat_tenant_insert ON seat AS RESTRICTIVE FOR INSERT TO umail_tenant
    WITH CHECK ((users_limit IS NULL OR may_limit(level_id))
        AND EXISTS (SELECT FROM allowance
                     WHERE allowance.id = level_id
                       AND allowance.domain_id = ANY ((SELECT administered())::uuid[])));
CREATE POLICY seat_tenant_update ON seat AS RESTRICTIVE FOR UPDATE TO umail_tenant
    USING ((SELECT administered())::uuid[] <> '{}');

-- A policy does not see the row that was. Statements that only count do not ask.
CREATE FUNCTION refuse_limit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE insufficient_privilege USING MESSAGE = 'permission denied to set limits of this level';
END $$;
CREATE TRIGGER allowance_limits BEFORE UPDATE OF users_limit, aliases_limit, groups_limit,
        departments_limit, storage_limit_bytes, overselling_percent, revision ON allowance
    FOR EACH ROW WHEN (current_user = 'umail_tenant' AND NOT may_limit(NEW.id))
    EXECUTE FUNCTION refuse_limit();
CREATE TRIGGER seat_limits BEFORE UPDATE OF users_limit ON seat
    FOR EACH ROW WHEN (current_user = 'umail_tenant' AND NOT may_limit(NEW.level_id))
    EXECUTE FUNCTION refuse_limit();

-- Whoever signs in is nobody yet: a tenant ends sessions, and makes none. A second factor is enrolled by
-- its holder, and at most removed by others. Mailboxes are removed, and moved, by the server itself.
REVOKE INSERT, UPDATE, DELETE ON session FROM umail_tenant;
GRANT UPDATE (revoked_at) ON session TO umail_tenant;
ALTER POLICY totp_tenant ON totp WITH CHECK (account_id = (SELECT reached_user()));
ALTER POLICY recovery_code_tenant ON recovery_code
    WITH CHECK (owner_id = (SELECT reached_user()));
REVOKE INSERT, UPDATE, DELETE ON mailbox_removal FROM umail_tenant;
ALTER POLICY operation_tenant ON operation
    WITH CHECK (created_by = (SELECT reached_user())
        AND kind NOT IN ('move_mailbox', 'flush_queue'));

-- What one does is told in the domains that one belongs to.
ALTER POLICY audit_event_tenant_insert ON audit_event
    WITH CHECK ((SELECT reached_user()) IN (actor_id, api_key_id)
        AND (domain_id IS NULL OR domain_id = ANY ((SELECT reached('homes'))::uuid[])));
-- Neither keys nor imports of users are those of operators.
ALTER POLICY api_key_tenant ON api_key
    WITH CHECK (account_id = (SELECT reached_user())
        AND coalesce(role NOT IN ('system_admin', 'super_domain_admin'), true));
ALTER POLICY import_tenant ON import
    WITH CHECK (created_by = (SELECT reached_user()) AND NOT by_operator);
