-- When app passwords were used last, and from where, as nodes tell it: each at most once an hour.
-- NULL: never, or before this was noted. (Not `last_used_at`: servers of the version before, which
-- go on during an upgrade, join this table with `session`, which has a column of that name.)
ALTER TABLE credential
    ADD COLUMN last_use_at      timestamptz,
    ADD COLUMN last_use_address text;
