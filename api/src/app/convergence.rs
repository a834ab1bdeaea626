//! How far the nodes have followed the last change of one resource.

use std::time::Duration;

use umail_api_types::convergence::Convergence;
use umail_proto::ids::{AliasId, DepartmentId};
use uuid::Uuid;

use crate::{
    app::{
        aliases, departments, directory, domain_aliases, domains, groups, plans, users, waiting,
    },
    authz::{Action, Resource},
    context::Context,
    error::Result,
    fleet::liveness::is_unreachable,
    model::{
        domain::DomainRef, domain_alias::DomainAliasRef, group::GroupRef, plan::PlanRef,
        user::UserRef,
    },
    store,
};

/// Of a user.
pub async fn of_user(cx: &Context, user: &UserRef, wait: Duration) -> Result<Convergence> {
    let user = users::read(cx, user).await?;
    read(cx, Resource::User(user.scope()), user.id.uuid(), wait).await
}

/// Of a domain.
pub async fn of_domain(cx: &Context, domain: &DomainRef, wait: Duration) -> Result<Convergence> {
    let id = domains::read(cx, domain).await?.id;
    read(cx, Resource::Domain(id), id.uuid(), wait).await
}

/// Of a domain alias.
pub async fn of_domain_alias(
    cx: &Context,
    alias: &DomainAliasRef,
    wait: Duration,
) -> Result<Convergence> {
    let alias = domain_aliases::read(cx, alias).await?;
    read(cx, Resource::DomainAlias(alias.domain_id), alias.id.uuid(), wait).await
}

/// Of a department.
pub async fn of_department(cx: &Context, id: DepartmentId, wait: Duration) -> Result<Convergence> {
    let domain_id = departments::read(cx, id).await?.domain_id;
    read(cx, Resource::Department { domain_id, id: Some(id) }, id.uuid(), wait).await
}

/// Of an alias.
pub async fn of_alias(cx: &Context, id: AliasId, wait: Duration) -> Result<Convergence> {
    let domain_id = aliases::read(cx, id).await?.domain_id;
    read(cx, Resource::Alias { domain_id, holder: None }, id.uuid(), wait).await
}

/// Of a group, its members included.
pub async fn of_group(cx: &Context, group: &GroupRef, wait: Duration) -> Result<Convergence> {
    let group = groups::read(cx, group).await?;
    read(cx, groups::resource(&group), group.id.uuid(), wait).await
}

/// Of a plan.
pub async fn of_plan(cx: &Context, plan: &PlanRef, wait: Duration) -> Result<Convergence> {
    let id = plans::read(cx, plan).await?.id;
    read(cx, Resource::Plans, id.uuid(), wait).await
}

/// Waits, at most this long, until every node that can be reached has the row. Whoever calls has
/// authorized.
async fn read(cx: &Context, resource: Resource, row: Uuid, wait: Duration) -> Result<Convergence> {
    let asked = (Action::Read, resource);
    waiting::watch(cx, asked, wait, || look(cx, row), |seen| seen.converged).await
}

async fn look(cx: &Context, row: Uuid) -> Result<Convergence> {
    // How far nodes are is nobody's in particular.
    let mut db = cx.state().pool().acquire().await?;
    let version = store::changes::version_of_row(&mut *db, row).await?;
    let nodes = directory::applied(cx, &mut db).await?;
    let (mut applied, mut unreachable, mut missing) = (0, 0, false);
    for node in &nodes {
        let is_silent = node.seen_at.is_none_or(|seen| is_unreachable(seen, cx.now()));
        let has = version.is_some_and(|version| node.version >= version);
        applied += u64::from(has);
        unreachable += u64::from(is_silent);
        missing |= !has && !is_silent;
    }
    Ok(Convergence {
        version: version.map(i64::cast_unsigned),
        nodes: nodes.len().try_into().unwrap_or(u64::MAX),
        applied,
        unreachable,
        converged: version.is_some() && !missing,
    })
}
