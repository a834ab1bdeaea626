//! What nodes report: where they stand, what they carry, what they counted.

use std::{collections::BTreeMap, net::IpAddr};

use prost::Message;
use time::{Duration, OffsetDateTime};
use umail_proto::{
    agent::{AcceptedReports, ObservedState, TrafficKind, TrafficReport},
    ids::NodeId,
};
use uuid::Uuid;

use crate::{
    app::fields,
    context::State,
    error::{Error, Result},
    model::credential::AppPasswordUse,
    store::{
        self,
        load::Load,
        node_status::Report,
        traffic::{self, Count},
        usage::Usage,
    },
};

/// Reports that one call may hand over.
const AT_ONCE: usize = 500;
/// How far the clock of a node may be ahead before its reports are dated by ours.
const AHEAD: Duration = Duration::minutes(5);
/// Agents keep what they counted for 31 days.
const BEHIND: Duration = Duration::days(32);

/// Refuses the second of two agents that show one certificate, and notes that there was one.
pub async fn claim(state: &State, node: NodeId, link: u64, boot: &str) -> Result<()> {
    fields::one("boot", boot.parse::<Uuid>().map_err(|cause| cause.to_string()))?;
    let now = state.clock().now();
    if state.fleet().links().claim(node, link, boot, now) {
        return Ok(());
    }
    tracing::warn!(node.id = %node, "a second agent shows the certificate of a node");
    metrics::counter!("umail_api_rival_agents_total").increment(1);
    store::node_status::note_rival(state.pool(), node, now).await?;
    let reason = "speak for a node whose agent is connected: revoke the node if this is unexpected";
    Err(Error::Forbidden(reason.to_owned()))
}

/// Takes a heartbeat of an agent that may speak for its node; true asks for a report in full.
pub fn beat(state: &State, node: NodeId, boot: &str, version: u64) -> Result<bool> {
    let version = number(version)?;
    let (in_full, is_news) =
        state.fleet().liveness().beat(node, state.clock().now(), boot, version);
    if is_news {
        state.fleet().progressed();
    }
    Ok(in_full)
}

/// Takes a report of what a node is. One that was overtaken changes nothing.
pub async fn status(state: &State, node: NodeId, observed: &ObservedState) -> Result<()> {
    let now = state.clock().now();
    let report = Report {
        boot: observed.boot.clone(),
        sequence: number(observed.sequence)?,
        agent_version: observed.agent_version.clone(),
        epoch: observed.epoch.clone(),
        accepted_generation: number(observed.accepted_generation)?,
        applied_generation: number(observed.applied_generation)?,
        directory_version: number(observed.directory_version)?,
        refusal: observed.refusal.clone(),
        observed: observed.encode_to_vec(),
    };
    let mut tx = state.pool().begin().await?;
    if store::node_status::upsert(&mut *tx, node, &report, now).await? {
        if let Some(load) = load(observed, now)? {
            store::load::upsert(&mut *tx, node, &load).await?;
        }
        tx.commit().await?;
    }
    let epoch = observed.epoch.parse().ok();
    let version = report.directory_version;
    state.fleet().liveness().report(node, now, &observed.boot, epoch, version);
    state.fleet().progressed();
    Ok(())
}

/// Takes reports of what a node counted, each once however often it is sent. Returns up to where
/// those of each start are committed.
pub async fn traffic(
    state: &State,
    node: NodeId,
    reports: &[TrafficReport],
) -> Result<Vec<AcceptedReports>> {
    if reports.len() > AT_ONCE {
        return Err(Error::invalid("reports", format!("has more than {AT_ONCE} reports")));
    }
    let now = state.clock().now();
    let keys = reports.iter().map(|report| key(report, now)).collect::<Result<Vec<_>>>()?;
    let mut tx = state.pool().begin().await?;
    let mut fresh: Vec<_> = traffic::insert_reports(&mut *tx, node, &keys).await?;
    let (mut sums, mut usages, mut uses) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for (report, key) in reports.iter().zip(&keys) {
        // Taken out, so that a report that is in the list twice counts once.
        let Some(place) = fresh.iter().position(|one| *one == (key.boot, key.sequence)) else {
            continue;
        };
        fresh.swap_remove(place);
        add(report, key.ended_at, &mut sums, &mut usages)?;
        for one in &report.app_password_uses {
            let (id, used) = app_password_use(one, now)?;
            uses.insert(id, used);
        }
    }
    let counts: Vec<_> = sums
        .into_iter()
        .map(|((minute, kind), (messages, bytes))| Count { minute, kind, messages, bytes })
        .collect();
    traffic::add(&mut *tx, node, &counts).await?;
    let usages: Vec<_> = usages.into_iter().collect();
    store::usage::upsert(&mut *tx, node, &usages).await?;
    if !uses.is_empty() {
        let uses: Vec<_> = uses.into_iter().collect();
        store::credentials::note_uses(&mut *tx, node, &uses).await?;
    }
    tx.commit().await?;
    let mut accepted: BTreeMap<Uuid, i64> = BTreeMap::new();
    for key in keys {
        let last = accepted.entry(key.boot).or_default();
        *last = key.sequence.max(*last);
    }
    let accepted = accepted.into_iter().map(|(boot, sequence)| AcceptedReports {
        boot: boot.to_string(),
        sequence: sequence.cast_unsigned(),
    });
    Ok(accepted.collect())
}

