//! A database of its own for each test, in the cluster that `DATABASE_URL` names.

use std::str::FromStr;

use sqlx::{AssertSqlSafe, Connection, PgConnection, postgres::PgConnectOptions};
use umail_api::database::pool::Pool;
use uuid::Uuid;

/// Makes a migrated database and returns a pool that is, like the server, the role `umail_app`.
/// The database goes with the cluster, which is private to the test run.
///
/// # Panics
///
/// When there is no cluster: run the tests by `make test` or under `tests/with-database.sh`.
pub async fn create() -> Pool {
    let url = std::env::var("DATABASE_URL").expect("run under tests/with-database.sh");
    let template = PgConnectOptions::from_str(&url).expect("DATABASE_URL is a URL");
    let name = format!("test_{}", Uuid::new_v4().simple());
    let source = template.get_database().unwrap_or("umail").to_owned();
    let mut maintenance = PgConnection::connect_with(&template.clone().database("postgres"))
        .await
        .expect("the cluster runs");
    let sql = format!("CREATE DATABASE {name} TEMPLATE {source}");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut maintenance).await.expect("a database is made");
    // A clone has the epoch of its template.
    maintenance.close().await.expect("the connection closes");
    let options = template.database(&name).options([("role", "umail_app")]);
    let pool = Pool::new(options, 10);
    sqlx::raw_sql("UPDATE control_plane SET epoch = gen_random_uuid()")
        .execute(&pool)
        .await
        .expect("the database is migrated");
    pool
}
