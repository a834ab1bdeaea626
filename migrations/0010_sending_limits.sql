-- What users may send: the size of a message, and messages and recipients in an hour and in a day.
-- NULL: unlimited in a plan; that of the plan for a user, whose own limit is narrower.
ALTER TABLE plan
    ADD COLUMN message_size_bytes  bigint CHECK (message_size_bytes > 0),
    ADD COLUMN messages_per_hour   bigint CHECK (messages_per_hour > 0),
    ADD COLUMN messages_per_day    bigint CHECK (messages_per_day > 0),
    ADD COLUMN recipients_per_hour bigint CHECK (recipients_per_hour > 0),
    ADD COLUMN recipients_per_day  bigint CHECK (recipients_per_day > 0);
ALTER TABLE account
    ADD COLUMN message_size_bytes  bigint CHECK (message_size_bytes > 0),
    ADD COLUMN messages_per_hour   bigint CHECK (messages_per_hour > 0),
    ADD COLUMN messages_per_day    bigint CHECK (messages_per_day > 0),
    ADD COLUMN recipients_per_hour bigint CHECK (recipients_per_hour > 0),
    ADD COLUMN recipients_per_day  bigint CHECK (recipients_per_day > 0);
