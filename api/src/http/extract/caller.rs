//! The context of a request: who is calling, by the bearer token.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, FromRef, FromRequestParts},
    http::{
        header::{AUTHORIZATION, USER_AGENT},
        request::Parts,
    },
};

use crate::{
    app::security_events,
    authn::{callers::Credential, random},
    context::{Caller, Context, State},
    error::{Error, Result},
    http::{problem::request_id, rate_limits, refusals},
    model::{
        api_key::PREFIX,
        session::{Client, Confinement},
    },
};

impl<S: Send + Sync> FromRequestParts<S> for Context
where
    State: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let Confined(cx) = Confined::from_request_parts(parts, state).await?;
        match cx.confinement() {
            Some(confinement) => Err(Error::Confined(confinement)),
            None => Ok(cx),
        }
    }
}

/// The context of a request that whoever has to enrol a second factor may make.
#[derive(Debug)]
pub struct Enrolling(pub Context);

impl<S: Send + Sync> FromRequestParts<S> for Enrolling
where
    State: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let Confined(cx) = Confined::from_request_parts(parts, state).await?;
        match cx.confinement() {
            Some(confinement @ Confinement::PasswordChange) => Err(Error::Confined(confinement)),
            Some(Confinement::TotpEnrolment) | None => Ok(Self(cx)),
        }
    }
}

/// The context of a request that every session is good for.
#[derive(Debug)]
pub struct Confined(pub Context);

impl<S: Send + Sync> FromRequestParts<S> for Confined
where
    State: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        // The layer for idempotent requests has made it already.
        if let Some(cx) = parts.extensions.get::<Context>() {
            return Ok(Self(cx.clone()));
        }
        let state = State::from_ref(state);
        let header = parts.headers.get(AUTHORIZATION);
        let header = header.ok_or(Error::Unauthenticated("sign in first"))?;
        let token = header.to_str().ok().and_then(|header| {
            let (scheme, token) = header.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
        });
        let credential = match token {
            Some(secret) if secret.starts_with(PREFIX) => {
                Some(Credential::Key(random::digest(secret)))
            }
            Some(token) => {
                let session = state.tokens().read(token, state.clock().now());
                session.map(Credential::Session)
            }
            None => None,
        };
        let credential =
            credential.ok_or(Error::Unauthenticated("the access token is not good; refresh it"))?;
        let cx = Context::of(state, credential, request_id(&parts.extensions)).await?;
        let address = address(parts, cx.state());
        let cx = cx.from_address(address);
        security_events::check_key(&cx, parts.method.is_safe()).await?;
        refusals::Slot::fill(&cx, &parts.extensions);
        rate_limits::count(&cx, &parts.extensions)?;
        Ok(Self(cx))
    }
}

/// The context of a request that needs nobody to be signed in.
#[derive(Debug)]
pub struct Public(pub Context);

impl<S: Send + Sync> FromRequestParts<S> for Public
where
    State: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let request_id = request_id(&parts.extensions);
        let cx = Context::new(State::from_ref(state), Arc::new(Caller::Nobody), request_id);
        let address = address(parts, cx.state());
        Ok(Self(cx.from_address(address)))
    }
}

/// Where the request comes from.
#[derive(Debug)]
pub struct Peer(pub Client);

impl<S: Send + Sync> FromRequestParts<S> for Peer
where
    State: FromRef<S>,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let user_agent = parts.headers.get(USER_AGENT).and_then(|name| name.to_str().ok());
        let address = address(parts, &State::from_ref(state));
        Ok(Self(Client::new(address, user_agent.unwrap_or_default())))
    }
}

/// The address of the client: the other end of the connection, or whom proxies that are trusted name.
/// IPv4 on a socket for both is IPv4 all the same.
fn address(parts: &Parts, state: &State) -> Option<IpAddr> {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    let lines = parts.headers.get_all(state.proxies().header.name());
    let lines: Vec<_> = lines.iter().map(|line| line.to_str().ok()).collect();
    let client = peer.map(|ConnectInfo(peer)| state.proxies().client(peer.ip(), &lines));
    client.map(|address| address.to_canonical())
}
