//! A database that is restored from an older copy while the agents are ahead of it.

use std::{fs, path::Path, process::Command, time::Duration};

use umail_tests::harness::{fleet::SINGLE_NODE, process, until};

use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn agents_follow_a_restored_database_into_its_new_epoch() {
    let mut stage = Stage::start(SINGLE_NODE).await;
    let old = stage.user("old", "mail-1").await.unwrap();
    stage.rest.converged().await.unwrap();

    // The older copy: files of a cluster that was shut down.
    let data = stage.fleet.server.folder().join("data");
    let copy = stage.fleet.server.folder().join("copy");
    stage.fleet.server.stop().await.unwrap();
    copy_folder(&data, &copy).await;
    stage.fleet.server.start().await.unwrap();
    stage.rest.sign_in_again().await.unwrap();
    let mut ahead = Vec::new();
    for number in 0..20 {
        ahead.push(stage.user(&format!("ahead{number}"), "mail-1").await.unwrap());
    }
    stage.rest.converged().await.unwrap();
    for user in &ahead {
        assert_eq!(stage.accepts(user).await.unwrap().code, 250, "{user}");
    }

    stage.fleet.server.stop().await.unwrap();
    fs::remove_dir_all(&data).unwrap();
    copy_folder(&copy, &data).await;
    let migrate = stage.fleet.server.command(&["migrate", "--new-epoch"]).unwrap();
    process::finish(migrate).await.unwrap();
    assert_eq!(stage.send(&old, "meanwhile@restore").await.unwrap().code, 250);
    stage.fleet.server.start().await.unwrap();
    stage.rest.sign_in_again().await.unwrap();

    stage.status("mail-1", "ready", Duration::from_secs(30)).await.unwrap();
    let new = stage.user("new", "mail-1").await.unwrap();
    stage.rest.converged().await.unwrap();
    until(Duration::from_secs(20), async || {
        let reply = stage.accepts(&ahead[0]).await?;
        Ok(if reply.code == 550 { Ok(()) } else { Err(format!("{reply:?}")) })
    })
    .await
    .unwrap();
    assert_eq!(stage.send(&new, "after@restore").await.unwrap().code, 250);
    stage.arrives(&old, "meanwhile@restore").await.unwrap();
    stage.arrives(&new, "after@restore").await.unwrap();
}

async fn copy_folder(from: &Path, to: &Path) {
    let mut command = Command::new("cp");
    command.arg("-a").arg(from).arg(to);
    process::finish(command).await.unwrap();
}
