//! Mail nodes, as they are wanted.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use umail_proto::ids::NodeId;

use crate::{
    error::{Error, OnConstraint, Result},
    model::{
        node::{Node, NodeRef, Role},
        page::Page,
    },
};

struct Row {
    id: NodeId,
    name: String,
    address: String,
    roles: Vec<String>,
    eligible: bool,
    generation: i64,
    revoked_at: Option<OffsetDateTime>,
    revision: i64,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl TryFrom<Row> for Node {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let corrupt = |detail: &str| Error::corrupt("node", row.id, detail);
        let roles = row.roles.iter().map(|name| Role::from_name(name)).collect::<Option<_>>();
        Ok(Self {
            address: row.address.parse().ok().ok_or_else(|| corrupt("address"))?,
            roles: roles.ok_or_else(|| corrupt("roles"))?,
            id: row.id,
            name: row.name,
            eligible: row.eligible,
            generation: row.generation,
            revoked_at: row.revoked_at,
            revision: row.revision,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// A page of the nodes.
pub async fn list(db: impl PgExecutor<'_>, page: Page) -> Result<Vec<Node>> {
    sqlx::query_as!(
        Row,
        r#"SELECT id, name, host(address) AS "address!", roles, eligible, generation, revoked_at,
                  revision, created_at, updated_at
             FROM node
            WHERE id > $1
            ORDER BY id
            LIMIT $2"#,
        page.after(),
        page.limit,
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(Node::try_from)
    .collect()
}

/// Every node that may connect, in the order of their ids.
pub async fn list_good(db: impl PgExecutor<'_>) -> Result<Vec<Node>> {
    sqlx::query_as!(
        Row,
        r#"SELECT id, name, host(address) AS "address!", roles, eligible, generation, revoked_at,
                  revision, created_at, updated_at
             FROM node
            WHERE revoked_at IS NULL
            ORDER BY id"#,
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(Node::try_from)
    .collect()
}

/// The node of this id or name.
pub async fn find(db: impl PgExecutor<'_>, node: &NodeRef) -> Result<Option<Node>> {
    let (id, name) = match node {
        NodeRef::Id(id) => (Some(id.uuid()), None),
        NodeRef::Name(name) => (None, Some(name)),
    };
    sqlx::query_as!(
        Row,
        r#"SELECT id, name, host(address) AS "address!", roles, eligible, generation, revoked_at,
                  revision, created_at, updated_at
             FROM node
            WHERE id = $1 OR name = $2"#,
        id,
        name,
    )
    .fetch_optional(db)
    .await?
    .map(Node::try_from)
    .transpose()
}

/// The node with this id.
pub async fn get(db: impl PgExecutor<'_>, id: NodeId) -> Result<Node> {
    find(db, &NodeRef::Id(id)).await?.ok_or_else(|| Error::not_found("node", id))
}

/// The generations of the desired states of these nodes.
pub async fn list_generations(
    db: impl PgExecutor<'_>,
    ids: &[NodeId],
) -> Result<Vec<(NodeId, i64)>> {
    let ids: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!("SELECT id, generation FROM node WHERE id = ANY ($1)", &ids)
        .fetch_all(db)
        .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.generation)).collect())
}

/// Waits for whoever else changes which nodes there are: each must see the others' desired
/// states as they will be.
pub async fn lock_fleet(db: impl PgExecutor<'_>) -> Result<()> {
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtext('umail.fleet'))").fetch_one(db).await?;
    Ok(())
}

/// Adds a node.
pub async fn insert(db: impl PgExecutor<'_>, node: &Node) -> Result<()> {
    let roles: Vec<_> = node.roles.iter().map(|role| role.name().to_owned()).collect();
    sqlx::query!(
        "INSERT INTO node (id, name, address, roles, eligible, generation, revision, created_at, updated_at)
         VALUES ($1, $2, $3::text::inet, $4, $5, $6, $7, $8, $9)",
        node.id.uuid(),
        node.name,
        node.address.to_string(),
        &roles,
        node.eligible,
        node.generation,
        node.revision,
        node.created_at,
        node.updated_at,
    )
    .execute(db)
    .await
    .on_constraint("node_name_key", || Error::AlreadyExists {
        kind: "node",
        name: node.name.clone(),
    })?;
    Ok(())
}

/// Writes what can change of a node; its revision grows.
pub async fn update(db: impl PgExecutor<'_>, node: &Node, now: OffsetDateTime) -> Result<Node> {
    let row = sqlx::query_as!(
        Row,
        r#"UPDATE node
              SET address = $2::text::inet, eligible = $3, revoked_at = $4,
                  revision = revision + 1, updated_at = $5
            WHERE id = $1
        RETURNING id, name, host(address) AS "address!", roles, eligible, generation, revoked_at,
                  revision, created_at, updated_at"#,
        node.id.uuid(),
        node.address.to_string(),
        node.eligible,
        node.revoked_at,
        now,
    )
    .fetch_optional(db)
    .await?;
    row.ok_or_else(|| Error::not_found("node", node.id))?.try_into()
}

/// Raises the generation of one node's desired state.
pub async fn raise_generation(db: impl PgExecutor<'_>, id: NodeId) -> Result<i64> {
    let generation = sqlx::query_scalar!(
        "UPDATE node SET generation = generation + 1 WHERE id = $1 RETURNING generation",
        id.uuid(),
    );
    generation.fetch_optional(db).await?.ok_or_else(|| Error::not_found("node", id))
}

/// Raises the generations of all nodes' desired states. Locks them in order.
pub async fn raise_generations(db: impl PgExecutor<'_>) -> Result<()> {
    sqlx::query!(
        "UPDATE node SET generation = generation + 1
          WHERE id IN (SELECT id FROM node ORDER BY id FOR UPDATE)"
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A node that takes mailboxes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The node.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// How many users have their mail on it.
    pub users: i64,
}

/// The storage nodes that take mailboxes, the one with the fewest users first.
pub async fn list_places(db: impl PgExecutor<'_>) -> Result<Vec<Place>> {
    Ok(sqlx::query_as!(
        Place,
        r#"SELECT id AS "id: NodeId", name, coalesce(sum(users), 0)::bigint AS "users!"
             FROM node LEFT JOIN node_users ON node_id = id
            WHERE 'storage' = ANY (roles) AND eligible AND revoked_at IS NULL
            GROUP BY id ORDER BY coalesce(sum(users), 0), name"#,
    )
    .fetch_all(db)
    .await?)
}

/// Sums up the differences in how many users nodes have.
pub async fn sum_users(db: impl PgExecutor<'_>) -> Result<u64> {
    let done = sqlx::query!(
        "WITH many AS (SELECT node_id FROM node_users GROUP BY node_id HAVING count(*) > 100),
              gone AS (DELETE FROM node_users USING many WHERE node_users.node_id = many.node_id
                       RETURNING node_users.node_id, users)
         INSERT INTO node_users (node_id, users)
         SELECT node_id, sum(users) FROM gone GROUP BY node_id",
    );
    Ok(done.execute(db).await?.rows_affected())
}

/// How many users have their mail on the node, or are being moved to or from it.
pub async fn count_users(db: impl PgExecutor<'_>, id: NodeId) -> Result<i64> {
    Ok(sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM account
            WHERE storage_node_id = $1 OR companion_node_id = $1"#,
        id.uuid(),
    )
    .fetch_one(db)
    .await?)
}

/// Removes a node.
pub async fn delete(db: impl PgExecutor<'_>, id: NodeId) -> Result<()> {
    let done = sqlx::query!("DELETE FROM node WHERE id = $1", id.uuid())
        .execute(db)
        .await
        .on_constraint("account_storage_node_id_fkey", || keeps_mail(id))
        .on_constraint("account_companion_node_id_fkey", || keeps_mail(id))?;
    if done.rows_affected() == 0 { Err(Error::not_found("node", id)) } else { Ok(()) }
}

fn keeps_mail(id: NodeId) -> Error {
    Error::Conflict(format!("node {id} keeps the mail of users: move them first"))
}
