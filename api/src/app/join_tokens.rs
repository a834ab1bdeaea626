//! Join tokens: admission of new nodes.

use time::Duration;
use umail_api_types::join_tokens::NewJoinToken;
use umail_proto::ids::JoinTokenId;

use crate::{
    app::{
        audit::{self, Subject, shown},
        fields::{Fields, given},
    },
    authn::random,
    authz::{Action, Resource},
    context::Context,
    error::{Error, Result},
    model::{
        join_token::JoinToken,
        node::{NodeRef, check_roles, parse_name},
        page::Page,
    },
    store,
};

const LONGEST_SECONDS: u32 = 900;

/// A page of all tokens, used ones too.
pub async fn list(cx: &Context, page: Page) -> Result<Vec<JoinToken>> {
    cx.authorize(Action::List, Resource::Nodes)?;
    store::join_tokens::list(cx.pool(), page).await
}

/// Makes a token; gives it with its text, which is not kept.
pub async fn create(cx: &Context, new: NewJoinToken) -> Result<(JoinToken, String)> {
    cx.authorize(Action::Create, Resource::Nodes)?;
    let mut fields = Fields::default();
    let name = fields.read("/node_name", parse_name(&new.node_name));
    let roles = fields.read("/roles", check_roles(&new.roles));
    let seconds = Some(new.expires_in_seconds).filter(|one| (1..=LONGEST_SECONDS).contains(one));
    let seconds = seconds.ok_or_else(|| format!("must be 1 to {LONGEST_SECONDS}"));
    let seconds = fields.read("/expires_in_seconds", seconds);
    fields.check()?;
    let token = JoinToken {
        id: JoinTokenId::generate(cx.now()),
        node_name: given(name)?,
        roles: given(roles)?,
        expires_at: cx.now() + Duration::seconds(given(seconds)?.into()),
        used_at: None,
        created_at: cx.now(),
    };
    let text = random::secret("umj_")?;
    let mut tx = cx.begin().await?;
    if let Some(node) =
        store::nodes::find(&mut *tx, &NodeRef::Name(token.node_name.clone())).await?
        && node.roles != token.roles
    {
        let text = format!("node {} exists with other roles: delete it first", node.name);
        return Err(Error::Conflict(text));
    }
    store::join_tokens::insert(&mut *tx, &token, &random::hash(&text)).await?;
    let subject = Subject::system("join_token", token.id);
    audit::record(&mut tx, cx, Action::Create, subject, None, shown(&token)?).await?;
    tx.commit().await?;
    Ok((token, text))
}

/// Removes a token. A node that it made stays.
pub async fn delete(cx: &Context, id: JoinTokenId) -> Result<()> {
    cx.authorize(Action::Delete, Resource::Nodes)?;
    let mut tx = cx.begin().await?;
    let token = store::join_tokens::delete(&mut *tx, id).await?;
    let subject = Subject::system("join_token", id);
    audit::record(&mut tx, cx, Action::Delete, subject, shown(&token)?, None).await?;
    tx.commit().await
}
