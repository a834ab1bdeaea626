//! Mailboxes of users who were deleted are removed: those, and nothing else, whatever is asked.

use std::{fs, os::unix::fs::symlink, path::Path};

use umail_agent::{drivers::Refusal, replica::Replica};
use umail_proto::agent::{
    AccountStatus, Domain, PurgeMailbox, User, action::Verb, directory_row::Row,
};

use crate::{
    lmtp,
    node::{ADA, BOB, Fleet, Node, SOURCE, domain, id, user},
};

async fn purge(node: &Node, user_id: &str) -> Result<(), Refusal> {
    let user_id = user_id.to_owned();
    node.run(Verb::PurgeMailbox(PurgeMailbox { user_id })).await.map(drop)
}

/// A node with a mailbox of Ada and one of Bob, three messages each.
async fn node() -> Node {
    let node = Node::start(&Fleet::new(), SOURCE).await;
    for number in 0..3 {
        for address in [ADA.1, BOB.1] {
            let answer = lmtp::deliver(node.lmtp, address, number).await.unwrap();
            assert!(answer.starts_with('2'), "{answer}");
        }
    }
    node
}

fn deleted() -> Row {
    Row::User(User { status: AccountStatus::Deleted.into(), ..user(ADA.0, "ada", SOURCE) })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_goes_when_its_user_is_deleted_and_not_before() {
    let node = node().await;
    for status in [AccountStatus::Active, AccountStatus::Suspended, AccountStatus::Closed] {
        let ada = User { status: status.into(), ..user(ADA.0, "ada", SOURCE) };
        node.change(Row::User(ada)).await;
        let refused = purge(&node, &id(ADA.0)).await.unwrap_err().to_string();
        assert!(refused.contains("not deleted"), "{refused}");
    }
    node.change(Row::User(user(ADA.0, "ada", SOURCE))).await;
    assert_eq!(node.messages(ADA.1).len(), 3);
    node.change(deleted()).await;
    for _ in 0..2 {
        purge(&node, &id(ADA.0)).await.unwrap();
        assert!(!node.mailbox(ADA.0).exists());
    }
    assert_eq!(node.messages(BOB.1).len(), 3);
    // With its domain everybody is deleted.
    let status = AccountStatus::Deleted.into();
    node.change(Row::Domain(Domain { status, ..domain() })).await;
    purge(&node, &id(BOB.0)).await.unwrap();
    assert_eq!(fs::read_dir(node.layout.mail()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_purge_has_left_is_removed_by_the_next_one() {
    let node = node().await;
    node.change(deleted()).await;
    // Killed between the two steps, and then again while it was at work.
    let aside = node.layout.mail().join(format!("{}.removed", id(ADA.0)));
    fs::rename(node.mailbox(ADA.0), &aside).unwrap();
    fs::create_dir(node.mailbox(ADA.0)).unwrap();
    purge(&node, &id(ADA.0)).await.unwrap();
    assert!(!aside.exists() && !node.mailbox(ADA.0).exists());
    // Whom the directory no longer has.
    let left = node.layout.mail().join(id(99));
    fs::create_dir_all(left.join("mail")).unwrap();
    purge(&node, &id(99)).await.unwrap();
    assert!(!left.exists());
    assert_eq!(node.messages(BOB.1).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_outside_of_a_mailbox_is_removed() {
    let node = node().await;
    node.change(deleted()).await;
    let outside = node.layout.root().join("outside");
    let keep = |folder: &Path| {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("kept"), "x").unwrap();
    };
    keep(&outside);
    let ada = id(ADA.0);
    for hostile in [
        "",
        ".",
        "..",
        "/",
        "../outside",
        &*format!("{ada}/../../outside"),
        &*format!("../mail/{ada}"),
        &*format!("{ada}/"),
        &*format!("{ada}\0"),
        &*ada.replace('-', ""),
        &*format!("{{{ada}}}"),
        &*format!("urn:uuid:{ada}"),
        &*outside.display().to_string(),
        &*"0198C0DE-0000-7000-8000-0000000000AB".to_owned(),
    ] {
        let refused = purge(&node, hostile).await.unwrap_err().to_string();
        assert!(refused.contains("is not the id of a user"), "{hostile:?}: {refused}");
    }
    assert_eq!(node.messages(BOB.1).len(), 3);
    assert!(node.mailbox(ADA.0).exists());
    // A link in the place of a mailbox is not followed, and one inside of it goes alone.
    symlink(&outside, node.layout.mail().join(id(98))).unwrap();
    assert!(purge(&node, &id(98)).await.is_err());
    symlink(&outside, node.mailbox(ADA.0).join("link")).unwrap();
    symlink(node.mailbox(BOB.0), node.mailbox(ADA.0).join("mail").join("bob")).unwrap();
    purge(&node, &ada).await.unwrap();
    assert!(!node.mailbox(ADA.0).exists());
    assert_eq!(fs::read_to_string(outside.join("kept")).unwrap(), "x");
    assert_eq!(node.messages(BOB.1).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_directory_removes_nothing() {
    let mut node = node().await;
    let elsewhere = umail_agent::layout::Layout::new(node.layout.root().join("elsewhere"));
    node.replica = Replica::open(&elsewhere).await.unwrap();
    node.restart_agent().await;
    let refused = purge(&node, &id(ADA.0)).await.unwrap_err().to_string();
    assert!(refused.contains("has not arrived"), "{refused}");
    assert!(node.mailbox(ADA.0).exists());
}
