-- Imports of users: what was received, sealed in blocks of lines as it holds passwords, and what
-- became of it. Blocks go when the import has ended.
CREATE TABLE import (
    id             uuid PRIMARY KEY,
    -- NULL: of many domains.
    domain_id      uuid REFERENCES domain ON DELETE CASCADE,
    mode           text NOT NULL CHECK (mode IN ('all_or_nothing', 'skip_errors')),
    dry_run        boolean NOT NULL,
    state          text NOT NULL
        CHECK (state IN ('receiving', 'running', 'succeeded', 'failed', 'cancelled')),
    -- What is received; empty: nothing yet.
    format         text NOT NULL DEFAULT '' CHECK (format IN ('', 'csv', 'ndjson')),
    -- Of CSV: the columns, in their order.
    columns        text[] NOT NULL DEFAULT '{}',
    received_bytes bigint NOT NULL DEFAULT 0,
    received_lines bigint NOT NULL DEFAULT 0,
    -- Lines whose passwords are hashed, and lines of which is known what becomes of them.
    hashed_lines   bigint NOT NULL DEFAULT 0,
    done_lines     bigint NOT NULL DEFAULT 0,
    -- All are written, and only the end is left.
    is_applied     boolean NOT NULL DEFAULT false,
    created        bigint NOT NULL DEFAULT 0,
    changed        bigint NOT NULL DEFAULT 0,
    unchanged      bigint NOT NULL DEFAULT 0,
    refused        bigint NOT NULL DEFAULT 0,
    operation_id   uuid REFERENCES operation,
    -- Why it failed as a whole; empty: it did not.
    failure        text NOT NULL DEFAULT '',
    created_by     uuid NOT NULL,
    -- Whether that is an operator; a user otherwise.
    by_operator    boolean NOT NULL,
    request_id     text NOT NULL,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL
);
CREATE INDEX import_created_by_idx ON import (created_by, id);
CREATE INDEX import_domain_id_idx ON import (domain_id);
CREATE INDEX import_running_idx ON import (id) WHERE state = 'running';
CREATE INDEX import_updated_at_idx ON import (updated_at);

CREATE TABLE import_block (
    import_id  uuid NOT NULL REFERENCES import ON DELETE CASCADE,
    first_line bigint NOT NULL,
    lines      bigint NOT NULL,
    -- Sealed like `secret`.
    sealed     bytea NOT NULL,
    PRIMARY KEY (import_id, first_line)
);
-- What is sealed does not get smaller.
ALTER TABLE import_block ALTER COLUMN sealed SET STORAGE EXTERNAL;

-- Hashes of the passwords that came in clear.
CREATE TABLE import_hash (
    import_id uuid NOT NULL REFERENCES import ON DELETE CASCADE,
    line      bigint NOT NULL,
    hash      text NOT NULL,
    PRIMARY KEY (import_id, line)
);

-- The first lines that were refused, with the reasons.
CREATE TABLE import_error (
    import_id uuid NOT NULL REFERENCES import ON DELETE CASCADE,
    -- 0: the file as a whole.
    line      bigint NOT NULL,
    field     text NOT NULL,
    reason    text NOT NULL,
    PRIMARY KEY (import_id, line, field)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON import, import_block, import_hash, import_error TO umail_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON import TO umail_tenant;
GRANT SELECT, INSERT ON import_block TO umail_tenant;
GRANT SELECT, INSERT ON import_error TO umail_tenant;
ALTER TABLE import ENABLE ROW LEVEL SECURITY;
ALTER TABLE import_block ENABLE ROW LEVEL SECURITY;
ALTER TABLE import_error ENABLE ROW LEVEL SECURITY;
CREATE POLICY import_all ON import TO umail_app USING (true);
CREATE POLICY import_block_all ON import_block TO umail_app USING (true);
CREATE POLICY import_error_all ON import_error TO umail_app USING (true);
CREATE POLICY import_tenant ON import TO umail_tenant
    USING (created_by = (SELECT reached_user()));
CREATE POLICY import_block_tenant ON import_block TO umail_tenant
    USING (EXISTS (SELECT FROM import WHERE import.id = import_id));
CREATE POLICY import_error_tenant ON import_error TO umail_tenant
    USING (EXISTS (SELECT FROM import WHERE import.id = import_id));

-- Changes that come by the thousand wait for those that come alone: these get their version first.
ALTER TABLE change ADD COLUMN is_bulk boolean NOT NULL DEFAULT false;
DROP INDEX change_unsequenced_idx;
CREATE INDEX change_unsequenced_idx ON change (is_bulk, id) WHERE version IS NULL;
