//! `umail-api serve`: everything, until it is told to stop.

use umail_proto::clock::Clock;

use crate::{
    config::Config,
    context::{State, Terms},
    database::Database,
    error::Result,
    sealer::Sealer,
    server, telemetry,
};

pub(super) async fn run(config: &Config) -> Result<()> {
    let signals = server::Signals::listen()?;
    telemetry::start_logging(&config.log)?;
    let metrics = telemetry::start_metrics()?;
    let listeners = server::Listeners::bind(config).await?;
    let database = Database::open(config).await?;
    let prepared = async {
        database.migrate().await?;
        let sealer = Sealer::open_or_create(&config.key_file)?;
        let pool = database.pool(config.database.max_connections);
        let terms = Terms {
            rate: config.http.requests_per_minute,
            operators_need_totp: config.authn.operators_need_totp,
            proxies: config.http.proxies.clone(),
            import_bytes: config.imports.max_bytes,
        };
        State::under(pool, Clock::system(), sealer, terms).await
    };
    match prepared.await {
        Ok(state) => server::run(state, listeners, metrics, database.into_cluster(), signals).await,
        Err(error) => {
            database.close().await;
            Err(error)
        }
    }
}
