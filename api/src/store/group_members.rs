//! Members of groups. A user who is out of the reach of whoever asks has no address.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use umail_proto::ids::{GroupId, GroupMemberId, UserId};
use uuid::Uuid;

use crate::{
    error::{Error, Result},
    model::{address::EmailAddress, group::GroupMember, page::Page, user::UserRef},
};

struct Row {
    id: GroupMemberId,
    group_id: GroupId,
    account_id: Option<UserId>,
    address: Option<String>,
    created_at: OffsetDateTime,
}

impl TryFrom<Row> for GroupMember {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let corrupt = |_cause| Error::corrupt("group_member", row.id, "address");
        Ok(Self {
            id: row.id,
            group_id: row.group_id,
            user_id: row.account_id,
            address: row
                .address
                .as_deref()
                .map(EmailAddress::parse)
                .transpose()
                .map_err(corrupt)?,
            created_at: row.created_at,
        })
    }
}

/// Members of one group, and what follows after that: the other conditions.
macro_rules! select_members {
    ($conditions:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"SELECT group_member.id AS "id!: GroupMemberId", group_id AS "group_id!: GroupId",
                      account_id AS "account_id?: UserId", group_member.created_at AS "created_at!",
                      coalesce(address, account.local_part || '@' || domain.name) AS "address?"
                 FROM group_member
                 LEFT JOIN account ON account.id = account_id
                 LEFT JOIN domain ON domain.id = account.domain_id
                WHERE group_id = $1 "#
                + $conditions,
            $($argument),+
        )
    };
}

/// A page of the members of a group.
pub async fn list(db: impl PgExecutor<'_>, group: GroupId, page: Page) -> Result<Vec<GroupMember>> {
    select_members!(
        "AND group_member.id > $2 ORDER BY group_member.id LIMIT $3",
        group.uuid(),
        page.after(),
        page.limit,
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(GroupMember::try_from)
    .collect()
}

/// The member of a group who is this user, deleted or not, or this address.
pub async fn find(
    db: impl PgExecutor<'_>,
    group: GroupId,
    member: &UserRef,
) -> Result<Option<GroupMember>> {
    let (id, address) = match member {
        UserRef::Id(id) => (Some(id.uuid()), None),
        UserRef::Address(address) => (None, Some(address.as_str())),
    };
    let row = select_members!(
        "AND (account_id = $2 OR address = $3
              OR account.local_part || '@' || domain.name = $3)",
        group.uuid(),
        id,
        address,
    );
    row.fetch_optional(db).await?.map(GroupMember::try_from).transpose()
}

/// How many members a group has.
pub async fn count(db: impl PgExecutor<'_>, group: GroupId) -> Result<i64> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM group_member WHERE group_id = $1"#,
        group.uuid(),
    );
    Ok(count.fetch_one(db).await?)
}

/// Adds a member: the address of a user is the user's own, and may change.
pub async fn insert(db: impl PgExecutor<'_>, member: &GroupMember) -> Result<()> {
    let address = member.address.as_ref().filter(|_| member.user_id.is_none());
    sqlx::query!(
        "INSERT INTO group_member (id, group_id, account_id, address, created_at)
         VALUES ($1, $2, $3, $4, $5)",
        member.id.uuid(),
        member.group_id.uuid(),
        member.user_id.map(UserId::uuid),
        address.map(EmailAddress::as_str),
        member.created_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes a member.
pub async fn delete(db: impl PgExecutor<'_>, id: GroupMemberId) -> Result<()> {
    sqlx::query!("DELETE FROM group_member WHERE id = $1", id.uuid()).execute(db).await?;
    Ok(())
}

/// Takes a user out of all groups, and returns which memberships those were.
pub async fn delete_of_user(db: impl PgExecutor<'_>, user: UserId) -> Result<Vec<Uuid>> {
    let rows = sqlx::query_scalar!(
        "DELETE FROM group_member WHERE account_id = $1 RETURNING id",
        user.uuid(),
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(GroupMemberId::uuid).collect())
}
