-- What directories know of people, where they are signed in, and what keeps others from signing in
-- as them.

-- Empty: not known.
ALTER TABLE account
    ADD COLUMN given_name      text NOT NULL DEFAULT '',
    ADD COLUMN family_name     text NOT NULL DEFAULT '',
    ADD COLUMN employee_number text NOT NULL DEFAULT '',
    ADD COLUMN title           text NOT NULL DEFAULT '',
    ADD COLUMN phone           text NOT NULL DEFAULT '',
    -- A language tag (BCP 47) and a name of the time zone database, canonical.
    ADD COLUMN locale          text NOT NULL DEFAULT '',
    ADD COLUMN time_zone       text NOT NULL DEFAULT '',
    -- What the directory that the user comes from knows it by.
    ADD COLUMN external_id     text NOT NULL DEFAULT '';
CREATE UNIQUE INDEX account_external_id_key ON account (domain_id, external_id)
    WHERE external_id <> '' AND deleted_at IS NULL;

-- Where a session was begun or refreshed last. NULL: before this was noted.
ALTER TABLE session
    ADD COLUMN client_address text,
    ADD COLUMN user_agent     text NOT NULL DEFAULT '',
    -- To the minute.
    ADD COLUMN last_used_at   timestamptz;
UPDATE session SET last_used_at = created_at;
ALTER TABLE session ALTER COLUMN last_used_at SET NOT NULL;

-- What passwords that are set from now on must be like.
ALTER TABLE control_plane
    ADD COLUMN password_min_length   integer NOT NULL DEFAULT 10
        CHECK (password_min_length BETWEEN 8 AND 128),
    -- 0 to 4, as zxcvbn counts; 0: anything.
    ADD COLUMN password_min_strength smallint NOT NULL DEFAULT 2
        CHECK (password_min_strength BETWEEN 0 AND 4);

-- Somebody else set the password: it is good for setting another one.
ALTER TABLE credential ADD COLUMN must_change boolean NOT NULL DEFAULT false;
ALTER TABLE operator ADD COLUMN must_change_password boolean NOT NULL DEFAULT false;

-- Passwords that were wrong, by the name or the id that they were tried for: too many, and that
-- name waits. In rows, so that every server knows, and an administrator can lift it.
CREATE TABLE lockout (
    name      text PRIMARY KEY,
    failures  integer NOT NULL,
    failed_at timestamptz NOT NULL
);
CREATE INDEX lockout_failed_at_idx ON lockout (failed_at);

-- Second factors (RFC 6238).
CREATE TABLE totp (
    -- Of the operator or the user.
    owner_id     uuid PRIMARY KEY,
    operator_id  uuid REFERENCES operator ON DELETE CASCADE,
    account_id   uuid REFERENCES account ON DELETE CASCADE,
    -- Sealed like `secret`.
    sealed       bytea NOT NULL,
    -- NULL: enrolled and not confirmed, and asked for by nobody.
    confirmed_at timestamptz,
    -- The newest time step whose code was used: that one and older ones are good no more.
    last_step    bigint NOT NULL DEFAULT 0,
    created_at   timestamptz NOT NULL,
    CHECK (owner_id = coalesce(operator_id, account_id)),
    CHECK ((operator_id IS NULL) <> (account_id IS NULL))
);
CREATE INDEX totp_operator_id_idx ON totp (operator_id) WHERE operator_id IS NOT NULL;
CREATE INDEX totp_account_id_idx ON totp (account_id) WHERE account_id IS NOT NULL;

-- For whom has lost the second factor; each is good once.
CREATE TABLE recovery_code (
    owner_id uuid NOT NULL REFERENCES totp ON DELETE CASCADE,
    -- SHA-256.
    hash     bytea NOT NULL,
    PRIMARY KEY (owner_id, hash)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON lockout, totp, recovery_code TO umail_app;
