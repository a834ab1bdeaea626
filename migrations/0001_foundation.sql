-- The first schema: who administers, what is hosted, which nodes there are, and the logs
-- that lead from a change to the nodes. Forward only.
--
-- Three database roles (decision D11): the login role owns the schema and migrates;
-- umail_app is what the server becomes after connecting (it cannot change audit events);
-- umail_auditor may only read.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'umail_app') THEN
        CREATE ROLE umail_app NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'umail_auditor') THEN
        CREATE ROLE umail_auditor NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
DO $$
BEGIN
    EXECUTE format('GRANT umail_app, umail_auditor TO %I', current_user);
END $$;

-- The life of this database. A restored dump gets a new epoch (`umail-api migrate --new-epoch`).
CREATE TABLE control_plane (
    singleton         boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    epoch             uuid NOT NULL DEFAULT gen_random_uuid(),
    -- Version of the directory given last by the sequencer, which locks this row.
    directory_version bigint NOT NULL DEFAULT 0,
    -- Changes up to and including this version have been trimmed.
    trimmed_version   bigint NOT NULL DEFAULT 0,
    -- Where mail for postmaster@ and abuse@ of domains without one goes; empty: oldest user.
    postmaster_address text NOT NULL DEFAULT '',
    message_size_limit_bytes bigint NOT NULL DEFAULT 52428800,
    -- Counts the changes of the two settings above.
    settings_revision bigint NOT NULL DEFAULT 1,
    created_at        timestamptz NOT NULL DEFAULT now()
);
INSERT INTO control_plane DEFAULT VALUES;

