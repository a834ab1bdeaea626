//! Role assignments: which users administer which domains and departments.

use sqlx::PgConnection;
use umail_api_types::role_assignments::{AssignedRole, NewRoleAssignment, RoleAssignmentFilter};
use umail_proto::ids::{DepartmentId, DomainId, RoleAssignmentId};

use crate::{
    app::{
        audit::{self, Subject, shown},
        domains, users,
    },
    authz::{self, Action, Resource, UserScope},
    context::Context,
    error::{Error, Result},
    model::{
        allowance::Exceeded,
        domain::DomainRef,
        page::Page,
        role::Grant,
        role_assignment::{MAX_OF_A_USER, RoleAssignment},
        user::UserRef,
    },
    store,
};

/// A page of the role assignments of a user that are in the caller's scope.
pub async fn list_of_user(cx: &Context, user: &UserRef, page: Page) -> Result<Vec<RoleAssignment>> {
    let user = users::find(cx, user, |scope| (Action::Read, Resource::User(scope))).await?;
    let among = authz::visible_places(cx.caller(), user.id);
    store::role_assignments::list_of_user(cx.pool(), user.id, among.as_ref(), page).await
}

/// A page of the role assignments in a domain that are in the caller's scope.
pub async fn list_of_domain(
    cx: &Context,
    domain: &DomainRef,
    filter: &RoleAssignmentFilter,
    page: Page,
) -> Result<Vec<RoleAssignment>> {
    let asked = |id| (Action::List, Resource::RoleAssignments(id));
    let domain = domains::find(cx, domain, asked).await?;
    let among = authz::visible_among(cx.caller(), domain.id, filter.department_id);
    // Whoever has a role here may be of another domain.
    store::role_assignments::list_of_domain(cx.state().pool(), domain.id, &among, page).await
}

/// One role assignment.
pub async fn read(cx: &Context, id: RoleAssignmentId) -> Result<RoleAssignment> {
    let missing = || Error::not_found("role assignment", id);
    let pool = cx.state().pool();
    let found = store::role_assignments::find(pool, id).await?.ok_or_else(missing)?;
    let user = store::accounts::find(pool, &UserRef::Id(found.user_id)).await?;
    let holder = user.ok_or_else(missing)?.scope();
    may(cx, Action::Read, holder, found.grant(), missing).map(|()| found)
}

/// Appoints a user. Who is appointed already is refused as a conflict.
pub async fn create(
    cx: &Context,
    user: &UserRef,
    new: &NewRoleAssignment,
) -> Result<RoleAssignment> {
    // Whom a key has appointed would outlive the key, and may more than it.
    cx.require_person()?;
    let user = users::find(cx, user, |scope| (Action::Read, Resource::User(scope))).await?;
    let domain_id = new.domain_id.unwrap_or(user.domain_id);
    let grant = Grant { domain_id, department_id: department(new)? };
    // The user is in the caller's scope: that the place to be is not, or that there is no such
    // place, must be one and the same refusal.
    let refused = || Error::Forbidden("create role assignment".to_owned());
    let mut tx = cx.begin().await?;
    let asked = |scope| (Action::Read, Resource::User(scope));
    let user = users::lock(&mut tx, cx, user.id, asked).await?;
    may(cx, Action::Create, user.scope(), grant, refused)?;
    if store::domains::find(&mut *tx, &DomainRef::Id(domain_id)).await?.is_none() {
        return Err(Error::invalid("/domain_id", "must be a domain"));
    }
    if user.grants.len() >= MAX_OF_A_USER {
        let most = MAX_OF_A_USER.try_into().unwrap_or(i64::MAX);
        return Err(Exceeded::of_user(&user.address, "role_assignments", most).into());
    }
    let assignment = RoleAssignment {
        id: RoleAssignmentId::generate(cx.now()),
        user_id: user.id,
        user_address: user.address,
        domain_id,
        department_id: grant.department_id,
        created_at: cx.now(),
    };
    store::role_assignments::insert(&mut *tx, &assignment).await?;
    // Who has seen the user without the role may no longer be above the user.
    store::accounts::touch(&mut *tx, user.id, cx.now()).await?;
    record(&mut tx, cx, Action::Create, &assignment).await?;
    tx.commit().await?;
    cx.state().callers().forget();
    Ok(assignment)
}

/// Removes a user from a role.
pub async fn delete(cx: &Context, id: RoleAssignmentId) -> Result<()> {
    let user_id = read(cx, id).await?.user_id;
    let missing = || Error::not_found("role assignment", id);
    // The holder may be of another domain.
    let mut tx = cx.begin().await?;
    tx.reach_beyond().await?;
    store::accounts::lock(&mut *tx, user_id).await?;
    let found = store::role_assignments::find(&mut *tx, id).await?.ok_or_else(missing)?;
    let user = store::accounts::find(&mut *tx, &UserRef::Id(user_id)).await?;
    let holder = user.ok_or_else(missing)?.scope();
    may(cx, Action::Delete, holder, found.grant(), missing)?;
    store::role_assignments::delete(&mut *tx, id).await?;
    store::accounts::touch(&mut *tx, user_id, cx.now()).await?;
    record(&mut tx, cx, Action::Delete, &found).await?;
    tx.commit().await?;
    cx.state().callers().forget();
    Ok(())
}

/// Removes all from their roles in a department that goes, in a transaction that sees all of them.
/// Whoever may not do that leaves it there.
pub(super) async fn delete_of_department(
    db: &mut PgConnection,
    cx: &Context,
    (domain_id, department): (DomainId, DepartmentId),
) -> Result<()> {
    if store::role_assignments::is_administered(&mut *db, department).await? {
        let grant = Grant { domain_id, department_id: Some(department) };
        let holder = UserScope { id: None, domain_id, department_id: None, grants: Vec::new() };
        cx.authorize(Action::Delete, Resource::RoleAssignment { holder, grant })?;
    }
    for found in store::role_assignments::list_of_department(&mut *db, department).await? {
        store::role_assignments::delete(&mut *db, found.id).await?;
        store::accounts::touch(&mut *db, found.user_id, cx.now()).await?;
        record(db, cx, Action::Delete, &found).await?;
    }
    Ok(())
}

/// The department that the role is about, if it is about one.
fn department(new: &NewRoleAssignment) -> Result<Option<DepartmentId>> {
    match (new.role, new.department_id) {
        (AssignedRole::DepartmentAdmin, None) => {
            Err(Error::invalid("/department_id", "must be given for a department_admin"))
        }
        (AssignedRole::DomainAdmin, Some(_)) => {
            Err(Error::invalid("/department_id", "must be absent for a domain_admin"))
        }
        (_, department) => Ok(department),
    }
}

/// Authorizes; what is out of scope gets this refusal.
fn may(
    cx: &Context,
    action: Action,
    holder: UserScope,
    grant: Grant,
    hidden: impl FnOnce() -> Error,
) -> Result<()> {
    match cx.authorize(action, Resource::RoleAssignment { holder, grant }) {
        Err(Error::NotFound { .. }) => Err(hidden()),
        other => other,
    }
}

async fn record(
    db: &mut PgConnection,
    cx: &Context,
    action: Action,
    assignment: &RoleAssignment,
) -> Result<()> {
    let subject = Subject::of(assignment.domain_id, "role assignment", assignment.id)
        .within(assignment.department_id)
        .about(Some(assignment.user_id));
    let row = shown(assignment)?;
    let (before, after) = if action == Action::Create { (None, row) } else { (row, None) };
    audit::record(db, cx, action, subject, before, after).await
}
