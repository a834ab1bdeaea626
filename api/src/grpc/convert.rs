//! Fields of messages as types of ours, or a refusal that names the field.

use tonic::{Request, Status};
use umail_proto::{
    agent::{ActionOutcome, ReportActionRequest, WatchDirectoryRequest},
    ids::{ActionId, NodeId},
};
use uuid::Uuid;

use crate::{
    error::{Error, Result},
    fleet::feed::{Cursor, Position},
    grpc::identity,
    store::actions::Answer,
};

/// Longest text that a node may send about an action.
const DETAIL: usize = 4_096;

/// The node that calls; the certificate was looked at before.
pub(super) fn caller<T>(request: &Request<T>) -> Result<NodeId, Status> {
    let node = request.extensions().get().copied();
    node.ok_or_else(|| Status::unauthenticated("a node certificate is required"))
}

/// The connection that a request of a node came by.
pub(super) fn link<T>(request: &Request<T>) -> Result<u64, Status> {
    identity::peer(request)?.link.ok_or_else(|| Status::internal("the connection has no number"))
}

/// Where a replica stands; `None` when there is none.
pub(super) fn position(request: &WatchDirectoryRequest) -> Result<Option<Position>> {
    if request.epoch.is_empty() {
        return Ok(None);
    }
    let epoch = id("epoch", &request.epoch)?;
    let version = i64::try_from(request.version)
        .map_err(|cause| Error::invalid("version", cause.to_string()))?;
    Ok(Some(Position { epoch, version }))
}

/// What a node answered to which action.
pub(super) fn answer(request: ReportActionRequest) -> Result<(ActionId, Answer)> {
    let outcome = request.outcome();
    if outcome == ActionOutcome::Unspecified {
        return Err(Error::invalid("outcome", "is not one that there is"));
    }
    let mut detail = request.detail.replace('\0', "");
    if let Some((end, _)) = detail.char_indices().nth(DETAIL) {
        detail.truncate(end);
    }
    let findings = request.findings.unwrap_or_default();
    Ok((id("action_id", &request.action_id)?.into(), Answer { outcome, detail, findings }))
}

/// Where the next page begins; at the start when the token is empty.
pub(super) fn cursor(token: &str) -> Result<Cursor> {
    if token.is_empty() {
        return Ok(Cursor::START);
    }
    let parts = token.split_once(':');
    let cursor = parts
        .and_then(|(kind, key)| Some(Cursor { kind: kind.parse().ok()?, key: key.parse().ok()? }));
    cursor.ok_or_else(|| Error::invalid("page_token", "is not one of this list"))
}

/// What asks for the page that begins there.
pub(super) fn page_token(cursor: Cursor) -> String {
    format!("{}:{}", cursor.kind, cursor.key)
}

fn id(field: &str, text: &str) -> Result<Uuid> {
    text.parse().map_err(|cause: uuid::Error| Error::invalid(field, cause.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_token_reads_back() {
        let cursor = Cursor { kind: 3, key: Uuid::max() };
        assert_eq!(cursor_of(&page_token(cursor)), Some(cursor));
        assert_eq!(cursor_of(""), Some(Cursor::START));
        for bad in ["x", "1:", ":", "-1:0", "1;2"] {
            assert_eq!(cursor_of(bad), None, "{bad}");
        }
    }

    fn cursor_of(token: &str) -> Option<Cursor> {
        cursor(token).ok()
    }

    #[test]
    fn a_replica_without_an_epoch_stands_nowhere() {
        let mut request = WatchDirectoryRequest { version: 7, ..WatchDirectoryRequest::default() };
        assert_eq!(position(&request).unwrap(), None);
        request.epoch = Uuid::max().to_string();
        assert_eq!(position(&request).unwrap().unwrap().version, 7);
        request.version = u64::MAX;
        assert!(position(&request).is_err());
    }

    #[test]
    fn an_answer_is_cut_to_a_bound_and_cleaned() {
        let request = ReportActionRequest {
            action_id: Uuid::max().to_string(),
            outcome: ActionOutcome::Failed.into(),
            detail: format!("\0{}", "ä".repeat(5_000)),
            findings: None,
        };
        let (_, answer) = answer(request).unwrap();
        assert_eq!(answer.detail.chars().count(), DETAIL);
        assert!(!answer.detail.contains('\0'));
    }
}