type Sums = BTreeMap<(OffsetDateTime, i16), (i64, i64)>;

fn add(
    report: &TrafficReport,
    at: OffsetDateTime,
    sums: &mut Sums,
    usages: &mut BTreeMap<Uuid, Usage>,
) -> Result<()> {
    for count in &report.counts {
        // One that a later agent counts is not ours to keep.
        let Ok(kind) = TrafficKind::try_from(count.kind) else { continue };
        if kind == TrafficKind::Unspecified {
            return Err(Error::invalid("reports", "has a count of no kind"));
        }
        let kind = i16::try_from(count.kind).map_err(Error::internal)?;
        let sum = sums.entry((minute(at), kind)).or_default();
        let add = |to: i64, more: u64| Ok::<_, Error>(to.saturating_add(number(more)?));
        *sum = (add(sum.0, count.messages)?, add(sum.1, count.bytes)?);
    }
    for usage in &report.usage {
        let user = usage.user_id.parse().map_err(|cause| {
            Error::invalid("reports", format!("has usage of {:?}: {cause}", usage.user_id))
        })?;
        let (bytes, messages) = (number(usage.bytes)?, number(usage.messages)?);
        usages.insert(user, Usage { bytes, messages, observed_at: at });
    }
    Ok(())
}

fn app_password_use(
    one: &umail_proto::agent::AppPasswordUse,
    now: OffsetDateTime,
) -> Result<(Uuid, AppPasswordUse)> {
    let bad =
        |what: &str| Error::invalid("reports", format!("has a use of an app password {what}"));
    let id = one.credential_id.parse().map_err(|_not_an_id| bad("without an id"))?;
    let used_at = dated(one.used_at.as_ref(), now).ok_or_else(|| bad("without its time"))?;
    let client_address: Option<IpAddr> = one.client_address.parse().ok();
    let client_address = client_address.map(|address| address.to_string());
    Ok((id, AppPasswordUse { used_at, client_address }))
}

/// A time that a node tells, no later than its clock may be ahead of ours, and no earlier than it may
/// have kept what it counted.
fn dated(time: Option<&prost_types::Timestamp>, now: OffsetDateTime) -> Option<OffsetDateTime> {
    let time = OffsetDateTime::from_unix_timestamp(time?.seconds).ok()?;
    Some(if time > now + AHEAD { now } else { time.max(now - BEHIND) })
}

fn key(report: &TrafficReport, now: OffsetDateTime) -> Result<traffic::Report> {
    let bad = |what: &str| Error::invalid("reports", format!("has a report without {what}"));
    let boot = report.boot.parse().ok().ok_or_else(|| bad("a boot"))?;
    if report.sequence == 0 {
        return Err(bad("a sequence"));
    }
    let time = |time: &Option<prost_types::Timestamp>| {
        dated(time.as_ref(), now).ok_or_else(|| bad("its times"))
    };
    Ok(traffic::Report {
        boot,
        sequence: number(report.sequence)?,
        started_at: time(&report.started_at)?,
        ended_at: time(&report.ended_at)?,
    })
}

fn load(observed: &ObservedState, now: OffsetDateTime) -> Result<Option<Load>> {
    let Some(load) = &observed.load else { return Ok(None) };
    let queue = observed.queue.unwrap_or_default();
    Ok(Some(Load {
        minute: minute(now),
        load_1m: if load.load_1m.is_finite() { load.load_1m } else { 0.0 },
        memory_total_bytes: number(load.memory_total_bytes)?,
        memory_available_bytes: number(load.memory_available_bytes)?,
        disk_total_bytes: number(load.disk_total_bytes)?,
        disk_available_bytes: number(load.disk_available_bytes)?,
        queue_active: number(queue.active)?,
        queue_deferred: number(queue.deferred)?,
        queue_hold: number(queue.hold)?,
        queue_incoming: number(queue.incoming)?,
    }))
}

fn minute(time: OffsetDateTime) -> OffsetDateTime {
    time - Duration::seconds(time.unix_timestamp().rem_euclid(60))
        - Duration::nanoseconds(time.nanosecond().into())
}

/// A count as the database keeps it. One that does not fit is a lie.
fn number(count: u64) -> Result<i64> {
    i64::try_from(count).map_err(|cause| Error::invalid("count", cause.to_string()))
}
