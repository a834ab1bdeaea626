//! Taking over what another panel has: what is there already is read, what is to be done is decided
//! (`model/migration`), and done by the same functions as single requests, on behalf of whoever asks.
//! A run that was cut off is made up for by the next one.

mod existing;
mod work;

use std::sync::Arc;

pub use self::work::{apply, resume};
use crate::{
    authn::callers,
    authz::{Action, Resource},
    context::Context,
    error::{Error, Result},
    model::{
        migration::{Options, Panel, Source, Steps, decide},
        plan::{self, PlanRef},
    },
    store::{self, sessions::Owner},
};

/// Things that are read or made at the same time.
pub const AT_ONCE: usize = 4;
/// Rows that are read together.
const BATCH: usize = 1_000;
/// What the request ids of runs begin with: all audit events of one have it.
const REQUEST: &str = "migration-";

/// How it is to be done, before it is known what there is.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command")]
pub struct Wish {
    /// The plan of the users; nothing: the standard one.
    pub plan: Option<PlanRef>,
    /// Whether users whose password is not taken over are added without one.
    pub reset_weak: bool,
    /// Whether what is there already is changed to what the dump says.
    pub update: bool,
    /// Whether limits are set that are below what there will be.
    pub below_allocated: bool,
    /// Whether administrators of domains are appointed who have the address of a mailbox.
    pub administrators: bool,
}

/// An operator who takes over what a panel has, with the rights of now.
pub async fn on_behalf_of(system: &Context, name: &str, panel: Panel) -> Result<Context> {
    let id = store::operators::find_id(system.pool(), name).await?;
    let id = id.ok_or_else(|| Error::not_found("operator", name))?;
    let caller = callers::of_owner(system.state(), Owner::from(id)).await;
    let caller = caller.map_err(|error| match error {
        Error::Unauthenticated(_) => Error::Conflict(format!("operator {name} is not active")),
        other => other,
    })?;
    let request = format!("{REQUEST}{}-{}", panel.name(), system.now().unix_timestamp());
    Ok(Context::new(system.state().clone(), Arc::new(caller), Arc::from(request)))
}

/// Says what would be done with all that a dump has, and changes nothing.
pub async fn prepare(cx: &Context, source: Source, wish: &Wish) -> Result<(Steps, Options)> {
    cx.authorize(Action::Create, Resource::Domains)?;
    cx.authorize(Action::Create, Resource::Imports(None))?;
    let wanted = wish.plan.clone().unwrap_or_else(|| PlanRef::Id(plan::standard()));
    let plan = store::plans::find(cx.pool(), &wanted).await?;
    let plan = plan.ok_or_else(|| Error::invalid("--plan", "must be a plan that there is"))?;
    let options = Options {
        plan,
        is_plan_named: wish.plan.is_some(),
        reset_weak: wish.reset_weak,
        update: wish.update,
        below_allocated: wish.below_allocated,
        administrators: wish.administrators,
    };
    let existing = existing::load(cx, &source, &options).await?;
    Ok((decide(source, &options, &existing), options))
}
