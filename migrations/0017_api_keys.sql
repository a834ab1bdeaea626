-- API keys: secrets by which programs act on behalf of whoever made them, with a part of the maker's
-- rights (decision 0028). A key is gone with its maker, its domain or its department.
CREATE TABLE api_key (
    id             uuid PRIMARY KEY,
    operator_id    uuid REFERENCES operator ON DELETE CASCADE,
    account_id     uuid REFERENCES account ON DELETE CASCADE,
    name           text NOT NULL,
    -- The beginning of the secret, to recognise it.
    prefix         text NOT NULL,
    -- SHA-256 of the secret.
    secret_hash    bytea NOT NULL CONSTRAINT api_key_secret_hash_key UNIQUE,
    -- The secret before the last rotation, and until when it is good.
    former_hash    bytea CONSTRAINT api_key_former_hash_key UNIQUE,
    former_until   timestamptz,
    -- NULL: all that the maker may.
    role           text CHECK (role IN ('system_admin', 'super_domain_admin', 'domain_admin',
                                        'department_admin', 'user')),
    domain_id      uuid REFERENCES domain ON DELETE CASCADE,
    department_id  uuid REFERENCES department ON DELETE CASCADE,
    read_only      boolean NOT NULL,
    -- Where it is good, in CIDR notation; empty: anywhere.
    networks       text[] NOT NULL,
    created_at     timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL,
    last_used_at   timestamptz,
    CHECK ((operator_id IS NULL) <> (account_id IS NULL)),
    CHECK ((domain_id IS NOT NULL) = coalesce(role IN ('domain_admin', 'department_admin'), false)),
    CHECK ((department_id IS NOT NULL) = coalesce(role = 'department_admin', false))
);
CREATE INDEX api_key_operator_id_idx ON api_key (operator_id, id) WHERE operator_id IS NOT NULL;
CREATE INDEX api_key_account_id_idx ON api_key (account_id, id) WHERE account_id IS NOT NULL;
CREATE INDEX api_key_domain_id_idx ON api_key (domain_id) WHERE domain_id IS NOT NULL;
CREATE INDEX api_key_department_id_idx ON api_key (department_id) WHERE department_id IS NOT NULL;

GRANT SELECT, INSERT, UPDATE, DELETE ON api_key TO umail_app, umail_tenant;
ALTER TABLE api_key ENABLE ROW LEVEL SECURITY;
CREATE POLICY api_key_all ON api_key TO umail_app USING (true);
CREATE POLICY api_key_tenant ON api_key TO umail_tenant
    USING (account_id = (SELECT reached_user()));

-- A key with a part of the rights works for itself, and not for its maker.
DROP POLICY audit_event_tenant_insert ON audit_event;
CREATE POLICY audit_event_tenant_insert ON audit_event FOR INSERT TO umail_tenant
    WITH CHECK ((SELECT reached_user()) IN (actor_id, api_key_id));
