//! `/v1/directory`

use umail_api_types::{directory::Directory, operations::WaitQuery};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app,
    context::{Context, State},
    error::Result,
    http::{
        extract::{Json, Query},
        operations,
    },
};

pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(read_directory))
}

/// Read how far the nodes have followed the directory
///
/// Waits, if asked to, until every node that can be reached has applied all changes that were
/// there when the request came.
#[utoipa::path(get, path = "/v1/directory", tag = "directory", params(WaitQuery),
    responses((status = 200, description = "The directory and its followers", body = Directory)))]
async fn read_directory(cx: Context, Query(query): Query<WaitQuery>) -> Result<Json<Directory>> {
    Ok(Json(app::directory::read(&cx, operations::wait(query)?).await?))
}
