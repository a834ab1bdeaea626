//! Who acts by an API key: its maker, with what the key has of the maker's rights as they are now.

use std::sync::Arc;

use umail_proto::ids::{ApiKeyId, DepartmentId, DomainId, UserId};

use crate::{
    authn::callers::{Known, NOTED_EVERY, confinement, of_owner, rests},
    authz,
    context::{Assignment, Caller, State},
    error::{Error, Result},
    model::{
        api_key::{KeyRole, KeyScope},
        operator::OperatorRole,
    },
    store::{self, api_keys::Found},
};

/// The same whatever is wrong: a thief learns nothing. The audit tells the maker.
pub(crate) const REFUSED: Error =
    Error::Unauthenticated("the API key is unknown, revoked, expired, or not good from here");

/// The caller of a key that is good, and whose maker may sign in.
pub(super) async fn load(state: &State, hash: [u8; 32]) -> Result<Known> {
    let (found, caller) = good(state, &hash).await?;
    let (key, now) = (&found.key, state.clock().now());
    if key.last_used_at.is_none_or(|last| now - last >= NOTED_EVERY) {
        store::api_keys::touch(state.pool(), key.id, now).await?;
    }
    let confinement = confinement(state, found.owner, found.must_change_password, found.has_totp);
    Ok(Known {
        caller: Arc::new(caller),
        confinement,
        key: Some(Arc::new(found)),
        is_by_link: false,
    })
}

/// What a key that is good stands for now; it is not used by that.
pub(super) async fn find(state: &State, id: ApiKeyId) -> Result<Caller> {
    let hash = store::api_keys::find_hash(state.pool(), id).await?.ok_or(REFUSED)?;
    good(state, &hash).await.map(|(_found, caller)| caller)
}

/// A key that is good, and what is left of its maker.
async fn good(state: &State, hash: &[u8]) -> Result<(Found, Caller)> {
    let found = store::api_keys::find_by_hash(state.pool(), hash).await?.ok_or(REFUSED)?;
    if found.until <= state.clock().now() {
        return Err(REFUSED);
    }
    let maker = of_owner(state, found.owner).await.map_err(|error| match error {
        Error::Unauthenticated(_) => REFUSED,
        other => other,
    })?;
    let caller = narrowed(state, maker, found.key.id, found.key.scope).await?;
    Ok((found, caller))
}

/// What is left of the maker.
async fn narrowed(state: &State, maker: Caller, key: ApiKeyId, scope: KeyScope) -> Result<Caller> {
    match (scope.role, maker) {
        (None, maker) => Ok(maker),
        // A maker who was demoted has less.
        (Some(KeyRole::SystemAdmin), maker @ Caller::Operator { .. }) => Ok(maker),
        (Some(KeyRole::SuperDomainAdmin), Caller::Operator { id, .. }) => {
            Ok(Caller::Operator { id, role: OperatorRole::SuperDomainAdmin })
        }
        (Some(KeyRole::User), Caller::User { id, domain_id, resting, .. }) => {
            Ok(Caller::User { id, domain_id, assignments: Vec::new(), resting })
        }
        (Some(KeyRole::DomainAdmin | KeyRole::DepartmentAdmin), maker) => {
            let domain = scope.domain_id.ok_or(REFUSED)?;
            within(state, &maker, key, (domain, scope.department_id)).await
        }
        (Some(KeyRole::SystemAdmin | KeyRole::SuperDomainAdmin | KeyRole::User), _) => Err(REFUSED),
    }
}

/// Somebody who administers this place, if the maker does, and is nobody beside that: not the
/// maker's own account either.
async fn within(
    state: &State,
    maker: &Caller,
    key: ApiKeyId,
    (domain_id, department): (DomainId, Option<DepartmentId>),
) -> Result<Caller> {
    let domain = store::domains::find(state.pool(), &domain_id.into()).await?.ok_or(REFUSED)?;
    if !authz::administers(maker, domain_id, department) {
        return Err(REFUSED);
    }
    let assignment = match department {
        None => Assignment::DomainAdmin(domain_id),
        Some(department_id) => Assignment::DepartmentAdmin {
            domain_id,
            department_id,
            subtree: store::departments::subtree(state.pool(), domain_id, department_id).await?,
        },
    };
    let resting = Vec::from_iter(rests(domain_id, domain.status));
    let id = UserId::from(key.uuid());
    Ok(Caller::User { id, domain_id, assignments: vec![assignment], resting })
}
