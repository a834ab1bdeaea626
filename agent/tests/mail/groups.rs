//! Groups: who gets what is written to one, and who may write.

use umail_agent::drivers::postfix::queue;
use umail_proto::{
    agent::{
        AccountStatus, Alias, Department, Domain, DomainAlias, Group, GroupPosting, RowKind, User,
    },
    functions::Function,
};

use crate::{
    client,
    directory::{self, ALL, alias, domain, elsewhere, group, id, member, remove, row, user},
    node::{NODE, Node, wait_until},
    outage::assert_no_fatal,
    sending::Policy,
    single::{ALICE, BOB, arrived, running},
};

const OUTSIDE: &str = "x@elsewhere.example";
const TEAM: &str = "team@example.org";
const CAROL: (&str, &str) = ("carol@example.net", "carol's");

/// A node with a group of alice and bob that these may write to.
async fn with_team(posting: GroupPosting) -> Node {
    let node = running().await;
    let rows = vec![
        row(group(61, "team", posting)),
        row(member(71, 61, 11)),
        row(member(72, 61, 12)),
        row(DomainAlias { id: id(51), name: "example.com".into(), domain_id: id(1) }),
        // A user of another domain.
        row(domain(2, "example.net")),
        row(User { domain_id: id(2), ..user(13, "carol", &id(NODE)) }),
        row(directory::password(25, 13, CAROL.1)),
    ];
    directory::change(&node.replica, rows).await;
    node
}

fn alice(status: AccountStatus) -> User {
    User { status: status.into(), ..user(11, "alice", &id(NODE)) }
}

fn without_external_send() -> u64 {
    ALL & !(Function::ExternalSend as u64)
}

/// Where mail for an address goes, as Postfix is told.
fn leads(node: &Node, address: &str) -> Vec<String> {
    let (text, _code) = node.postmap("aliases", address);
    let mut targets: Vec<_> = text.trim().split(',').map(str::to_owned).collect();
    targets.sort_unstable();
    targets
}

#[tokio::test]
async fn what_is_written_to_a_group_goes_to_its_members() {
    let node = with_team(GroupPosting::Anyone).await;
    let port = node.config.ports.smtp;
    client::send(port, OUTSIDE, TEAM, "1").ok();
    client::send(port, OUTSIDE, "Team+tag@Example.ORG", "2").ok();
    client::send(port, OUTSIDE, "team@example.com", "by the other name").ok();
    arrived(&node, ALICE, 3).await;
    arrived(&node, BOB, 3).await;

    // A user of another domain, an address elsewhere, and what members forward.
    let rows = vec![row(member(73, 61, 13)), row(elsewhere(74, 61, OUTSIDE))];
    directory::change(&node.replica, rows).await;
    let all = ["alice@example.org", "bob@example.org", CAROL.0, OUTSIDE];
    assert_eq!(leads(&node, TEAM), all);
    remove(&node.replica, RowKind::GroupMember, &id(74)).await;
    directory::change(&node.replica, vec![row(alias(31, "bob", &[CAROL.0]))]).await;
    client::send(port, OUTSIDE, TEAM, "to carol once").ok();
    arrived(&node, ALICE, 4).await;
    arrived(&node, CAROL, 1).await;

    // Members have another address from one moment to the next, and go.
    let renamed = User { local_part: "anna".into(), ..alice(AccountStatus::Active) };
    directory::change(&node.replica, vec![row(renamed)]).await;
    assert_eq!(leads(&node, TEAM), ["anna@example.org", "bob@example.org", CAROL.0]);
    remove(&node.replica, RowKind::GroupMember, &id(71)).await;
    remove(&node.replica, RowKind::User, &id(12)).await;
    assert_eq!(leads(&node, TEAM), [CAROL.0]);
    remove(&node.replica, RowKind::Group, &id(61)).await;
    client::send(port, OUTSIDE, TEAM, "?").refused("550 5.1.1");
    // The address is free, and nobody is in the next group that has it.
    directory::change(&node.replica, vec![row(group(61, "team", GroupPosting::Anyone))]).await;
    client::send(port, OUTSIDE, TEAM, "?").refused("550 5.2.4");
    assert_no_fatal(&node);
}

