-- Bulk changes: imports whose lines come from no file, but from the users of a domain that match a
-- filter. And imports that find users by their external ids.
ALTER TABLE import
    ADD COLUMN key         text NOT NULL DEFAULT 'address' CHECK (key IN ('address', 'external_id')),
    -- Of a bulk change: the filter, and what is to be so; NULL: lines come from a file.
    ADD COLUMN bulk        jsonb,
    -- Of a bulk change: how many users matched when the work on it began; NULL: it has not.
    ADD COLUMN matched     bigint,
    -- Of a bulk change: the last user who was dealt with; NULL: nobody yet.
    ADD COLUMN done_user   uuid,
    -- The key by which it was begun, which may since have been removed; NULL: by a person.
    ADD COLUMN api_key_id  uuid;

-- Of a bulk change: the user who was refused; empty: the change as a whole, or a line of a file.
ALTER TABLE import_error ADD COLUMN address text NOT NULL DEFAULT '';
