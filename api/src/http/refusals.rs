//! Tells the audit what callers were refused, once it is known who calls.

use std::sync::{Arc, OnceLock};

use axum::http::{Extensions, Method, Uri};
use percent_encoding::percent_decode_str;
use tracing::error;

use crate::{app::security_events, authn::unseen::Thing, context::Context};

/// As much of a path as is kept: the caller may have made it up.
const MAX_PATH: usize = 256;

/// The caller of a request, for whoever sees what becomes of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Slot(Arc<OnceLock<Context>>);

impl Slot {
    /// Takes note of who calls.
    pub(super) fn fill(cx: &Context, extensions: &Extensions) {
        if let Some(slot) = extensions.get::<Self>() {
            slot.0.get_or_init(|| cx.clone());
        }
    }

    /// Records that the caller was refused this.
    pub(super) async fn record(&self, method: &Method, uri: &Uri, detail: &str) {
        let Some(cx) = self.0.get() else { return };
        let recorded = security_events::refused(cx, method.as_str(), &short(uri), detail).await;
        if let Err(cause) = recorded {
            error!(%cause, "a refusal is not in the audit");
        }
    }

    /// Takes note that the caller was told that there is no such thing.
    pub(super) fn miss(&self, method: &Method, uri: &Uri) {
        let Some(cx) = self.0.get() else { return };
        if let Some(thing) = thing(uri.path()) {
            security_events::unseen(cx, thing, (method.as_str(), &short(uri)));
        }
    }
}

fn short(uri: &Uri) -> String {
    uri.path().chars().take(MAX_PATH).collect()
}

/// The first thing that a path names, if it is one with a scope.
fn thing(path: &str) -> Option<Thing> {
    let mut words = path.strip_prefix("/v1/")?.split('/');
    let (kind, name) = (words.next()?, words.next()?);
    let name = percent_decode_str(name).decode_utf8().ok()?;
    Some(match kind {
        "domains" => Thing::Domain(name.parse().ok()?),
        "domain_aliases" => Thing::DomainAlias(name.parse().ok()?),
        "departments" => Thing::Department(name.parse().ok()?),
        "users" => Thing::User(name.parse().ok()?),
        "aliases" => Thing::Alias(name.parse().ok()?),
        "groups" => Thing::Group(name.parse().ok()?),
        "role_assignments" => Thing::RoleAssignment(name.parse().ok()?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_thing_by_id_or_name() {
        let id = "01936d5e-0000-7000-8000-000000000000";
        assert_eq!(thing(&format!("/v1/aliases/{id}")), id.parse().ok().map(Thing::Alias));
        let user = "anna@b%C3%BCcher.example/sessions";
        let found = thing(&format!("/v1/users/{user}"));
        assert_eq!(found, "anna@bücher.example".parse().ok().map(Thing::User));
        let found = thing("/v1/domains/example.com/users?search=x");
        assert_eq!(found, "example.com".parse().ok().map(Thing::Domain));
        for path in
            ["/", "/v1/users", "/v1/me/totp", "/v1/imports/x", "/v1/departments/x", "/v1/users/%ff"]
        {
            assert_eq!(thing(path), None, "{path}");
        }
    }
}