#[tokio::test]
async fn who_gets_no_mail_makes_nothing_bounce() {
    let node = with_team(GroupPosting::Anyone).await;
    let port = node.config.ports.smtp;
    for (number, status) in
        [AccountStatus::Closed, AccountStatus::Suspended, AccountStatus::Deleted]
            .into_iter()
            .enumerate()
    {
        directory::change(&node.replica, vec![row(alice(status))]).await;
        // A bounce would go to bob as well.
        client::send(port, BOB.0, TEAM, "to who is left").ok();
        arrived(&node, BOB, number + 1).await;
    }
    // The same of one who is known by address only.
    directory::change(&node.replica, vec![row(elsewhere(73, 61, "carol+list@example.net"))]).await;
    assert_eq!(leads(&node, TEAM), [BOB.0, "carol+list@example.net"]);
    let closed = Domain { status: AccountStatus::Closed.into(), ..domain(2, "example.net") };
    directory::change(&node.replica, vec![row(closed)]).await;
    assert_eq!(leads(&node, TEAM), [BOB.0]);
    let bob = User { status: AccountStatus::Closed.into(), ..user(12, "bob", &id(NODE)) };
    directory::change(&node.replica, vec![row(bob)]).await;
    client::send(port, OUTSIDE, TEAM, "?").refused("550 5.2.4 ");
    // Whoever is locked gets mail, and whoever is under maintenance later.
    directory::change(&node.replica, vec![row(alice(AccountStatus::Locked))]).await;
    client::send(port, OUTSIDE, TEAM, "1").ok();
    directory::change(&node.replica, vec![row(alice(AccountStatus::Maintenance))]).await;
    client::send(port, OUTSIDE, TEAM, "2").ok();
    wait_until("it waits", || async { node.log("postfix").contains("status=deferred") }).await;
    directory::change(&node.replica, vec![row(alice(AccountStatus::Active))]).await;
    queue::flush(&node.layout).await.unwrap();
    arrived(&node, ALICE, 2).await;
    assert!(!node.log("postfix").contains("status=bounced"), "{}", node.log("postfix"));
    assert_no_fatal(&node);
}

