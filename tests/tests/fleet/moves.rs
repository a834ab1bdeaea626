//! Mailbox moves: against scripted agents over mutual TLS, and step by step across crashes.

use std::sync::{Arc, Mutex};

use reqwest::StatusCode;
use serde_json::json;
use time::Duration;
use umail_api::{
    app,
    context::{Context, State},
    database::pool::Pool,
    sealer::Sealer,
    store::{self, actions::Answer, placements::Placement},
};
use umail_api_types::operations::{Operation, OperationState};
use umail_proto::{
    agent::{Action, ActionFindings, ActionOutcome, action::Verb},
    clock::Clock,
    ids::{NodeId, OperationId},
};
use umail_tests::{
    agents::{Agent, Replica, Server},
    database,
};
use uuid::Uuid;

use crate::fixture::{domain, node, now, sequence, user};

/// The word for a verb.
fn word(action: &Action) -> &'static str {
    match action.verb.as_ref().unwrap() {
        Verb::FlushQueue(_) => "flush",
        Verb::HoldMail(_) => "hold",
        Verb::PrepareMove(_) => "prepare",
        Verb::CopyMailbox(_) => "copy",
        Verb::FreezeMailbox(_) => "freeze",
        Verb::VerifyMailbox(_) => "verify",
        Verb::ReleaseMailbox(_) => "release",
        Verb::RemoveMailbox(_) => "remove",
        Verb::KickUser(_) => "kick",
        Verb::PurgeMailbox(_) => "purge",
    }
}

fn words(asked: &Mutex<Vec<Action>>) -> Vec<&'static str> {
    asked.lock().unwrap().iter().map(word).collect()
}

fn content() -> ActionFindings {
    ActionFindings { messages: 3, digest: vec![7; 32], bytes: 300 }
}

struct Fleet {
    server: Server,
    smtp: Agent,
    source: Agent,
    destination: Agent,
    user: String,
}

async fn fleet() -> Fleet {
    let server = Server::start().await;
    let smtp = server.agent("smtp-1", &["smtp"]).await;
    let source = server.agent("storage-1", &["storage"]).await;
    let destination = server.agent("storage-2", &["storage"]).await;
    let example = domain(server.api.state.pool(), "example.com").await;
    let (user, _) = user(server.api.state.pool(), example, "alice", source.id).await;
    for agent in [&smtp, &source, &destination] {
        agent.follow().await;
        agent.until(|replica| replica.snapshots == 1).await;
    }
    let user = user.to_string();
    source.until(|replica| replica.user(&user).is_some()).await;
    Fleet { server, smtp, source, destination, user }
}

impl Fleet {
    async fn start(&self) -> String {
        let path = "/v1/users/alice@example.com/moves";
        let answer = self.server.api.post(path, json!({"storage_node": "storage-2"})).await;
        let answer = answer.is(StatusCode::ACCEPTED);
        assert_eq!(answer.headers["location"], format!("/v1/operations/{}", answer.id()));
        answer.id()
    }

    async fn end(&self, id: &str) -> serde_json::Value {
        let path = format!("/v1/operations/{id}?wait_seconds=30");
        self.server.api.get(path).await.is(StatusCode::OK).body
    }
}

#[tokio::test]
async fn a_mailbox_moves_in_the_proven_order() {
    let fleet = fleet().await;
    let user = fleet.user.clone();
    let (destination, source) = (fleet.destination.id, fleet.source.id);
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let (tell, whose) = (Arc::clone(&told), user.clone());
    let on_source = move |verb: &Verb, replica: &Replica| {
        let row = replica.user(&whose).unwrap();
        let mut told = tell.lock().unwrap();
        match verb {
            Verb::FreezeMailbox(_) => told.push(format!("moving {}", row.moving)),
            Verb::RemoveMailbox(_) => told.push(format!("at {}", row.storage_node_id)),
            _ => {}
        }
        (ActionOutcome::Done, content())
    };
    let whose = user.clone();
    let on_destination = move |_: &Verb, replica: &Replica| {
        assert!(replica.user(&whose).is_some());
        (ActionOutcome::Done, content())
    };
    let source_asked = fleet.source.obey(Arc::new(on_source)).await;
    let destination_asked = fleet.destination.obey(Arc::new(on_destination)).await;
    let on_smtp = |_: &Verb, _: &Replica| (ActionOutcome::Done, ActionFindings::default());
    let smtp_asked = fleet.smtp.obey(Arc::new(on_smtp)).await;

    let id = fleet.start().await;
    let end = fleet.end(&id).await;
    assert_eq!(end["state"], "succeeded", "{end:#}");
    assert_eq!(end["result"], json!({"messages": 3, "bytes": 300, "left_undone": []}));
    assert_eq!(
        words(&source_asked),
        ["copy", "copy", "freeze", "copy", "verify", "release", "remove"]
    );
    assert_eq!(words(&destination_asked), ["prepare", "verify", "release"]);
    assert_eq!(words(&smtp_asked), ["flush"]);
    assert_eq!(*told.lock().unwrap(), ["moving true".to_owned(), format!("at {destination}")]);
    for agent in [&fleet.smtp, &fleet.source, &fleet.destination] {
        let replica = agent.replica();
        let row = replica.user(&user).unwrap();
        assert_eq!((row.storage_node_id.clone(), row.moving), (destination.to_string(), false));
    }
    assert_ne!(source, destination);
    let path = "/v1/users/alice@example.com/moves";
    let again = fleet.server.api.post(path, json!({"storage_node": "storage-2"})).await;
    again.is_problem(StatusCode::CONFLICT);
    fleet.server.stop().await;
}

