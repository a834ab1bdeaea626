//! What nodes counted and carried, and what mailboxes take, as people ask for it.

use std::collections::BTreeMap;

use time::{Duration, OffsetDateTime};
use umail_api_types::traffic::{
    LoadMinute, LoadSeries, TimeQuery, Traffic, TrafficCount, TrafficKind, TrafficMinute, Usage,
};

use crate::{
    app::{nodes, users},
    authz::{Action, Resource},
    context::Context,
    error::{Error, Result},
    model::user::UserRef,
    store,
};

const LONGEST: Duration = Duration::days(7);
const DEFAULT: Duration = Duration::hours(1);

/// What a node, named by id or name, counted in a time.
pub async fn read(cx: &Context, node: &str, time: TimeQuery) -> Result<Traffic> {
    cx.authorize(Action::Read, Resource::Nodes)?;
    let (from, to) = range(cx, time)?;
    let node = nodes::find(cx.pool(), node).await?.id;
    let (mut minutes, mut totals) = (Vec::<TrafficMinute>::new(), BTreeMap::new());
    for count in store::traffic::list(cx.pool(), node, from, to).await? {
        // Kinds of a newer agent are kept, and shown by a newer server.
        let Some(kind) = kind(count.kind) else { continue };
        let messages = count.messages.cast_unsigned();
        let bytes = count.bytes.cast_unsigned();
        let total = totals.entry(kind).or_insert(TrafficCount { kind, messages: 0, bytes: 0 });
        total.messages += messages;
        total.bytes += bytes;
        let count_of_kind = TrafficCount { kind, messages, bytes };
        if minutes.last().is_none_or(|last| last.minute != count.minute) {
            minutes.push(TrafficMinute { minute: count.minute, counts: Vec::new() });
        }
        if let Some(last) = minutes.last_mut() {
            last.counts.push(count_of_kind);
        }
    }
    let missing = store::traffic::count_missing(cx.pool(), node, from, to).await?;
    Ok(Traffic {
        node_id: node,
        from,
        to,
        totals: totals.into_values().collect(),
        minutes,
        missing_reports: missing.cast_unsigned(),
    })
}

/// Load and queues of a node, named by id or name, in a time.
pub async fn read_load(cx: &Context, node: &str, time: TimeQuery) -> Result<LoadSeries> {
    cx.authorize(Action::Read, Resource::Nodes)?;
    let (from, to) = range(cx, time)?;
    let node = nodes::find(cx.pool(), node).await?.id;
    let rows = store::load::list(cx.pool(), node, from, to).await?;
    let shown = |row: store::load::Load| LoadMinute {
        minute: row.minute,
        load_1m: row.load_1m,
        memory_total_bytes: row.memory_total_bytes.cast_unsigned(),
        memory_available_bytes: row.memory_available_bytes.cast_unsigned(),
        disk_total_bytes: row.disk_total_bytes.cast_unsigned(),
        disk_available_bytes: row.disk_available_bytes.cast_unsigned(),
        queue_active: row.queue_active.cast_unsigned(),
        queue_deferred: row.queue_deferred.cast_unsigned(),
        queue_hold: row.queue_hold.cast_unsigned(),
        queue_incoming: row.queue_incoming.cast_unsigned(),
    };
    let minutes = rows.into_iter().map(shown).collect();
    Ok(LoadSeries { node_id: node, from, to, minutes })
}

/// What the mailbox of a user, named by id or address, takes.
pub async fn read_usage(cx: &Context, user: &UserRef) -> Result<Usage> {
    let found = users::find(cx, user, |scope| (Action::Read, Resource::User(scope))).await?;
    let user = found.id;
    let usage = store::usage::find(cx.pool(), user).await?;
    Ok(Usage {
        user_id: user,
        bytes: usage.map(|usage| usage.bytes.cast_unsigned()),
        messages: usage.map(|usage| usage.messages.cast_unsigned()),
        observed_at: usage.map(|usage| usage.observed_at),
    })
}

/// Whole minutes from the first one asked for.
fn range(cx: &Context, time: TimeQuery) -> Result<(OffsetDateTime, OffsetDateTime)> {
    // Seconds are left to those who send them: a report of this very second is there, too.
    let to = time.to.unwrap_or_else(|| cx.now() + Duration::seconds(1));
    let from = match time.from {
        Some(from) => from,
        None => to.checked_sub(DEFAULT).ok_or_else(|| Error::invalid("to", "is too early"))?,
    };
    if from >= to {
        return Err(Error::invalid("from", "must be before the end"));
    }
    if to - from > LONGEST {
        return Err(Error::invalid("from", "must be at most 7 days before the end"));
    }
    let seconds = Duration::seconds(i64::from(from.second()))
        + Duration::nanoseconds(i64::from(from.nanosecond()));
    Ok((from.checked_sub(seconds).unwrap_or(from), to))
}

fn kind(kind: i16) -> Option<TrafficKind> {
    use umail_proto::agent::TrafficKind as Sent;
    Some(match Sent::try_from(i32::from(kind)).ok()? {
        Sent::Unspecified => return None,
        Sent::Received => TrafficKind::Received,
        Sent::Submitted => TrafficKind::Submitted,
        Sent::Sent => TrafficKind::Sent,
        Sent::Deferred => TrafficKind::Deferred,
        Sent::Bounced => TrafficKind::Bounced,
        Sent::Rejected => TrafficKind::Rejected,
        Sent::Stored => TrafficKind::Stored,
        Sent::Pop3Session => TrafficKind::Pop3Session,
        Sent::ImapSession => TrafficKind::ImapSession,
        Sent::LoginFailed => TrafficKind::LoginFailed,
    })
}