#[tokio::test]
async fn a_full_group_is_taken_whole() {
    let node = running().await;
    let mut rows = vec![row(group(61, "team", GroupPosting::Anyone))];
    rows.extend((0..1_000).map(|number| {
        row(elsewhere(1_000 + number, 61, &format!("user{number}@elsewhere.example")))
    }));
    directory::change(&node.replica, rows).await;
    client::send(node.config.ports.smtp, OUTSIDE, TEAM, "to a thousand").ok();
    wait_until("the queue has it", || async { node.log("postfix").contains("nrcpt=1000 ") }).await;
    assert_no_fatal(&node);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_written_to_by_whom_it_is_for() {
    let node = with_team(GroupPosting::Domain).await;
    let (smtp, submission) = (node.config.ports.smtp, node.config.ports.submission);
    let policy = Policy::start(&node).await;
    let dave = row(user(14, "dave", &id(NODE)));
    directory::change(&node.replica, vec![dave, row(directory::password(26, 14, "dave's"))]).await;
    let dave = ("dave@example.org", "dave's");
    for name in [TEAM, "team+tag@example.org", "team@example.com"] {
        // Whoever only says that he is inside is not.
        for from in [OUTSIDE, ALICE.0] {
            client::send(smtp, from, name, "?").refused("550 5.7.1");
        }
        client::submit(submission, CAROL, CAROL.0, name)
            .refused("Only users of its domain may write to the group");
        client::submit(submission, dave, dave.0, name).ok();
    }
    arrived(&node, ALICE, 3).await;

    directory::change(&node.replica, vec![row(group(61, "team", GroupPosting::Members))]).await;
    let by_carol = vec![row(member(73, 61, 13))];
    client::submit(submission, CAROL, CAROL.0, TEAM).refused("Only its members may write");
    directory::change(&node.replica, by_carol).await;
    client::send(smtp, ALICE.0, TEAM, "?").refused("Only its members may write to the group");
    client::submit(submission, dave, dave.0, "Team+tag@Example.com").refused("Only its members");
    client::submit(submission, CAROL, CAROL.0, TEAM).ok();
    client::submit(submission, ALICE, ALICE.0, "team@example.com").ok();
    arrived(&node, BOB, 5).await;
    arrived(&node, CAROL, 2).await;
    policy.stop().await;

    // Nobody gets in because the agent is away, and nothing is lost.
    client::submit(submission, ALICE, ALICE.0, TEAM).refused("450 4.3.0");
    client::submit(submission, ALICE, ALICE.0, BOB.0).ok();
    directory::change(&node.replica, vec![row(group(61, "team", GroupPosting::Anyone))]).await;
    client::submit(submission, ALICE, ALICE.0, TEAM).ok();
    arrived(&node, BOB, 7).await;
    assert_no_fatal(&node);
}

/// Only who writes to a closed group directly is checked, so nothing else leads there.
#[tokio::test]
async fn no_other_address_leads_to_a_closed_group() {
    let node = with_team(GroupPosting::Members).await;
    let port = node.config.ports.smtp;
    let rows = vec![
        row(alias(31, "sales", &[TEAM])),
        row(alias(32, "both", &["team+tag@example.com", BOB.0])),
        // A user who forwards to it, in another domain.
        row(Alias { domain_id: id(2), ..alias(33, "carol", &["team@example.com"]) }),
        row(group(62, "open", GroupPosting::Anyone)),
        row(elsewhere(75, 62, TEAM)),
        row(Domain { catch_all: TEAM.into(), ..domain(1, "example.org") }),
    ];
    directory::change(&node.replica, rows).await;
    client::send(port, OUTSIDE, "sales@example.org", "?").refused("550 5.7.1");
    client::send(port, OUTSIDE, "open@example.org", "?").refused("550 5.2.4");
    client::send(port, OUTSIDE, "anything@example.org", "?").refused("550 5.1.1");
    client::send(port, OUTSIDE, "both@example.org", "to bob alone").ok();
    client::send(port, OUTSIDE, CAROL.0, "stays").ok();
    arrived(&node, BOB, 1).await;
    arrived(&node, CAROL, 1).await;
    arrived(&node, ALICE, 0).await;
    // An open one is led to as anything else.
    directory::change(&node.replica, vec![row(group(61, "team", GroupPosting::Anyone))]).await;
    for to in ["sales@example.org", "open@example.org", "anything@example.org", CAROL.0] {
        client::send(port, OUTSIDE, to, "to all").ok();
    }
    arrived(&node, ALICE, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_no_way_out_for_who_may_not_send_outside() {
    let node = with_team(GroupPosting::Domain).await;
    let submission = node.config.ports.submission;
    let policy = Policy::start(&node).await;
    let bound = User { functions: without_external_send(), ..alice(AccountStatus::Active) };
    let by_alias = alias(31, "sales", &["open@example.org"]);
    let rows = vec![
        row(bound),
        row(group(62, "open", GroupPosting::Anyone)),
        row(member(76, 62, 12)),
        row(by_alias),
    ];
    directory::change(&node.replica, rows).await;
    let submit = |to: &str| client::submit(submission, ALICE, ALICE.0, to);
    for inside in [TEAM, "open@example.org", "sales@example.org"] {
        submit(inside).ok();
    }
    arrived(&node, BOB, 3).await;
    // A member elsewhere, or in another domain of the fleet.
    for (number, outside) in [(77, elsewhere(77, 62, OUTSIDE)), (78, member(78, 62, 13))] {
        let closed = row(directory::in_group(&outside, 61));
        directory::change(&node.replica, vec![row(outside), closed]).await;
        for to in [TEAM, "open@example.org", "open+tag@example.com", "sales@example.org"] {
            submit(to).refused("554 5.7.1");
        }
        client::submit(submission, BOB, BOB.0, "open@example.org").ok();
        client::submit(submission, BOB, BOB.0, TEAM).ok();
        remove(&node.replica, RowKind::GroupMember, &id(number)).await;
        remove(&node.replica, RowKind::GroupMember, &id(number + 100)).await;
    }
    // Without the agent it does not go out of the fleet all the same.
    policy.stop().await;
    directory::change(&node.replica, vec![row(elsewhere(77, 62, OUTSIDE))]).await;
    submit("open@example.org").refused("The address leads outside");

    // Where the group itself may not send outside, the members there get nothing.
    let department = |functions| Department {
        id: id(81),
        domain_id: id(1),
        parent_id: String::new(),
        functions,
    };
    let of_department = Group { department_id: id(81), ..group(62, "open", GroupPosting::Anyone) };
    let rows = vec![row(of_department), row(member(78, 62, 13)), row(department(ALL))];
    directory::change(&node.replica, rows).await;
    assert_eq!(leads(&node, "open@example.org"), [BOB.0, CAROL.0, OUTSIDE]);
    directory::change(&node.replica, vec![row(department(without_external_send()))]).await;
    assert_eq!(leads(&node, "open@example.org"), [BOB.0]);
    let domain = Domain { functions: without_external_send(), ..domain(1, "example.org") };
    directory::change(&node.replica, vec![row(domain), row(department(ALL))]).await;
    assert_eq!(leads(&node, "open@example.org"), [BOB.0]);
    assert_no_fatal(&node);
}

#[tokio::test]
async fn a_group_of_who_takes_nothing_from_outside_takes_nothing_from_there() {
    let node = with_team(GroupPosting::Anyone).await;
    let port = node.config.ports.smtp;
    let functions = ALL & !(Function::ExternalReceive as u64);
    let narrow = |number, name| row(User { functions, ..user(number, name, &id(NODE)) });
    directory::change(&node.replica, vec![narrow(11, "alice")]).await;
    client::send(port, OUTSIDE, TEAM, "for bob as well").ok();
    arrived(&node, BOB, 1).await;
    directory::change(&node.replica, vec![narrow(12, "bob")]).await;
    client::send(port, OUTSIDE, TEAM, "?").refused("550 5.7.1");
    client::submit(node.config.ports.submission, BOB, BOB.0, TEAM).ok();
    arrived(&node, BOB, 2).await;
}

#[tokio::test]
async fn a_group_answers_for_its_domain_and_keeps_its_catch_all_away() {
    let node = with_team(GroupPosting::Anyone).await;
    let port = node.config.ports.smtp;
    let catch_all = Domain { catch_all: CAROL.0.into(), ..domain(1, "example.org") };
    let rows = vec![
        row(catch_all),
        row(group(63, "abuse", GroupPosting::Anyone)),
        row(member(79, 63, 12)),
    ];
    directory::change(&node.replica, rows).await;
    client::send(port, OUTSIDE, TEAM, "1").ok();
    client::send(port, OUTSIDE, "abuse@example.org", "2").ok();
    arrived(&node, BOB, 2).await;
    arrived(&node, ALICE, 1).await;
    arrived(&node, CAROL, 0).await;
    // What holds for a domain holds for its groups.
    let closed = Domain { status: AccountStatus::Closed.into(), ..domain(1, "example.org") };
    directory::change(&node.replica, vec![row(closed)]).await;
    client::send(port, OUTSIDE, TEAM, "?").refused("550 5.2.1");
}
