//! What a statement costs, as the database counts it: blocks that it looks at. Unlike time that is the
//! same on every machine.

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use umail_api::database::pool::{Pool, Reach};

/// Connects like the server for a user, whom row-level security narrows to this.
///
/// # Panics
///
/// When the database is away.
pub async fn tenant(pool: &Pool, reach: &Reach) -> PgConnection {
    let options = pool.connect_options().clone().options([("role", "umail_tenant")]);
    let mut connection = PgConnection::connect_with(&options).await.expect("the database is there");
    let set = |name: &str, value: &str| format!("set_config('umail.{name}', '{value}', false)");
    let sql = format!(
        "SELECT {}, {}, {}, {}",
        set("user", &reach.user),
        set("domains", &reach.domains),
        set("departments", &reach.departments),
        set("homes", &reach.homes),
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.expect("reach is set");
    connection
}

/// Blocks that a statement looks at once its plans are made.
///
/// # Panics
///
/// When the statement fails.
pub async fn blocks(connection: &mut PgConnection, sql: &str) -> i64 {
    let explain = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}");
    let mut last = 0;
    for _time in 0..3 {
        let row = sqlx::raw_sql(AssertSqlSafe(explain.clone())).fetch_one(&mut *connection).await;
        let row = row.map_err(|cause| format!("{sql}: {cause}")).expect("the statement succeeds");
        let text: String = row.try_get_unchecked(0).expect("a plan");
        let plan: Value = serde_json::from_str(&text).expect("a plan is JSON");
        let plan = plan.pointer("/0/Plan").expect("a plan has a root");
        let count = |field| plan.get(field).and_then(Value::as_i64).expect("blocks are counted");
        last = count("Shared Hit Blocks") + count("Shared Read Blocks");
    }
    last
}
