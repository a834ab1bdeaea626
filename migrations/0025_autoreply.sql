-- Automatic replies: what the storage node of a user answers while the user is away. The row is read
-- by nodes as it is, and by them only while it is enabled; who may have mail answered is a function
-- (bit 128), which all have who have every function, and nobody whose functions were listed before.
CREATE TABLE autoreply (
    account_id uuid PRIMARY KEY REFERENCES account ON DELETE CASCADE,
    is_enabled boolean NOT NULL,
    -- Empty: made of the subject of what is answered. Nodes take no more than these bytes.
    subject    text NOT NULL CHECK (octet_length(subject) <= 250),
    text       text NOT NULL CHECK (octet_length(text) <= 2500),
    starts_at  timestamptz,
    ends_at    timestamptz,
    revision   bigint NOT NULL DEFAULT 1,
    updated_at timestamptz NOT NULL,
    CONSTRAINT autoreply_text_check1 CHECK (text <> '' OR NOT is_enabled),
    CONSTRAINT autoreply_ends_at_check CHECK (ends_at > starts_at)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON autoreply TO umail_app, umail_tenant;
ALTER TABLE autoreply ENABLE ROW LEVEL SECURITY;
CREATE POLICY autoreply_all ON autoreply TO umail_app USING (true);
CREATE POLICY autoreply_tenant ON autoreply TO umail_tenant
    USING (EXISTS (SELECT FROM account WHERE account.id = account_id));