#[tokio::test]
async fn copies_that_differ_leave_the_user_where_it_was() {
    let fleet = fleet().await;
    let done = |_: &Verb, _: &Replica| (ActionOutcome::Done, content());
    let other =
        |_: &Verb, _: &Replica| (ActionOutcome::Done, ActionFindings { messages: 2, ..content() });
    let source_asked = fleet.source.obey(Arc::new(done)).await;
    fleet.destination.obey(Arc::new(other)).await;
    fleet.smtp.obey(Arc::new(done)).await;
    let id = fleet.start().await;
    let end = fleet.end(&id).await;
    assert_eq!(end["state"], "failed", "{end:#}");
    assert!(end["error"].as_str().unwrap().contains("differ"), "{end:#}");
    let asked = words(&source_asked);
    assert_eq!(asked.last(), Some(&"release"));
    assert!(!asked.contains(&"remove"));
    let source = fleet.source.id.to_string();
    let user = fleet.user.clone();
    for agent in [&fleet.smtp, &fleet.source] {
        let is_back = |replica: &Replica| {
            replica.user(&user).is_some_and(|row| row.storage_node_id == source && !row.moving)
        };
        agent.until(is_back).await;
    }
    fleet.destination.until(|replica| replica.user(&user).is_none()).await;
    fleet.server.stop().await;
}

