-- How many users have their mail on a node: as sums of differences, which are added and never
-- changed, so that nobody waits for anybody else. A task sums them up now and then.
CREATE TABLE node_users (
    node_id uuid NOT NULL REFERENCES node ON DELETE CASCADE,
    users   bigint NOT NULL
);
CREATE INDEX node_users_node_id_idx ON node_users (node_id);
INSERT INTO node_users (node_id, users)
SELECT storage_node_id, count(*) FROM account
 WHERE storage_node_id IS NOT NULL GROUP BY storage_node_id;

-- One row for each node and statement, or for each user who is moved.
CREATE FUNCTION count_users_of_nodes() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO node_users (node_id, users)
        SELECT storage_node_id, count(*) FROM after_rows
         WHERE storage_node_id IS NOT NULL GROUP BY storage_node_id;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO node_users (node_id, users)
        SELECT storage_node_id, -count(*) FROM before_rows
         WHERE storage_node_id IS NOT NULL GROUP BY storage_node_id;
    ELSE
        INSERT INTO node_users (node_id, users)
        SELECT node_id, users FROM (VALUES (OLD.storage_node_id, -1), (NEW.storage_node_id, 1))
            AS moved (node_id, users) WHERE node_id IS NOT NULL;
    END IF;
    RETURN NULL;
END $$;
REVOKE EXECUTE ON FUNCTION count_users_of_nodes() FROM PUBLIC;
CREATE TRIGGER account_node_users_insert AFTER INSERT ON account
    REFERENCING NEW TABLE AS after_rows
    FOR EACH STATEMENT EXECUTE FUNCTION count_users_of_nodes();
CREATE TRIGGER account_node_users_update AFTER UPDATE OF storage_node_id ON account
    FOR EACH ROW WHEN (OLD.storage_node_id IS DISTINCT FROM NEW.storage_node_id)
    EXECUTE FUNCTION count_users_of_nodes();
CREATE TRIGGER account_node_users_delete AFTER DELETE ON account
    REFERENCING OLD TABLE AS before_rows
    FOR EACH STATEMENT EXECUTE FUNCTION count_users_of_nodes();

GRANT SELECT, INSERT, DELETE ON node_users TO umail_app;
