-- Login links (decision 0036): secrets by which a portal lets a user in, once, for a minute or so. A link is
-- gone with the session or the API key that it was made with, and with its user.
CREATE TABLE login_link (
    id          uuid PRIMARY KEY,
    account_id  uuid NOT NULL REFERENCES account ON DELETE CASCADE,
    -- SHA-256 of the secret.
    secret_hash bytea NOT NULL CONSTRAINT login_link_secret_hash_key UNIQUE,
    -- With what it was made, and whoever is behind that must still be allowed to when it is redeemed.
    session_id  uuid REFERENCES session ON DELETE CASCADE,
    api_key_id  uuid REFERENCES api_key ON DELETE CASCADE,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    redeemed_at timestamptz,
    CHECK ((session_id IS NULL) <> (api_key_id IS NULL))
);
CREATE INDEX login_link_account_id_idx ON login_link (account_id);
CREATE INDEX login_link_session_id_idx ON login_link (session_id) WHERE session_id IS NOT NULL;
CREATE INDEX login_link_api_key_id_idx ON login_link (api_key_id) WHERE api_key_id IS NOT NULL;
CREATE INDEX login_link_expires_at_idx ON login_link (expires_at);

-- Who made the link that a session was begun with; NULL: it was begun with a password. What a key
-- let in goes with the key.
ALTER TABLE session
    ADD COLUMN link_maker_id   uuid,
    ADD COLUMN link_by_operator boolean,
    ADD COLUMN link_api_key_id uuid REFERENCES api_key ON DELETE CASCADE,
    ADD CHECK ((link_maker_id IS NULL) = (link_by_operator IS NULL)),
    ADD CHECK (link_maker_id IS NOT NULL OR link_api_key_id IS NULL),
    ADD CHECK (link_maker_id IS NULL OR account_id IS NOT NULL);
CREATE INDEX session_link_maker_id_idx ON session (link_maker_id) WHERE link_maker_id IS NOT NULL;
CREATE INDEX session_link_api_key_id_idx ON session (link_api_key_id)
    WHERE link_api_key_id IS NOT NULL;

-- Keys from before were made for something else.
ALTER TABLE api_key
    ADD COLUMN login_links boolean NOT NULL DEFAULT false,
    ADD CHECK (NOT (login_links AND read_only));

GRANT SELECT, INSERT, UPDATE, DELETE ON login_link TO umail_app;
-- Whoever has signed in makes links for others whom they administer, and ends those of whoever is
-- signed out everywhere. Links are redeemed by the server.
GRANT SELECT, INSERT, DELETE ON login_link TO umail_tenant;
ALTER TABLE login_link ENABLE ROW LEVEL SECURITY;
CREATE POLICY login_link_all ON login_link TO umail_app USING (true);
CREATE POLICY login_link_tenant ON login_link TO umail_tenant
    USING (EXISTS (SELECT FROM account WHERE account.id = account_id))
    WITH CHECK (account_id <> (SELECT reached_user())
        AND EXISTS (SELECT FROM account WHERE account.id = account_id)
        AND (EXISTS (SELECT FROM session
                      WHERE session.id = session_id AND session.account_id = (SELECT reached_user()))
            OR EXISTS (SELECT FROM api_key WHERE api_key.id = api_key_id)
            OR api_key_id = (SELECT reached_user())));
