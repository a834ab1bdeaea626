//! Tells the audit what callers were refused, once it is known who calls.

use std::sync::{Arc, OnceLock};

use axum::http::{Extensions, Method, Uri};
use tracing::error;

use crate::{app::security_events, context::Context};

/// As much of a path as is kept: the caller may have made it up.
const MAX_PATH: usize = 256;

/// The caller of a request, for whoever sees what becomes of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Slot(Arc<OnceLock<Context>>);

impl Slot {
    /// Takes note of who calls.
    pub(super) fn fill(cx: &Context, extensions: &Extensions) {
        if let Some(slot) = extensions.get::<Self>() {
            slot.0.get_or_init(|| cx.clone());
        }
    }

    /// Records that the caller was refused this.
    pub(super) async fn record(&self, method: &Method, uri: &Uri, detail: &str) {
        let Some(cx) = self.0.get() else { return };
        let path: String = uri.path().chars().take(MAX_PATH).collect();
        let recorded = security_events::refused(cx, method.as_str(), &path, detail).await;
        if let Err(cause) = recorded {
            error!(%cause, "a refusal is not in the audit");
        }
    }
}
