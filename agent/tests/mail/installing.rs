//! Installing configuration: nothing is touched twice, and what is refused changes nothing.

use std::{collections::BTreeMap, path::Path};

use umail_agent::drivers::{Change, Driver};
use umail_proto::agent::{ListenerKind, MailTls, ServiceKind};

use crate::{
    client,
    node::Node,
    single::{ALICE, arrived, running},
};

fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| {
            (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())
        })
        .collect()
}

#[tokio::test]
async fn what_is_installed_is_not_installed_again() {
    let node = Node::new().await;
    for driver in [&node.postfix as &dyn Driver, &node.dovecot as &dyn Driver] {
        assert_ne!(driver.configure(&node.desired).await.unwrap(), Change::None);
        assert_eq!(driver.configure(&node.desired).await.unwrap(), Change::None);
        // Without a certificate from the server the node keeps the one that it has.
        let without = umail_proto::agent::DesiredState { mail_tls: None, ..node.desired.clone() };
        assert_eq!(driver.configure(&without).await.unwrap(), Change::None);
        assert_eq!(driver.render(&without).unwrap(), driver.render(&node.desired).unwrap());
        let secret = driver.render(&node.desired).unwrap();
        assert!(secret.iter().any(|file| file.is_secret() && file.content.contains("PRIVATE")));
        assert!(!format!("{secret:?}").contains("PRIVATE"), "keys are not for logs");
    }
}

#[tokio::test]
async fn a_refused_state_leaves_the_last_good_one_running() {
    let mut node = running().await;
    let before = ["postfix", "dovecot"].map(|service| content(&node.layout.etc(service)));
    let good = node.desired.clone();
    for hostile in ["a\nmynetworks = 0.0.0.0/0", "x y", "$config_directory"] {
        node.desired.settings.as_mut().unwrap().hostname = hostile.into();
        assert!(node.postfix.configure(&node.desired).await.is_err());
        assert!(node.dovecot.configure(&node.desired).await.is_err());
    }
    node.desired = good.clone();
    // A chain that is a certificate by its looks only.
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned();
    let tls = good.mail_tls.clone().unwrap();
    for tls in [
        MailTls { key_pem: "no key".into(), ..tls.clone() },
        MailTls { roots_pem: String::new(), ..tls.clone() },
        MailTls { chain_pem: broken, ..tls },
    ] {
        node.desired.mail_tls = Some(tls);
        assert!(node.dovecot.configure(&node.desired).await.is_err(), "{:?}", node.desired);
        assert!(node.postfix.configure(&node.desired).await.is_err(), "{:?}", node.desired);
    }
    let after = ["postfix", "dovecot"].map(|service| content(&node.layout.etc(service)));
    assert_eq!(before, after);
    client::send(node.config.ports.smtp, "x@elsewhere.example", ALICE.0, "still here").ok();
    arrived(&node, ALICE, 1).await;
    node.desired = good;
    node.set_listeners(ServiceKind::Postfix, &[ListenerKind::Smtp]);
    node.bring().await.unwrap();
}

/// The copy aside is looked through by the daemons' own tools, which know better than we do.
#[tokio::test]
async fn maps_that_cannot_be_asked_are_refused() {
    let node = Node::new().await;
    let before = node.postfix.configure(&node.desired).await.unwrap();
    assert_ne!(before, Change::None);
    let installed = content(&node.layout.etc("postfix"));
    // The database is gone: every map is a fatal error for Postfix.
    let database = node.layout.directory_db();
    std::fs::rename(&database, database.with_extension("away")).unwrap();
    let mut changed = node.desired.clone();
    changed.settings.as_mut().unwrap().hostname = "other.umail.test".into();
    let refused = node.postfix.configure(&changed).await.unwrap_err().to_string();
    assert!(refused.starts_with("postfix: unready.cf"), "{refused}");
    assert_eq!(content(&node.layout.etc("postfix")), installed);
    assert!(!database.exists(), "looking does not create an empty database");
}
