-- When a second agent showed the certificate of a node whose agent was connected: a copied disk
-- or a stolen key. NULL: never.
ALTER TABLE node_status ADD COLUMN rival_seen_at timestamptz;
