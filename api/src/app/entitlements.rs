//! What a user really may, and which level says so.

use umail_api_types::entitlements::Entitlements;

use crate::{
    app::users,
    authz::{Action, Resource},
    context::Context,
    error::{Error, Result},
    model::{domain::DomainRef, entitlements::Levels, plan::PlanRef, user::UserRef},
    store,
};

/// Explains every value that holds for a user.
pub async fn read(cx: &Context, user: &UserRef) -> Result<Entitlements> {
    let user = users::find(cx, user, |scope| (Action::Read, Resource::User(scope))).await?;
    let gone = || Error::not_found("user", user.id);
    let domain = DomainRef::Id(user.domain_id);
    let domain = store::domains::find(cx.pool(), &domain).await?.ok_or_else(gone)?;
    let plan = store::plans::find(cx.pool(), &PlanRef::Id(user.plan_id)).await?.ok_or_else(gone)?;
    let mut departments = Vec::new();
    if let Some(id) = user.department_id {
        let mut db = cx.pool().acquire().await?;
        departments = store::departments::list_above(&mut db, domain.id, id).await?;
    }
    let settings = store::settings::get(cx.pool()).await?;
    let levels = Levels {
        settings: &settings,
        domain: &domain,
        departments: &departments,
        plan: &plan,
        user: &user,
    };
    Ok(levels.entitlements())
}
