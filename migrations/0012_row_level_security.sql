-- Row-level security: what the server does for a signed-in user it does as the role umail_tenant,
-- which sees and changes only rows within the user's reach, whatever the server's own checks say.
-- What it does for operators, for nodes and for itself it does as umail_app, which sees all.
--
-- A connection as umail_tenant says for whom it works: umail.user, and as lists umail.domains
-- (administered by the user), umail.departments (administered, with all below) and umail.homes
-- (the user's own domain, and all in which the user administers anything). Without them it sees
-- nothing. A new table needs a policy or is closed to umail_tenant; a test says which are open.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'umail_tenant') THEN
        CREATE ROLE umail_tenant NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
DO $$
BEGIN
    EXECUTE format('GRANT umail_tenant TO %I', current_user);
END $$;
GRANT USAGE ON SCHEMA public TO umail_tenant;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO umail_tenant;

CREATE FUNCTION reached(list text) RETURNS uuid[] LANGUAGE sql STABLE
    RETURN coalesce(nullif(current_setting('umail.' || list, true), ''), '{}')::uuid[];
CREATE FUNCTION reached_user() RETURNS uuid LANGUAGE sql STABLE
    RETURN nullif(current_setting('umail.user', true), '')::uuid;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['domain', 'department', 'account', 'role_assignment', 'credential',
        'alias', 'address', 'session', 'mailbox_usage', 'mailbox_removal', 'allowance', 'seat',
        'audit_event', 'idempotency_key', 'plan', 'totp', 'recovery_code', 'lockout']
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY %I_all ON %1$I TO umail_app USING (true)', name);
    END LOOP;
END $$;
CREATE POLICY audit_event_audit ON audit_event FOR SELECT TO umail_auditor USING (true);
CREATE POLICY domain_audit ON domain FOR SELECT TO umail_auditor USING (true);
CREATE POLICY account_audit ON account FOR SELECT TO umail_auditor USING (true);

-- The structure of a domain is known to all who belong to it, and changed by who administers it.
-- Whoever locks a row needs the right to update it: what it would become is checked apart.
GRANT SELECT, UPDATE ON domain TO umail_tenant;
CREATE POLICY domain_tenant ON domain TO umail_tenant
    USING (id = ANY ((SELECT reached('homes'))::uuid[]))
    WITH CHECK (id = ANY ((SELECT reached('domains'))::uuid[]));
GRANT SELECT, INSERT, UPDATE, DELETE ON department, address, allowance TO umail_tenant;
CREATE POLICY department_tenant ON department TO umail_tenant
    USING (domain_id = ANY ((SELECT reached('homes'))::uuid[]))
    WITH CHECK (domain_id = ANY ((SELECT reached('domains'))::uuid[])
        OR id = ANY ((SELECT reached('departments'))::uuid[])
        OR parent_id = ANY ((SELECT reached('departments'))::uuid[]));
CREATE POLICY address_tenant ON address TO umail_tenant
    USING (domain_id = ANY ((SELECT reached('homes'))::uuid[]));
-- Whoever gives something away counts it in the system as well.
CREATE POLICY allowance_tenant ON allowance TO umail_tenant
    USING (domain_id IS NULL OR domain_id = ANY ((SELECT reached('homes'))::uuid[]));
GRANT SELECT, INSERT, UPDATE, DELETE ON seat TO umail_tenant;
CREATE POLICY seat_tenant ON seat TO umail_tenant
    USING (EXISTS (SELECT FROM allowance WHERE allowance.id = level_id));

-- People are known to their administrators and to themselves, and so is what hangs on them.
GRANT SELECT, INSERT, UPDATE, DELETE ON account, role_assignment, credential, alias, session,
    mailbox_removal, totp, recovery_code, lockout TO umail_tenant;
GRANT SELECT ON mailbox_usage TO umail_tenant;
CREATE POLICY account_tenant ON account TO umail_tenant
    USING (domain_id = ANY ((SELECT reached('domains'))::uuid[])
        OR department_id = ANY ((SELECT reached('departments'))::uuid[])
        OR id = (SELECT reached_user()));
CREATE POLICY credential_tenant ON credential TO umail_tenant
    USING (EXISTS (SELECT FROM account WHERE account.id = account_id));
CREATE POLICY session_tenant ON session TO umail_tenant
    USING (EXISTS (SELECT FROM account WHERE account.id = account_id));
CREATE POLICY mailbox_usage_tenant ON mailbox_usage TO umail_tenant
    USING (EXISTS (SELECT FROM account WHERE account.id = account_id));
CREATE POLICY mailbox_removal_tenant ON mailbox_removal TO umail_tenant
    USING (EXISTS (SELECT FROM account WHERE account.id = account_id));
CREATE POLICY totp_tenant ON totp TO umail_tenant
    USING (EXISTS (SELECT FROM account WHERE account.id = account_id));
CREATE POLICY recovery_code_tenant ON recovery_code TO umail_tenant
    USING (EXISTS (SELECT FROM totp WHERE totp.owner_id = recovery_code.owner_id));
CREATE POLICY lockout_tenant ON lockout TO umail_tenant
    USING (EXISTS (SELECT FROM address JOIN domain ON domain.id = domain_id
                    WHERE domain.name = split_part(lockout.name, '@', 2)
                      AND local_part = split_part(lockout.name, '@', 1)));
-- All roles of a person count for who outranks whom, wherever they are good.
CREATE POLICY role_assignment_tenant ON role_assignment TO umail_tenant
    USING (domain_id = ANY ((SELECT reached('domains'))::uuid[])
        OR department_id = ANY ((SELECT reached('departments'))::uuid[])
        OR EXISTS (SELECT FROM account WHERE account.id = account_id));
CREATE POLICY alias_tenant ON alias TO umail_tenant
    USING (domain_id = ANY ((SELECT reached('domains'))::uuid[])
        OR EXISTS (SELECT FROM account WHERE account.id = account_id));

-- Written by everybody, read by whoever administers the domain.
GRANT SELECT, INSERT ON audit_event TO umail_tenant;
CREATE POLICY audit_event_tenant_insert ON audit_event FOR INSERT TO umail_tenant
    WITH CHECK (actor_id = (SELECT reached_user()));
CREATE POLICY audit_event_tenant_select ON audit_event FOR SELECT TO umail_tenant
    USING (domain_id = ANY ((SELECT reached('domains'))::uuid[]));
GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency_key TO umail_tenant;
CREATE POLICY idempotency_key_tenant ON idempotency_key TO umail_tenant
    USING (caller_id = (SELECT reached_user()));

-- What belongs to nobody's domain: names of nodes and plans, settings, the log of what changed.
GRANT SELECT ON node, plan, control_plane, operation TO umail_tenant;
GRANT UPDATE ON plan TO umail_tenant;
CREATE POLICY plan_tenant ON plan TO umail_tenant USING (true) WITH CHECK (false);
GRANT SELECT, INSERT ON change TO umail_tenant;
