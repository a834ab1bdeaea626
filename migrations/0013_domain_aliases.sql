-- Domain aliases: other names of a domain. Every name that is taken, whatever takes it, so that none
-- is a domain and an alias, also when both are added at the same time; what was deleted keeps its
-- names until it is purged.
CREATE TABLE domain_name (
    name     text CONSTRAINT domain_name_pkey PRIMARY KEY,
    -- The domain or the domain alias.
    owner_id uuid NOT NULL,
    CONSTRAINT domain_name_name_owner_id_key UNIQUE (name, owner_id)
);
INSERT INTO domain_name (name, owner_id) SELECT name, id FROM domain;
ALTER TABLE domain ADD CONSTRAINT domain_name_fkey
    FOREIGN KEY (name, id) REFERENCES domain_name (name, owner_id);

CREATE TABLE domain_alias (
    id         uuid PRIMARY KEY,
    domain_id  uuid NOT NULL REFERENCES domain,
    name       text NOT NULL CONSTRAINT domain_alias_name_key UNIQUE,
    created_at timestamptz NOT NULL,
    CONSTRAINT domain_alias_name_fkey
        FOREIGN KEY (name, id) REFERENCES domain_name (name, owner_id)
);
CREATE INDEX domain_alias_domain_id_idx ON domain_alias (domain_id, id);

GRANT SELECT, INSERT, UPDATE, DELETE ON domain_name, domain_alias TO umail_app;
GRANT SELECT ON domain_alias TO umail_auditor;

-- Names are given by the system: whoever belongs to a domain sees its other names, and no more.
ALTER TABLE domain_alias ENABLE ROW LEVEL SECURITY;
CREATE POLICY domain_alias_all ON domain_alias TO umail_app USING (true);
CREATE POLICY domain_alias_audit ON domain_alias FOR SELECT TO umail_auditor USING (true);
GRANT SELECT ON domain_alias TO umail_tenant;
CREATE POLICY domain_alias_tenant ON domain_alias FOR SELECT TO umail_tenant
    USING (domain_id = ANY ((SELECT reached('homes'))::uuid[]));
