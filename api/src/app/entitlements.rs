//! What a user really may, and which level says so.

use sqlx::PgConnection;
use umail_api_types::{
    entitlements::{Entitlements, OriginLevel},
    functions::FunctionName,
};
use umail_proto::functions::Function;

use crate::{
    app::users,
    authz::{Action, Resource},
    context::Context,
    error::{Error, Result},
    model::{
        domain::DomainRef,
        entitlements::Levels,
        plan::PlanRef,
        user::{User, UserRef},
    },
    store,
};

/// Explains every value that holds for a user.
pub async fn read(cx: &Context, user: &UserRef) -> Result<Entitlements> {
    let user = users::find(cx, user, |scope| (Action::Read, Resource::User(scope))).await?;
    let mut db = cx.pool().acquire().await?;
    explain(&mut db, &user).await
}

/// Refuses what a user may not do because it lacks a function.
pub(super) async fn require(
    db: &mut PgConnection,
    user: &User,
    function: FunctionName,
) -> Result<()> {
    let functions = explain(db, user).await?.functions;
    let found = functions.into_iter().find(|one| one.function == function);
    let Some(origin) = found.and_then(|one| one.denied_by) else { return Ok(()) };
    let level = match origin.level {
        OriginLevel::System => "the system",
        OriginLevel::Domain => "domain",
        OriginLevel::Department => "department",
        OriginLevel::Plan => "plan",
        OriginLevel::User => "user",
    };
    let function = Function::from(function).name();
    Err(Error::Conflict(format!("{function} is switched off by {level} {}", origin.name)))
}

async fn explain(db: &mut PgConnection, user: &User) -> Result<Entitlements> {
    let gone = || Error::not_found("user", user.id);
    let domain = DomainRef::Id(user.domain_id);
    let domain = store::domains::find(&mut *db, &domain).await?.ok_or_else(gone)?;
    let plan = store::plans::find(&mut *db, &PlanRef::Id(user.plan_id)).await?.ok_or_else(gone)?;
    let mut departments = Vec::new();
    if let Some(id) = user.department_id {
        departments = store::departments::list_above(&mut *db, domain.id, id).await?;
    }
    let settings = store::settings::get(&mut *db).await?;
    let levels = Levels {
        settings: &settings,
        domain: &domain,
        departments: &departments,
        plan: &plan,
        user,
    };
    Ok(levels.entitlements())
}
