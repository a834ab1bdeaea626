//! A compromised account: all that it can be used for ends at once, on every node.

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use umail_api_types::{
    operations::{Operation, OperationKind, OperationNode, OperationResult, OperationState},
    status::Status,
};
use umail_proto::{
    agent::{HoldMail, KickUser, RowKind, action::Verb},
    ids::{ActionId, NodeId, UserId},
};

use crate::{
    app::{
        actions,
        audit::{self, Subject, shown},
        directory,
        operations::{self, Effects},
        users,
    },
    authz::{Action, Resource},
    context::Context,
    error::{Error, Result},
    model::user::{User, UserRef},
    store::{self, node_status::Applied},
    transaction::Transaction,
};

const STEP: &str = "nodes";
/// How long a node may take to answer before it is asked again.
const PATIENCE: Duration = Duration::minutes(1);
/// How long after a failure it is asked again.
const PAUSE: Duration = Duration::seconds(10);

/// What has to be done, and where it has been.
#[derive(Debug, Serialize, Deserialize)]
struct Plan {
    user_id: UserId,
    /// The change after which nobody signs in, by its id in the log.
    change: i64,
    /// Its version, once it has one.
    version: Option<i64>,
    nodes: Vec<Place>,
}

/// A node that sessions or mail of the user may be on.
#[derive(Debug, Serialize, Deserialize)]
struct Place {
    node_id: NodeId,
    name: String,
    has_sessions: bool,
    has_queue: bool,
    turn: Turn,
    held_messages: u64,
    detail: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Turn {
    /// To be asked as soon as it has applied the change, and not before this time.
    Waiting(#[serde(with = "time::serde::rfc3339")] OffsetDateTime),
    /// Asked for this, until this time.
    Asked(Vec<ActionId>, #[serde(with = "time::serde::rfc3339")] OffsetDateTime),
    Done,
}

/// Locks a user, ends all sessions, and takes away the password and the app passwords; then has
/// every node end its sessions and hold what the user has queued.
pub async fn start(cx: &Context, user: &UserRef) -> Result<Operation> {
    cx.require_person()?;
    let asked = |scope| (Action::Update, Resource::User(scope));
    let id = users::find(cx, user, asked).await?.id;
    let kind = OperationKind::SecureAccount;
    let mut tx = cx.begin().await?;
    let before = users::lock(&mut tx, cx, id, asked).await?;
    // Whoever began it: the user is locked, so that nobody begins another.
    if store::operations::is_running_for(cx.state().pool(), kind.name(), id.uuid()).await? {
        return Err(Error::Conflict("the account is being secured already".to_owned()));
    }
    let change = shut(&mut tx, cx, &before).await?;
    let nodes = places(cx, &before).await?;
    let plan = Plan { user_id: id, change, version: None, nodes };
    let row = operations::new(cx, kind, STEP, json(&plan)?);
    store::operations::insert(&mut *tx, &row).await?;
    tx.commit().await?;
    cx.state().callers().forget();
    operations::tell(cx, &Effects { directory: true, ..Effects::default() });
    operations::shown(&row)
}

/// Locks the account and takes away what anybody could sign in with; returns the last change.
async fn shut(tx: &mut Transaction, cx: &Context, before: &User) -> Result<i64> {
    let mut user = before.clone();
    user.status = match before.status {
        Status::Active | Status::Maintenance => Status::Locked,
        other => other,
    };
    user.revision += 1;
    user.updated_at = cx.now();
    store::accounts::update(&mut **tx, before, &user).await?;
    store::sessions::revoke_of_owner(tx, user.id.uuid(), None, cx.now()).await?;
    store::api_keys::delete_of_user(&mut **tx, user.id).await?;
    let nodes = user.nodes();
    for credential in store::credentials::delete_all(&mut **tx, user.id).await? {
        let key = credential.uuid();
        store::changes::insert(&mut **tx, RowKind::Credential, key, Some(&nodes)).await?;
    }
    let key = user.id.uuid();
    store::changes::insert(&mut **tx, RowKind::User, key, Some(&nodes)).await?;
    let subject = Subject::of_user(&user, "compromised account", user.id);
    audit::record(tx, cx, Action::Update, subject, shown(before)?, shown(&user)?).await?;
    let change = store::changes::newest(&mut **tx, key).await?;
    change.ok_or_else(|| Error::internal("the change of a user is not in the log"))
}

async fn places(cx: &Context, user: &User) -> Result<Vec<Place>> {
    let mailboxes = user.nodes();
    let place = |node: Applied| Place {
        node_id: node.node_id,
        name: node.name,
        has_sessions: node.roles.iter().any(|role| role == "pop")
            || mailboxes.contains(&node.node_id),
        has_queue: node.roles.iter().any(|role| role == "smtp"),
        turn: Turn::Waiting(cx.now()),
        held_messages: 0,
        detail: "the directory has to arrive first".to_owned(),
    };
    // How far nodes are is nobody's in particular.
    let mut db = cx.state().pool().acquire().await?;
    let nodes = directory::applied(cx, &mut db).await?.into_iter().map(place);
    Ok(nodes.filter(|place| place.has_sessions || place.has_queue).collect())
}

/// Asks nodes that have come far enough, hears those that were asked, and ends when all are done.
pub async fn advance(
    cx: &Context,
    db: &mut PgConnection,
    row: &mut store::operations::Operation,
) -> Result<Effects> {
    let mut plan = read(row)?;
    let mut effects = Effects::default();
    if row.cancel_requested {
        for place in &plan.nodes {
            if let Turn::Asked(actions, _) = &place.turn {
                for id in actions {
                    store::actions::close(&mut *db, *id, cx.now()).await?;
                }
            }
        }
        operations::end(row, OperationState::Cancelled, None, None)?;
        return Ok(Effects { is_progress: true, ..effects });
    }
    if plan.version.is_none() {
        plan.version = store::changes::version(&mut *db, plan.change).await?;
        effects.is_progress = plan.version.is_some();
    }
    if let Some(version) = plan.version {
        let nodes = directory::applied(cx, &mut *db).await?;
        for place in &mut plan.nodes {
            let node = nodes.iter().find(|node| node.node_id == place.node_id);
            let has_applied = node.map(|node| node.version >= version);
            let mut look =
                Look { cx, db: &mut *db, row, user: plan.user_id, effects: &mut effects };
            look.at(place, has_applied).await?;
        }
    }
    row.input = json(&plan)?;
    if plan.nodes.iter().all(|place| place.turn == Turn::Done) {
        let messages = plan.nodes.iter().map(|place| place.held_messages).sum();
        let result = OperationResult { messages: Some(messages), ..OperationResult::default() };
        operations::end(row, OperationState::Succeeded, None, Some(result))?;
        effects.is_progress = true;
    }
    Ok(effects)
}

/// One look at one node.
struct Look<'a> {
    cx: &'a Context,
    db: &'a mut PgConnection,
    row: &'a store::operations::Operation,
    user: UserId,
    effects: &'a mut Effects,
}

impl Look<'_> {
    /// `has_applied` says whether the node has the change; nothing when there is no such node.
    async fn at(&mut self, place: &mut Place, has_applied: Option<bool>) -> Result<()> {
        let now = self.cx.now();
        match (&place.turn, has_applied) {
            (Turn::Done, _) => Ok(()),
            (_, None) => {
                place.turn = Turn::Done;
                self.say(place, "the node is gone");
                Ok(())
            }
            (Turn::Waiting(after), Some(true)) if now >= *after => self.ask(place, now).await,
            (Turn::Waiting(_), _) => Ok(()),
            (Turn::Asked(actions, until), _) => {
                let answers = operations::answers(self.db, actions, *until, now).await?;
                match answers {
                    None => {}
                    Some(Ok(findings)) => {
                        place.turn = Turn::Done;
                        place.held_messages += findings.iter().map(|one| one.messages).sum::<u64>();
                        self.say(place, "");
                    }
                    Some(Err(reason)) => {
                        place.turn = Turn::Waiting(now + PAUSE);
                        self.say(place, &reason);
                    }
                }
                Ok(())
            }
        }
    }

    async fn ask(&mut self, place: &mut Place, now: OffsetDateTime) -> Result<()> {
        let user_id = self.user.to_string();
        let kick =
            place.has_sessions.then(|| Verb::KickUser(KickUser { user_id: user_id.clone() }));
        let hold = place.has_queue.then_some(Verb::HoldMail(HoldMail { user_id }));
        let mut ids = Vec::new();
        for verb in kick.into_iter().chain(hold) {
            let ask = (place.node_id, verb);
            ids.push(actions::issue(self.db, ask, Some(self.row.id), PATIENCE, now).await?);
        }
        self.effects.asked.insert(place.node_id);
        place.turn = Turn::Asked(ids, now + PATIENCE);
        self.say(place, "the node has to answer");
        Ok(())
    }

    fn say(&mut self, place: &mut Place, detail: &str) {
        detail.clone_into(&mut place.detail);
        self.effects.is_progress = true;
    }
}

/// How far the operation is on each node.
pub fn nodes(row: &store::operations::Operation) -> Result<Vec<OperationNode>> {
    let node = |place: Place| OperationNode {
        node_id: place.node_id,
        name: place.name,
        done: place.turn == Turn::Done,
        held_messages: place.held_messages,
        detail: place.detail,
    };
    Ok(read(row)?.nodes.into_iter().map(node).collect())
}

fn read(row: &store::operations::Operation) -> Result<Plan> {
    serde_json::from_value(row.input.clone())
        .map_err(|cause| Error::corrupt("operation", row.id, cause))
}

fn json(plan: &Plan) -> Result<serde_json::Value> {
    serde_json::to_value(plan).map_err(Error::internal)
}