#[tokio::test]
async fn a_cancelled_move_is_undone() {
    let fleet = fleet().await;
    let done = |_: &Verb, _: &Replica| (ActionOutcome::Done, content());
    fleet.destination.obey(Arc::new(done)).await;
    // The source is not there: the move waits for its first copy.
    let id = fleet.start().await;
    let path = format!("/v1/operations/{id}");
    for _ in 0..200 {
        if fleet.server.api.get(&path).await.body["step"] == "copy_first" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let again = "/v1/users/alice@example.com/moves";
    let body = json!({"storage_node": "storage-2"});
    fleet.server.api.post(again, body).await.is_problem(StatusCode::CONFLICT);
    let cancel = fleet.server.api.post(format!("{path}/cancel"), json!(null)).await;
    assert_eq!(cancel.is(StatusCode::ACCEPTED).body["cancel_requested"], true);
    let asked = fleet.source.obey(Arc::new(done)).await;
    let end = fleet.end(&id).await;
    assert_eq!(end["state"], "cancelled", "{end:#}");
    // Whether it still saw the copy that is taken back is a matter of luck.
    let asked = words(&asked);
    assert_eq!(asked.last(), Some(&"release"));
    assert!(!asked.contains(&"freeze") && !asked.contains(&"remove"));
    fleet
        .server
        .api
        .post(format!("{path}/cancel"), json!(null))
        .await
        .is_problem(StatusCode::CONFLICT);
    fleet.server.stop().await;
}

/// A control plane that is started anew for every look at the operation.
struct Crashing {
    pool: Pool,
    clock: Clock,
    smtp: NodeId,
    source: NodeId,
    destination: NodeId,
    user: Uuid,
    operation: OperationId,
    asked: Vec<(NodeId, &'static str)>,
}

impl Crashing {
    async fn start() -> Self {
        let pool = database::create().await;
        let clock = Clock::manual(now());
        let smtp = node(&pool, "smtp-1", "smtp").await;
        let source = node(&pool, "storage-1", "storage").await;
        let destination = node(&pool, "storage-2", "storage").await;
        let example = domain(&pool, "example.com").await;
        let (user, _) = user(&pool, example, "alice", source).await;
        let operation = OperationId::from(Uuid::nil());
        let asked = Vec::new();
        let mut world = Self { pool, clock, smtp, source, destination, user, operation, asked };
        let cx = world.cx().await;
        let alice = "alice@example.com".parse().unwrap();
        let begun = app::moves::start(&cx, &alice, "storage-2").await.unwrap();
        world.operation = begun.id;
        world
    }

    /// A server that has just started: whatever was in memory is gone.
    async fn cx(&self) -> Context {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let sealer = Sealer::new(&[7; 32]).unwrap();
        let state = State::new(self.pool.clone(), self.clock.clone(), sealer).await.unwrap();
        Context::system(state)
    }

    /// All nodes apply what there is and are heard of.
    async fn apply(&self, cx: &Context) {
        sequence(&self.pool).await;
        let mark = store::changes::watermark(&self.pool).await.unwrap();
        for node in [self.smtp, self.source, self.destination] {
            let (live, now) = (cx.state().fleet().liveness(), self.clock.now());
            live.report(node, now, "boot", Some(mark.epoch), mark.version);
        }
    }

    /// The nodes do whatever they are asked.
    async fn answer(&mut self, cx: &Context) {
        for node in [self.smtp, self.source, self.destination] {
            for action in app::actions::list_open(cx.state(), node).await.unwrap() {
                self.asked.push((node, word(&action)));
                let answer = Answer {
                    outcome: ActionOutcome::Done,
                    detail: String::new(),
                    findings: content(),
                };
                let id = action.action_id.parse().unwrap();
                app::actions::answer(cx.state(), node, id, &answer).await.unwrap();
            }
        }
    }

    /// Begins the next step and dies before the commit.
    async fn die(&self, cx: &Context) {
        let mut tx = cx.begin().await.unwrap();
        let row = store::operations::lock_running(&mut *tx, self.operation).await.unwrap();
        if let Some(mut row) = row {
            app::moves::advance(cx, &mut tx, &mut row).await.unwrap();
            store::operations::update(&mut *tx, &row).await.unwrap();
        }
    }

    async fn look(&self) -> Operation {
        let row = store::operations::find(&self.pool, self.operation).await.unwrap().unwrap();
        app::operations::shown(&row).unwrap()
    }

    async fn placement(&self) -> Placement {
        store::placements::lock(&self.pool, self.user.into()).await.unwrap().unwrap()
    }

    fn count(&self, node: NodeId, verb: &str) -> usize {
        self.asked.iter().filter(|asked| **asked == (node, verb)).count()
    }
}

#[tokio::test]
async fn a_move_survives_a_crash_at_every_step() {
    let mut world = Crashing::start().await;
    for _ in 0..60 {
        let cx = world.cx().await;
        world.apply(&cx).await;
        let before = world.placement().await;
        world.die(&cx).await;
        assert_eq!(world.placement().await, before);
        app::operations::carry_on(&cx, world.operation).await.unwrap();
        world.answer(&cx).await;
        if world.look().await.state != OperationState::Running {
            break;
        }
    }
    let end = world.look().await;
    assert_eq!(end.state, OperationState::Succeeded, "{end:?}");
    let (source, destination) = (world.source, world.destination);
    let expected =
        Placement { storage: Some(destination), companion: Some(source), is_moving: false };
    assert_eq!(world.placement().await, expected);
    // What was begun and lost with its transaction was never asked of anybody.
    assert_eq!(world.count(source, "copy"), 3);
    for (node, verb) in [
        (destination, "prepare"),
        (source, "freeze"),
        (source, "verify"),
        (destination, "verify"),
        (source, "release"),
        (world.smtp, "flush"),
        (source, "remove"),
        (destination, "release"),
    ] {
        assert_eq!(world.count(node, verb), 1, "{verb}: {:?}", world.asked);
    }
}

#[tokio::test]
async fn a_node_that_never_answers_ends_the_move_and_nothing_is_asked_late() {
    let mut world = Crashing::start().await;
    for _ in 0..40 {
        let cx = world.cx().await;
        world.apply(&cx).await;
        app::operations::carry_on(&cx, world.operation).await.unwrap();
        match world.look().await.step.as_deref() {
            // Silence.
            Some("freeze") => world.clock.advance(Duration::minutes(2)),
            Some(_) => world.answer(&cx).await,
            None => break,
        }
    }
    let end = world.look().await;
    assert_eq!(end.state, OperationState::Failed, "{end:?}");
    assert!(end.error.unwrap().contains("freeze: a node did not answer in time"));
    let back = Placement { storage: Some(world.source), companion: None, is_moving: false };
    assert_eq!(world.placement().await, back);
    assert_eq!(world.count(world.source, "freeze"), 0);
    assert_eq!(world.count(world.source, "release"), 1);
    let cx = world.cx().await;
    assert!(app::actions::list_open(cx.state(), world.source).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_restored_database_asks_again_in_its_own_name() {
    let mut world = Crashing::start().await;
    let cx = world.cx().await;
    world.apply(&cx).await;
    app::operations::carry_on(&cx, world.operation).await.unwrap();
    world.apply(&cx).await;
    app::operations::carry_on(&cx, world.operation).await.unwrap();
    let open = async |world: &Crashing, cx: &Context| {
        app::actions::list_open(cx.state(), world.destination).await.unwrap()
    };
    let first = open(&world, &cx).await;
    assert_eq!(first.len(), 1);
    crate::fixture::run(&world.pool, "UPDATE control_plane SET epoch = gen_random_uuid()").await;
    let cx = world.cx().await;
    world.apply(&cx).await;
    assert!(open(&world, &cx).await.is_empty());
    world.clock.advance(Duration::minutes(2));
    app::operations::carry_on(&cx, world.operation).await.unwrap();
    world.clock.advance(Duration::seconds(2));
    app::operations::carry_on(&cx, world.operation).await.unwrap();
    let second = open(&world, &cx).await;
    assert_eq!(second.len(), 1);
    assert_ne!(second[0].epoch, first[0].epoch);
    world.answer(&cx).await;
}
