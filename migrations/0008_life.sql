-- The life of domains and users: mail of a suspended domain is deferred for a time and refused
-- then; what was deleted can be restored for a time and is purged then, on its nodes first.
ALTER TABLE control_plane
    ADD COLUMN suspended_defer_days integer NOT NULL DEFAULT 5
        CHECK (suspended_defer_days BETWEEN 0 AND 30),
    ADD COLUMN deleted_grace_days integer NOT NULL DEFAULT 30
        CHECK (deleted_grace_days BETWEEN 1 AND 3650);

ALTER TABLE domain
    -- Of a suspended domain: its mail is deferred until then. NULL: it is refused.
    ADD COLUMN deferred_until timestamptz,
    -- When it can no longer be restored; set when it is deleted.
    ADD COLUMN purge_at timestamptz;
ALTER TABLE account
    ADD COLUMN purge_at timestamptz,
    -- Set when its nodes are to remove the mailbox: from then on nothing brings the user back.
    ADD COLUMN purge_begun_at timestamptz;

-- Whatever was deleted before gets its time from now on. A deletion left no other status; from
-- here on the one before stays, and holds again when it is restored.
UPDATE domain SET purge_at = now() + interval '30 days' WHERE deleted_at IS NOT NULL;
UPDATE account SET purge_at = now() + interval '30 days' WHERE deleted_at IS NOT NULL;
UPDATE domain SET status = 1 WHERE status = 6;
UPDATE account SET status = 1 WHERE status = 6;
ALTER TABLE domain
    ADD CONSTRAINT domain_purge_at_check CHECK ((deleted_at IS NULL) = (purge_at IS NULL));
ALTER TABLE account
    ADD CONSTRAINT account_purge_at_check CHECK ((deleted_at IS NULL) = (purge_at IS NULL));

CREATE INDEX domain_deleted_idx ON domain (id) WHERE deleted_at IS NOT NULL;
CREATE INDEX account_deleted_idx ON account (domain_id, id) WHERE deleted_at IS NOT NULL;
CREATE INDEX account_purge_at_idx ON account (purge_at)
    WHERE purge_at IS NOT NULL AND purge_begun_at IS NULL;
CREATE INDEX account_purge_begun_at_idx ON account (id) WHERE purge_begun_at IS NOT NULL;

-- Mailboxes that nodes are to remove. The user goes when all of them are done.
CREATE TABLE mailbox_removal (
    account_id uuid NOT NULL REFERENCES account ON DELETE CASCADE,
    node_id    uuid NOT NULL REFERENCES node ON DELETE CASCADE,
    -- What the node was asked last.
    action_id  uuid REFERENCES action ON DELETE SET NULL,
    asked_at   timestamptz,
    -- How it refused; empty: it has not.
    detail     text NOT NULL DEFAULT '',
    done_at    timestamptz,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, node_id)
);
CREATE INDEX mailbox_removal_open_idx ON mailbox_removal (node_id, asked_at) WHERE done_at IS NULL;
CREATE INDEX mailbox_removal_action_id_idx ON mailbox_removal (action_id);

GRANT SELECT, INSERT, UPDATE, DELETE ON mailbox_removal TO umail_app;
