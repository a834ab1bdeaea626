//! `/v1/domains/{domain}/groups`, `/v1/groups` and their members

use axum::http::{HeaderMap, StatusCode};
use umail_api_types::{
    groups::{Group, GroupFilter, GroupMember, GroupPatch, NewGroup},
    page::{Page, PageQuery},
    problem::Problem,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app,
    context::{Context, State},
    error::Result,
    http::extract::{IfMatch, Json, Named, Pages, Parsed, Tagged},
    model::{self, domain::DomainRef, group::GroupRef, user::UserRef},
};

pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(list_groups, create_group))
        .routes(routes!(read_group, update_group, delete_group))
        .routes(routes!(list_group_members))
        .routes(routes!(add_group_member, remove_group_member))
}

impl From<model::group::Group> for Group {
    fn from(group: model::group::Group) -> Self {
        Self {
            id: group.id,
            domain_id: group.domain_id,
            department_id: group.department_id,
            address: group.address.to_string(),
            display_name: group.display_name,
            posting: group.posting,
            created_at: group.created_at,
            updated_at: group.updated_at,
        }
    }
}

impl From<model::group::GroupMember> for GroupMember {
    fn from(member: model::group::GroupMember) -> Self {
        Self {
            user_id: member.user_id,
            address: member.address.map(|address| address.to_string()),
            created_at: member.created_at,
        }
    }
}

fn tagged(group: model::group::Group) -> Tagged<Group> {
    Tagged(group.revision, group.into())
}

/// List the groups of a domain
///
/// Those of your scope.
#[utoipa::path(get, path = "/v1/domains/{domain}/groups", tag = "groups",
    params(("domain" = String, Path, description = "Id or name of the domain"),
        GroupFilter, PageQuery),
    responses((status = 200, description = "A page of groups", body = Page<Group>)))]
async fn list_groups(
    cx: Context,
    Named(Parsed(domain)): Named<Parsed<DomainRef>>,
    pages: Pages<GroupFilter>,
) -> Result<(HeaderMap, axum::Json<Page<Group>>)> {
    let groups = app::groups::list(&cx, &domain, &pages.filter, pages.wanted()).await?;
    Ok(pages.answer(groups, |one| one.id.uuid(), Group::from))
}

/// Add a group
///
/// Mail to it is refused until it has a member.
#[utoipa::path(post, path = "/v1/domains/{domain}/groups", tag = "groups",
    params(("domain" = String, Path, description = "Id or name of the domain")),
    request_body = NewGroup,
    responses((status = 201, description = "Added", body = Group)))]
async fn create_group(
    cx: Context,
    Named(Parsed(domain)): Named<Parsed<DomainRef>>,
    Json(new): Json<NewGroup>,
) -> Result<(StatusCode, Tagged<Group>)> {
    Ok((StatusCode::CREATED, tagged(app::groups::create(&cx, &domain, new).await?)))
}

/// Read a group
#[utoipa::path(get, path = "/v1/groups/{group}", tag = "groups",
    params(("group" = String, Path, description = "Id or address of the group")),
    responses((status = 200, description = "The group", body = Group)))]
async fn read_group(
    cx: Context,
    Named(Parsed(group)): Named<Parsed<GroupRef>>,
) -> Result<Tagged<Group>> {
    Ok(tagged(app::groups::read(&cx, &group).await?))
}

/// Change a group
#[utoipa::path(patch, path = "/v1/groups/{group}", tag = "groups",
    params(("group" = String, Path, description = "Id or address of the group"), IfMatch),
    request_body(content = GroupPatch, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "Changed", body = Group)))]
async fn update_group(
    cx: Context,
    Named(Parsed(group)): Named<Parsed<GroupRef>>,
    IfMatch(precondition): IfMatch,
    Json(patch): Json<GroupPatch>,
) -> Result<Tagged<Group>> {
    Ok(tagged(app::groups::update(&cx, &group, precondition, patch).await?))
}

/// Remove a group
///
/// At once, with its members; the address is free.
#[utoipa::path(delete, path = "/v1/groups/{group}", tag = "groups",
    params(("group" = String, Path, description = "Id or address of the group"), IfMatch),
    responses((status = 204, description = "Removed")))]
async fn delete_group(
    cx: Context,
    Named(Parsed(group)): Named<Parsed<GroupRef>>,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode> {
    app::groups::delete(&cx, &group, precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List the members of a group
#[utoipa::path(get, path = "/v1/groups/{group}/members", tag = "groups",
    params(("group" = String, Path, description = "Id or address of the group"), PageQuery),
    responses((status = 200, description = "A page of members", body = Page<GroupMember>)))]
async fn list_group_members(
    cx: Context,
    Named(Parsed(group)): Named<Parsed<GroupRef>>,
    pages: Pages,
) -> Result<(HeaderMap, axum::Json<Page<GroupMember>>)> {
    let members = app::groups::list_members(&cx, &group, pages.wanted()).await?;
    Ok(pages.answer(members, |one| one.id.uuid(), GroupMember::from))
}

/// Add a member to a group
///
/// A user in your scope, or an address in none of your domains; aliases and groups cannot be
/// members. Whoever is one already stays it.
#[utoipa::path(put, path = "/v1/groups/{group}/members/{member}", tag = "groups",
    params(("group" = String, Path, description = "Id or address of the group"),
        ("member" = String, Path, description = "Id or address of the user, or another address")),
    responses(
        (status = 200, description = "The member", body = GroupMember),
        (status = 409, description = "The group has as many members as it may have",
            body = Problem, content_type = "application/problem+json")))]
async fn add_group_member(
    cx: Context,
    Named(path): Named<(Parsed<GroupRef>, Parsed<UserRef>)>,
) -> Result<axum::Json<GroupMember>> {
    let (Parsed(group), Parsed(member)) = path;
    Ok(axum::Json(app::groups::add_member(&cx, &group, &member).await?.into()))
}

/// Take a member out of a group
///
/// Also who is no longer in your scope, by id. Whoever is none stays none.
#[utoipa::path(delete, path = "/v1/groups/{group}/members/{member}", tag = "groups",
    params(("group" = String, Path, description = "Id or address of the group"),
        ("member" = String, Path, description = "Id or address of the user, or another address")),
    responses((status = 204, description = "It is none now")))]
async fn remove_group_member(
    cx: Context,
    Named(path): Named<(Parsed<GroupRef>, Parsed<UserRef>)>,
) -> Result<StatusCode> {
    let (Parsed(group), Parsed(member)) = path;
    app::groups::remove_member(&cx, &group, &member).await?;
    Ok(StatusCode::NO_CONTENT)
}
