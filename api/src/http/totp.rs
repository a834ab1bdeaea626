//! `/v1/me/totp`, and `/v1/…/totp` of others

use axum::http::StatusCode;
use umail_api_types::{
    problem::Problem,
    totp::{NewTotp, RecoveryCodes, Totp, TotpConfirmation, TotpRemoval, TotpSecret},
};
use umail_proto::ids::OperatorId;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::{self, sessions::Whose},
    context::{Context, State},
    error::Result,
    http::extract::{Enrolling, Json, Named, Parsed},
    model::user::UserRef,
};

pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(read_my_totp, enrol_my_totp))
        .routes(routes!(confirm_my_totp))
        .routes(routes!(remove_my_totp))
        .routes(routes!(delete_user_totp))
        .routes(routes!(delete_operator_totp))
}

/// Read my second factor
#[utoipa::path(get, path = "/v1/me/totp", tag = "me",
    responses((status = 200, description = "The second factor", body = Totp)))]
async fn read_my_totp(Enrolling(cx): Enrolling) -> Result<Json<Totp>> {
    Ok(Json(app::totp::read(&cx).await?))
}

/// Enrol a second factor
///
/// Codes of six digits that change every half minute (TOTP, RFC 6238). The secret is shown in this
/// answer only, and is of no effect until it is confirmed.
#[utoipa::path(post, path = "/v1/me/totp", tag = "me", request_body = NewTotp,
    responses(
        (status = 201, description = "Enrolled, to be confirmed", body = TotpSecret),
        (status = 409, description = "There is one already", body = Problem,
            content_type = "application/problem+json")))]
async fn enrol_my_totp(
    Enrolling(cx): Enrolling,
    Json(new): Json<NewTotp>,
) -> Result<(StatusCode, Json<TotpSecret>)> {
    Ok((StatusCode::CREATED, Json(app::totp::enrol(&cx, &new).await?)))
}

/// Confirm my second factor
///
/// By its first code. From now on a code is needed to sign in, each is good once, and all other
/// sessions of the caller end. The recovery codes are shown in this answer only.
#[utoipa::path(post, path = "/v1/me/totp/confirm", tag = "me", request_body = TotpConfirmation,
    responses(
        (status = 200, description = "Confirmed", body = RecoveryCodes),
        (status = 409, description = "There is none to confirm", body = Problem,
            content_type = "application/problem+json")))]
async fn confirm_my_totp(
    Enrolling(cx): Enrolling,
    Json(confirmation): Json<TotpConfirmation>,
) -> Result<Json<RecoveryCodes>> {
    let recovery_codes = app::totp::confirm(&cx, &confirmation).await?;
    Ok(Json(RecoveryCodes { recovery_codes }))
}

/// Remove my second factor
#[utoipa::path(post, path = "/v1/me/totp/remove", tag = "me", request_body = TotpRemoval,
    responses((status = 204, description = "Removed")))]
async fn remove_my_totp(cx: Context, Json(removal): Json<TotpRemoval>) -> Result<StatusCode> {
    app::totp::remove(&cx, &removal).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Reset the second factor of a user
///
/// For administrators: the user signs in without one, and may enrol another.
#[utoipa::path(delete, path = "/v1/users/{user}/totp", tag = "users",
    params(("user" = String, Path, description = "Id or address of the user")),
    responses((status = 204, description = "Reset")))]
async fn delete_user_totp(
    cx: Context,
    Named(Parsed(user)): Named<Parsed<UserRef>>,
) -> Result<StatusCode> {
    app::totp::reset(&cx, &Whose::User(user)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Reset the second factor of an operator
///
/// Of another one: who has lost it is helped by somebody else, or by `umail-api operator
/// reset-totp`.
#[utoipa::path(delete, path = "/v1/operators/{id}/totp", tag = "operators",
    params(("id" = OperatorId, Path, description = "Id of the operator")),
    responses(
        (status = 204, description = "Reset"),
        (status = 409, description = "It is the caller's own", body = Problem,
            content_type = "application/problem+json")))]
async fn delete_operator_totp(cx: Context, Named(id): Named<OperatorId>) -> Result<StatusCode> {
    app::totp::reset(&cx, &Whose::Operator(id)).await?;
    Ok(StatusCode::NO_CONTENT)
}
