//! Imports that are cut off, that stop in the middle, and that meet.

use std::{collections::BTreeSet, time::Duration};

use futures_util::{StreamExt as _, stream};
use reqwest::{Method, StatusCode};
use serde_json::json;
use umail_api::{app, context::Context, store};

use super::{
    DOMAIN, HASH, begin, count, counts, import, no_drift, scale, send, skip, start, users, work,
    work_to_the_end,
};

#[tokio::test]
async fn whoever_is_cut_off_goes_on_behind_the_last_whole_line() {
    let api = start().await;
    let file = users(5_000);
    let half = file.len() / 2;
    let id = begin(&api, DOMAIN, skip()).await;
    let path = format!("/v1/imports/{id}/content");
    // Cut as soon as the server has kept something.
    let (cut, is_cut) = tokio::sync::oneshot::channel::<()>();
    let first = stream::once(std::future::ready(Ok(file[..half].to_owned())));
    let end = stream::once(async move {
        is_cut.await.unwrap();
        Err::<String, _>(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
    });
    let body = reqwest::Body::wrap_stream(first.chain(end));
    let token = api.sign_in("root").await;
    let put = reqwest::Client::new().put(format!("{}{path}", api.url)).bearer_auth(&token);
    let put = put.header("content-type", "text/csv").body(body).send();
    let watch = async {
        loop {
            let import = api.get(format!("/v1/imports/{id}")).await.body;
            if import["received_bytes"] != 0 {
                break cut.send(()).unwrap();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let watch = tokio::time::timeout(Duration::from_secs(30), watch);
    let (put, watched) = tokio::join!(put, watch);
    put.unwrap_err();
    watched.unwrap();
    let answer = send(&api, &id, &file[half..]).await.is_problem(StatusCode::CONFLICT);
    assert!(
        answer.body["detail"].as_str().unwrap().starts_with("the content is there up to byte ")
    );
    // What had arrived may still be on its way into the database: whoever is refused asks again.
    loop {
        let import = api.get(format!("/v1/imports/{id}")).await.body;
        let received = usize::try_from(import["received_bytes"].as_u64().unwrap()).unwrap();
        assert!((1..=half).contains(&received), "{received} of {half}");
        assert_eq!(&file[received - 1..received], "\n");
        let rest = file[received..].to_owned();
        let path = format!("{path}?offset={received}");
        let put = api.ask(Method::PUT, path).content("text/csv", rest).send().await;
        if put.status != StatusCode::CONFLICT {
            put.is(StatusCode::ACCEPTED);
            break;
        }
    }
    let done = work(&api, &id).await;
    assert_eq!(counts(&done), [5_000, 0, 0, 0]);
    assert_eq!(done["received_bytes"], file.len());
    no_drift(&api).await;
}

#[tokio::test]
async fn content_comes_in_parts() {
    let api = start().await;
    let file = users(10);
    let id = begin(&api, DOMAIN, skip()).await;
    let path = format!("/v1/imports/{id}/content");
    // The part ends within a line, which comes again.
    let cut = file.len() - 5;
    let put = api.ask(Method::PUT, format!("{path}?more=true"));
    let put = put.content("text/csv", file[..cut].to_owned()).send().await.is(StatusCode::OK);
    let received = usize::try_from(put.body["received_bytes"].as_u64().unwrap()).unwrap();
    assert!(received < cut && file[..received].ends_with('\n'));
    let put = api.ask(Method::PUT, format!("{path}?offset={received}"));
    let put = put.content("application/x-ndjson", "{}").send().await;
    put.is_problem(StatusCode::CONFLICT);
    let put = api.ask(Method::PUT, format!("{path}?offset={received}"));
    put.content("text/csv", file[received..].to_owned()).send().await.is(StatusCode::ACCEPTED);
    send(&api, &id, file).await.is_problem(StatusCode::CONFLICT);
    assert_eq!(counts(&work(&api, &id).await), [10, 0, 0, 0]);
}

#[tokio::test]
async fn work_that_stopped_in_the_middle_goes_on_there() {
    let api = start().await;
    let lines = 7_000;
    let file = format!("{}user1,again,{HASH}\n", users(lines));
    for (new, refused) in [(skip(), 1), (json!({"mode": "all_or_nothing"}), 1)] {
        let id = begin(&api, DOMAIN, new).await;
        send(&api, &id, file.clone()).await.is(StatusCode::ACCEPTED);
        // Given up after a while, as if the server had died: the transaction rolls back.
        let cx = Context::system(api.state.clone());
        for patience in [50, 300, 700] {
            let run = app::imports::carry_on(&cx, id.parse().unwrap());
            let _ = tokio::time::timeout(Duration::from_millis(patience), run).await;
        }
        let again = async || work(&api, &id).await;
        let done = work_to_the_end(Duration::from_mins(2), again).await;
        assert_eq!(counts(&done)[3], refused, "{done}");
        let there = count(&api, "SELECT count(*) FROM account").await;
        assert_eq!(there, i64::try_from(lines).unwrap());
        no_drift(&api).await;
    }
}

#[tokio::test]
async fn two_imports_of_a_domain_wait_for_each_other() {
    let api = start().await;
    let (one, two) = (begin(&api, DOMAIN, skip()).await, begin(&api, DOMAIN, skip()).await);
    for id in [&one, &two] {
        send(&api, id, users(scale(500))).await.is(StatusCode::ACCEPTED);
    }
    // Somebody works on the first one.
    let domain = api.get("/v1/domains/example.com").await.id().parse().unwrap();
    let mut turn = api.state.pool().begin().await.unwrap();
    let domains = BTreeSet::from([domain]);
    assert!(store::imports::try_turn(&mut turn, Some(&domains)).await.unwrap());
    assert_eq!(work(&api, &two).await["state"], "running");
    let all = begin(&api, "/v1/imports", skip()).await;
    send(&api, &all, "address\nx@example.com\n").await.is(StatusCode::ACCEPTED);
    assert_eq!(work(&api, &all).await["state"], "running");
    turn.commit().await.unwrap();
    let (first, second) = tokio::join!(work(&api, &one), work(&api, &two));
    let (first, second) = (first["state"].clone(), second["state"].clone());
    assert!([&first, &second].contains(&&json!("succeeded")), "{first} {second}");
    let (first, second) = (work(&api, &one).await, work(&api, &two).await);
    let count_of = i64::try_from(scale(500)).unwrap();
    let mut both = [counts(&first), counts(&second)];
    both.sort_unstable();
    assert_eq!(both, [[0, 0, count_of, 0], [count_of, 0, 0, 0]]);
}

#[tokio::test]
async fn what_changes_alone_does_not_wait_for_an_import() {
    let api = start().await;
    api.user("alone@example.com").await;
    import(&api, skip(), users(scale(3_000))).await;
    let body = json!({"display_name": "Alone"});
    api.patch("/v1/users/alone@example.com", body).await.is(StatusCode::OK);
    let mut tx = api.state.pool().begin().await.unwrap();
    let first = store::changes::sequence(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    assert!(first < 3_000, "{first}");
    let waiting = "SELECT count(*) FROM change WHERE version IS NULL AND NOT is_bulk";
    assert_eq!(count(&api, waiting).await, 0);
    assert!(count(&api, "SELECT count(*) FROM change WHERE version IS NULL").await > 0);
    loop {
        let mut tx = api.state.pool().begin().await.unwrap();
        let done = store::changes::sequence(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        if done == 0 {
            break;
        }
    }
    let gaps = "SELECT max(version) - count(*) FROM change";
    assert_eq!(count(&api, gaps).await, 0);
}
