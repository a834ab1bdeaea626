//! A database of its own for each test, in the cluster that `DATABASE_URL` names.

use std::str::FromStr;

use sqlx::{
    AssertSqlSafe, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use uuid::Uuid;

/// Makes a migrated database and returns a pool that is, like the server, the role `umail_app`.
/// The database goes with the cluster, which is private to the test run.
///
/// # Panics
///
/// When there is no cluster: run the tests by `make test` or under `tests/with-database.sh`.
pub async fn create() -> PgPool {
    let url = std::env::var("DATABASE_URL").expect("run under tests/with-database.sh");
    let template = PgConnectOptions::from_str(&url).expect("DATABASE_URL is a URL");
    let name = format!("test_{}", Uuid::new_v4().simple());
    let source = template.get_database().unwrap_or("umail").to_owned();
    let maintenance = PgPool::connect_with(template.clone().database("postgres"))
        .await
        .expect("the cluster runs");
    let sql = format!("CREATE DATABASE {name} TEMPLATE {source}");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&maintenance).await.expect("a database is made");
    // A clone has the epoch of its template.
    maintenance.close().await;
    let pool = PgPoolOptions::new()
        .max_connections(10)
        .after_connect(|connection, _| {
            Box::pin(async move {
                sqlx::raw_sql("SET ROLE umail_app").execute(connection).await.map(|_| ())
            })
        })
        .connect_with(template.database(&name))
        .await
        .expect("the new database answers");
    sqlx::raw_sql("UPDATE control_plane SET epoch = gen_random_uuid()")
        .execute(&pool)
        .await
        .expect("the database is migrated");
    pool
}