-- Secrets at rest, sealed with the key file that the API servers share (D31).
CREATE TABLE secret (
    name       text PRIMARY KEY,
    sealed     bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE operator (
    id            uuid PRIMARY KEY,
    name          text NOT NULL CONSTRAINT operator_name_key UNIQUE,
    role          text NOT NULL CHECK (role IN ('system_admin', 'super_domain_admin')),
    password_hash text NOT NULL,
    active        boolean NOT NULL DEFAULT true,
    revision      bigint NOT NULL DEFAULT 1,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL
);

CREATE TABLE domain (
    id         uuid PRIMARY KEY,
    name       text NOT NULL,
    -- As AccountStatus of the agent protocol: 1 active … 6 deleted.
    status     smallint NOT NULL DEFAULT 1 CHECK (status BETWEEN 1 AND 6),
    functions  bigint NOT NULL,
    catch_all  text NOT NULL DEFAULT '',
    revision   bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz,
    -- Deleted domains keep their name until they are purged.
    CONSTRAINT domain_name_key UNIQUE (name)
);

CREATE TABLE department (
    id         uuid PRIMARY KEY,
    domain_id  uuid NOT NULL REFERENCES domain,
    parent_id  uuid,
    name       text NOT NULL,
    functions  bigint NOT NULL,
    revision   bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT department_domain_id_id_key UNIQUE (domain_id, id),
    CONSTRAINT department_parent_id_fkey FOREIGN KEY (domain_id, parent_id)
        REFERENCES department (domain_id, id),
    CONSTRAINT department_name_key UNIQUE NULLS NOT DISTINCT (domain_id, parent_id, name)
);
CREATE INDEX department_parent_id_idx ON department (parent_id);

CREATE TABLE node (
    id          uuid PRIMARY KEY,
    name        text NOT NULL CONSTRAINT node_name_key UNIQUE,
    address     inet NOT NULL,
    roles       text[] NOT NULL CHECK (roles <@ ARRAY['smtp', 'pop', 'storage'] AND roles <> '{}'),
    eligible    boolean NOT NULL DEFAULT true,
    generation  bigint NOT NULL DEFAULT 1,
    revoked_at  timestamptz,
    revision    bigint NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL
);

-- What a service of a node shall be.
CREATE TABLE service (
    node_id   uuid NOT NULL REFERENCES node ON DELETE CASCADE,
    kind      text NOT NULL CHECK (kind IN ('postfix', 'dovecot')),
    running   boolean NOT NULL DEFAULT true,
    restarts  bigint NOT NULL DEFAULT 0,
    listeners text[] NOT NULL
        CHECK (listeners <@ ARRAY['smtp', 'submission', 'pop3', 'imap', 'lmtp']),
    revision  bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (node_id, kind)
);

-- Certificates and keys of the mail daemons of a node, sealed like `secret`.
CREATE TABLE mail_certificate (
    node_id   uuid PRIMARY KEY REFERENCES node ON DELETE CASCADE,
    chain_pem text NOT NULL,
    sealed    bytea NOT NULL,
    not_after timestamptz NOT NULL
);

-- What a node said last. Apart from `node`, because it changes all the time.
CREATE TABLE node_status (
    node_id             uuid PRIMARY KEY REFERENCES node ON DELETE CASCADE,
    boot                text NOT NULL DEFAULT '',
    sequence            bigint NOT NULL DEFAULT 0,
    seen_at             timestamptz,
    reported_at         timestamptz,
    agent_version       text NOT NULL DEFAULT '',
    accepted_generation bigint NOT NULL DEFAULT 0,
    applied_generation  bigint NOT NULL DEFAULT 0,
    directory_version   bigint NOT NULL DEFAULT 0,
    -- Epoch of the two generations and the directory version.
    epoch               text NOT NULL DEFAULT '',
    refusal             text NOT NULL DEFAULT '',
    -- ObservedState of the agent protocol, encoded.
    observed            bytea
);

CREATE TABLE join_token (
    id         uuid PRIMARY KEY,
    node_name  text NOT NULL,
    roles      text[] NOT NULL,
    -- SHA-256 of the token.
    hash       bytea NOT NULL CONSTRAINT join_token_hash_key UNIQUE,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz,
    created_at timestamptz NOT NULL
);

CREATE TABLE node_certificate (
    serial     bytea PRIMARY KEY,
    node_id    uuid NOT NULL REFERENCES node ON DELETE CASCADE,
    not_after  timestamptz NOT NULL,
    created_at timestamptz NOT NULL
);

-- "user" is a reserved word of SQL.
CREATE TABLE account (
    id              uuid PRIMARY KEY,
    domain_id       uuid NOT NULL REFERENCES domain,
    department_id   uuid,
    local_part      text NOT NULL,
    display_name    text NOT NULL DEFAULT '',
    -- As AccountStatus of the agent protocol: 1 active … 6 deleted.
    status          smallint NOT NULL DEFAULT 1 CHECK (status BETWEEN 1 AND 6),
    functions       bigint NOT NULL,
    -- NULL: unlimited.
    quota_bytes     bigint CHECK (quota_bytes > 0),
    storage_node_id uuid REFERENCES node,
    -- Another storage node that carries the row: the destination while the mailbox is being
    -- moved, the source afterwards, which forwards what still arrives there.
    companion_node_id  uuid REFERENCES node,
    moving          boolean NOT NULL DEFAULT false,
    revision        bigint NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    deleted_at      timestamptz,
    CONSTRAINT account_department_id_fkey FOREIGN KEY (domain_id, department_id)
        REFERENCES department (domain_id, id)
);
CREATE INDEX account_domain_id_idx ON account (domain_id, id);
CREATE INDEX account_department_id_idx ON account (department_id, id);
CREATE INDEX account_storage_node_id_idx ON account (storage_node_id, id);
CREATE INDEX account_companion_node_id_idx ON account (companion_node_id) WHERE companion_node_id IS NOT NULL;

CREATE TABLE role_assignment (
    account_id    uuid NOT NULL REFERENCES account ON DELETE CASCADE,
    role          text NOT NULL CHECK (role IN ('domain_admin', 'department_admin')),
    domain_id     uuid NOT NULL REFERENCES domain,
    department_id uuid,
    CHECK ((role = 'department_admin') = (department_id IS NOT NULL)),
    CONSTRAINT role_assignment_key UNIQUE NULLS NOT DISTINCT (account_id, role, domain_id, department_id)
);

CREATE TABLE credential (
    id         uuid PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES account ON DELETE CASCADE,
    -- As CredentialKind: 1 password, 2 app password.
    kind       smallint NOT NULL CHECK (kind IN (1, 2)),
    label      text NOT NULL DEFAULT '',
    -- In Dovecot's notation, with its scheme in braces.
    hash       text NOT NULL,
    functions  bigint NOT NULL,
    expires_at timestamptz,
    created_at timestamptz NOT NULL
);
CREATE INDEX credential_account_id_idx ON credential (account_id);
CREATE UNIQUE INDEX credential_password_key ON credential (account_id) WHERE kind = 1;

CREATE TABLE alias (
    id         uuid PRIMARY KEY,
    domain_id  uuid NOT NULL REFERENCES domain,
    local_part text NOT NULL,
    targets    text[] NOT NULL CHECK (targets <> '{}'),
    -- Set when the alias stands for a user, who may then send as it.
    account_id uuid REFERENCES account,
    -- A user's own address: the mailbox gets a copy as well.
    keep_copy  boolean NOT NULL DEFAULT false,
    revision   bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX alias_domain_id_idx ON alias (domain_id, id);
CREATE INDEX alias_account_id_idx ON alias (account_id) WHERE account_id IS NOT NULL;

-- Every address that is taken, whatever takes it; deleted users keep theirs until the purge.
CREATE TABLE address (
    domain_id  uuid NOT NULL REFERENCES domain,
    local_part text NOT NULL,
    owner_id   uuid NOT NULL,
    CONSTRAINT address_pkey PRIMARY KEY (domain_id, local_part)
);
CREATE INDEX address_owner_id_idx ON address (owner_id);

CREATE TABLE session (
    id           uuid PRIMARY KEY,
    operator_id  uuid REFERENCES operator ON DELETE CASCADE,
    account_id   uuid REFERENCES account ON DELETE CASCADE,
    -- SHA-256 of the refresh token that is valid now.
    refresh_hash bytea NOT NULL CONSTRAINT session_refresh_hash_key UNIQUE,
    -- The one before: whoever shows it has stolen it, or was cut off while rotating.
    former_hash  bytea CONSTRAINT session_former_hash_key UNIQUE,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    revoked_at   timestamptz,
    CHECK ((operator_id IS NULL) <> (account_id IS NULL))
);
CREATE INDEX session_operator_id_idx ON session (operator_id) WHERE operator_id IS NOT NULL;
CREATE INDEX session_account_id_idx ON session (account_id) WHERE account_id IS NOT NULL;

-- The change log of the directory: one row per changed row, written in the transaction of
-- the change. The sequencer gives visible rows their version, gap-free (decision 0001).
CREATE TABLE change (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version    bigint CONSTRAINT change_version_key UNIQUE,
    -- As RowKind of the agent protocol.
    entity     smallint NOT NULL,
    key        uuid NOT NULL,
    -- Storage nodes whose view it may concern; NULL: every node.
    nodes      uuid[],
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX change_unsequenced_idx ON change (id) WHERE version IS NULL;
CREATE INDEX change_key_idx ON change (key, id);

CREATE TABLE operation (
    id         uuid PRIMARY KEY,
    kind       text NOT NULL,
    state      text NOT NULL CHECK (state IN ('running', 'succeeded', 'failed', 'cancelled')),
    step       text NOT NULL DEFAULT '',
    -- What was asked and what has been found out so far.
    input      jsonb NOT NULL,
    result     jsonb,
    error      text,
    cancel_requested boolean NOT NULL DEFAULT false,
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX operation_running_idx ON operation (id) WHERE state = 'running';

CREATE TABLE action (
    id           uuid PRIMARY KEY,
    node_id      uuid NOT NULL REFERENCES node ON DELETE CASCADE,
    operation_id uuid REFERENCES operation,
    -- Action of the agent protocol, encoded.
    body         bytea NOT NULL,
    deadline     timestamptz NOT NULL,
    -- As ActionOutcome; NULL: not answered.
    outcome      smallint,
    detail       text NOT NULL DEFAULT '',
    findings     bytea,
    created_at   timestamptz NOT NULL,
    finished_at  timestamptz
);
CREATE INDEX action_open_idx ON action (node_id, id) WHERE outcome IS NULL;

CREATE TABLE idempotency_key (
    caller_id  uuid NOT NULL,
    key        text NOT NULL,
    body_hash  bytea NOT NULL,
    status     smallint,
    headers    jsonb,
    body       bytea,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (caller_id, key)
);

CREATE TABLE audit_event (
    id         uuid PRIMARY KEY,
    at         timestamptz NOT NULL,
    actor_kind text NOT NULL,
    actor_id   uuid,
    action     text NOT NULL,
    resource   text NOT NULL,
    resource_id text NOT NULL,
    domain_id  uuid,
    before     jsonb,
    after      jsonb,
    request_id text NOT NULL
);
CREATE INDEX audit_event_domain_id_idx ON audit_event (domain_id, id);

-- Reports as nodes sent them: the key is what makes a repeated report change nothing.
CREATE TABLE traffic_report (
    node_id    uuid NOT NULL REFERENCES node ON DELETE CASCADE,
    boot       uuid NOT NULL,
    sequence   bigint NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at   timestamptz NOT NULL,
    PRIMARY KEY (node_id, boot, sequence)
);
CREATE INDEX traffic_report_ended_at_idx ON traffic_report (node_id, ended_at);
-- Sums per node, minute and kind.
CREATE TABLE traffic (
    node_id  uuid NOT NULL REFERENCES node ON DELETE CASCADE,
    minute   timestamptz NOT NULL,
    -- As TrafficKind.
    kind     smallint NOT NULL,
    messages bigint NOT NULL,
    bytes    bigint NOT NULL,
    PRIMARY KEY (node_id, minute, kind)
);
CREATE TABLE load (
    node_id uuid NOT NULL REFERENCES node ON DELETE CASCADE,
    minute  timestamptz NOT NULL,
    load_1m double precision NOT NULL,
    memory_total_bytes bigint NOT NULL,
    memory_available_bytes bigint NOT NULL,
    disk_total_bytes bigint NOT NULL,
    disk_available_bytes bigint NOT NULL,
    queue_active bigint NOT NULL,
    queue_deferred bigint NOT NULL,
    queue_hold bigint NOT NULL,
    queue_incoming bigint NOT NULL,
    PRIMARY KEY (node_id, minute)
);
CREATE TABLE mailbox_usage (
    account_id  uuid PRIMARY KEY REFERENCES account ON DELETE CASCADE,
    node_id     uuid NOT NULL,
    bytes       bigint NOT NULL,
    messages    bigint NOT NULL,
    observed_at timestamptz NOT NULL
);

GRANT USAGE ON SCHEMA public TO umail_app, umail_auditor;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO umail_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO umail_app;
REVOKE UPDATE, DELETE ON audit_event FROM umail_app;
REVOKE INSERT, DELETE ON control_plane FROM umail_app;
GRANT SELECT ON audit_event, operator, domain, account, node, operation TO umail_auditor;
REVOKE SELECT ON operator FROM umail_auditor;
