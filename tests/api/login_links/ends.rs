//! What ends a link before it is redeemed, and the session that one has begun.

use super::*;

/// A link made now is not good after this, nor told apart from one that never was.
async fn is_dead(api: &Api, link: &str) {
    let dead = redeem(api, link, None).await.is_problem(StatusCode::UNAUTHORIZED);
    let unknown = redeem(api, "uml_nonsense", None).await;
    assert_eq!(dead.body["detail"], unknown.body["detail"]);
}

/// Asks until the answer has this status; a second is what it may take.
async fn within_a_second(api: &Api, token: &str, status: StatusCode) {
    let start = std::time::Instant::now();
    while get(api, token, "/v1/me").await.status != status {
        assert!(start.elapsed() < std::time::Duration::from_secs(1), "is not {status}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn the_function_is_needed_on_every_level() {
    let (api, admin) = world(Clock::system()).await;
    let department = api.post("/v1/domains/example.com/departments", json!({"name": "sales"}));
    let department = department.await.is(StatusCode::CREATED).id();
    let below = json!({"name": "below", "parent_id": department});
    let below = api.post("/v1/domains/example.com/departments", below).await.id();
    let plan = json!({"name": "small", "quota_bytes": 1_000_000_000});
    let plan = api.post("/v1/plans", plan).await.is(StatusCode::CREATED).id();
    let moved = json!({"department_id": below, "plan_id": plan});
    api.patch(ANNA, moved).await.is(StatusCode::OK);
    let all = api.get("/v1/domains/example.com").await.body["functions"].clone();
    assert!(all.as_array().unwrap().contains(&json!("sso")), "{all}");
    let some = json!(["pop3", "imap", "submission"]);
    for (path, level) in [
        ("/v1/domains/example.com".to_owned(), "domain example.com"),
        (format!("/v1/departments/{department}"), "department sales"),
        (format!("/v1/departments/{below}"), "department below"),
        (format!("/v1/plans/{plan}"), "plan small"),
        (ANNA.to_owned(), "user anna@example.com"),
    ] {
        let (open, token) = (link(&api, &admin).await, let_in(&api, &admin).await);
        api.patch(&path, json!({"functions": some})).await.is(StatusCode::OK);
        let refused = ask(&api, &admin, "anna@example.com", json!({})).await;
        let refused = refused.is_problem(StatusCode::CONFLICT);
        assert_eq!(refused.body["detail"], format!("sso is switched off by {level}"));
        let explained = api.get(format!("{ANNA}/entitlements")).await.body["functions"].clone();
        let explained = explained.as_array().unwrap().iter().find(|one| one["function"] == "sso");
        let explained = explained.unwrap();
        assert_eq!(explained["allowed"], json!(false));
        let by = &explained["denied_by"];
        let by = format!("{} {}", by["level"].as_str().unwrap(), by["name"].as_str().unwrap());
        assert_eq!(by, level);
        is_dead(&api, &open).await;
        within_a_second(&api, &token, StatusCode::UNAUTHORIZED).await;
        // Whoever signs in with the password is not concerned.
        let own = api.sign_in("anna@example.com").await;
        get(&api, &own, "/v1/me").await.is(StatusCode::OK);
        api.patch(&path, json!({"functions": all})).await.is(StatusCode::OK);
    }
}

#[tokio::test]
async fn a_link_is_worth_what_its_maker_is_when_it_is_redeemed() {
    let (api, _) = world(Clock::system()).await;
    api.user("maker@example.com").await;
    let maker = "/v1/users/maker@example.com";
    let appoint = || api.assign("maker@example.com", "domain_admin", None);
    let role = appoint().await;
    let token = api.sign_in("maker@example.com").await;
    let (_, secret) = key(&api, &token, json!({})).await;
    let links = async || [link(&api, &token).await, link(&api, &secret).await];

    // A demotion.
    let open = links().await;
    api.delete(format!("/v1/role_assignments/{role}")).await.is(StatusCode::NO_CONTENT);
    for link in &open {
        is_dead(&api, link).await;
    }
    appoint().await;
    // A status, which is taken back: what was made before is good again for as long as it lasts.
    let open = links().await;
    api.patch(maker, json!({"status": "suspended"})).await.is(StatusCode::OK);
    for link in &open {
        is_dead(&api, link).await;
    }
    api.patch(maker, json!({"status": "active"})).await.is(StatusCode::OK);
    redeem(&api, &open[0], None).await.is(StatusCode::CREATED);
    // The session that a link was made in.
    let open = links().await;
    let out = api.ask(Method::DELETE, "/v1/sessions/current").by(&token).send().await;
    out.is(StatusCode::NO_CONTENT);
    is_dead(&api, &open[0]).await;
    redeem(&api, &open[1], None).await.is(StatusCode::CREATED);
    // A user who has become somebody meanwhile.
    let open = link(&api, &secret).await;
    let role = api.assign("anna@example.com", "domain_admin", None).await;
    is_dead(&api, &open).await;
    api.delete(format!("/v1/role_assignments/{role}")).await.is(StatusCode::NO_CONTENT);
    // Whoever must change the password first works with nothing, the key included.
    let open = link(&api, &secret).await;
    let body = json!({"new_password": "many small blue whales"});
    api.put(format!("{maker}/password"), body).await.is(StatusCode::NO_CONTENT);
    is_dead(&api, &open).await;
}

#[tokio::test]
async fn a_session_outlives_no_right_of_its_maker_and_does_not_rise_above_the_maker() {
    let (api, _) = world(Clock::system()).await;
    api.user("maker@example.com").await;
    let maker = "/v1/users/maker@example.com";
    let role = api.assign("maker@example.com", "domain_admin", None).await;
    let token = api.sign_in("maker@example.com").await;
    let (_, secret) = key(&api, &token, json!({})).await;
    let sessions = [let_in(&api, &token).await, let_in(&api, &secret).await];
    let are = async |status| {
        for session in &sessions {
            within_a_second(&api, session, status).await;
        }
    };
    let (good, ended) = (StatusCode::OK, StatusCode::UNAUTHORIZED);
    are(good).await;
    let risen = api.assign("anna@example.com", "domain_admin", None).await;
    are(ended).await;
    api.delete(format!("/v1/role_assignments/{risen}")).await.is(StatusCode::NO_CONTENT);
    are(good).await;
    for (status, then) in [("suspended", ended), ("active", good)] {
        api.patch(maker, json!({"status": status})).await.is(StatusCode::OK);
        are(then).await;
    }
    api.delete(format!("/v1/role_assignments/{role}")).await.is(StatusCode::NO_CONTENT);
    are(ended).await;
    api.assign("maker@example.com", "domain_admin", None).await;
    are(good).await;
    // Whoever is signed out everywhere, was also there where others were let in.
    api.delete(format!("{maker}/sessions")).await.is(StatusCode::NO_CONTENT);
    are(ended).await;
    assert!(api.get(format!("{ANNA}/sessions")).await.items("id").is_empty());
}

#[tokio::test]
async fn who_is_refused_for_now_comes_back_with_the_same_token() {
    let (api, admin) = world(Clock::system()).await;
    let session = redeem(&api, &link(&api, &admin).await, None).await.is(StatusCode::CREATED);
    let body = json!({"refresh_token": session.body["refresh_token"]});
    let refresh =
        async || api.ask(Method::POST, "/v1/sessions/refresh").json(body.clone()).send().await;
    let all = api.get(ANNA).await.body["functions"].clone();
    api.patch(ANNA, json!({"functions": ["imap"]})).await.is(StatusCode::OK);
    refresh().await.is_problem(StatusCode::UNAUTHORIZED);
    api.patch(ANNA, json!({"functions": all})).await.is(StatusCode::OK);
    refresh().await.is(StatusCode::OK);
    let path = "/v1/audit_events?action=token_reused";
    assert!(api.get(path).await.items("id").is_empty());
}

#[tokio::test]
async fn what_a_key_let_in_ends_with_the_key() {
    let clock = Clock::manual(Clock::system().now());
    let (api, admin) = world(clock.clone()).await;
    let revoke = async |id: &str| {
        let ask = api.ask(Method::DELETE, format!("/v1/api_keys/{id}")).by(&admin).send().await;
        ask.is(StatusCode::NO_CONTENT);
    };
    let (id, secret) = key(&api, &admin, json!({})).await;
    let (_, kept) = key(&api, &admin, json!({})).await;
    let (open, token) = (link(&api, &secret).await, let_in(&api, &secret).await);
    let (kept_open, kept_token) = (link(&api, &kept).await, let_in(&api, &kept).await);
    // Another secret of the same key is the same key, unless the one before is of no use at once.
    for (overlap, status) in [(60, StatusCode::OK), (0, StatusCode::UNAUTHORIZED)] {
        let body = json!({"overlap_seconds": overlap});
        let rotate = api.ask(Method::POST, format!("/v1/api_keys/{id}/rotate")).by(&admin);
        rotate.json(body).send().await.is(StatusCode::OK);
        within_a_second(&api, &token, status).await;
    }
    is_dead(&api, &open).await;
    let (id, secret) = key(&api, &admin, json!({})).await;
    let (open, token) = (link(&api, &secret).await, let_in(&api, &secret).await);
    revoke(&id).await;
    is_dead(&api, &open).await;
    within_a_second(&api, &token, StatusCode::UNAUTHORIZED).await;
    within_a_second(&api, &kept_token, StatusCode::OK).await;
    redeem(&api, &kept_open, None).await.is(StatusCode::CREATED);
    assert_eq!(api.get(format!("{ANNA}/sessions")).await.items("id").len(), 2);

    // A key that expires in between.
    let end = (clock.now() + Duration::seconds(30))
        .format(&time::format_description::well_known::Rfc3339);
    let (_, short) = key(&api, &admin, json!({"expires_at": end.unwrap()})).await;
    let open = link(&api, &short).await;
    clock.advance(Duration::seconds(30));
    api.state.callers().forget();
    is_dead(&api, &open).await;
    // A maker who is reported as compromised loses all keys.
    api.post("/v1/users/admin@example.com/compromised", json!({})).await.is(StatusCode::ACCEPTED);
    within_a_second(&api, &kept_token, StatusCode::UNAUTHORIZED).await;
}

#[tokio::test]
async fn a_key_that_is_revoked_while_links_are_redeemed_lets_nobody_stay() {
    let (api, admin) = world(Clock::system()).await;
    for _ in 0..10 {
        let (id, secret) = key(&api, &admin, json!({})).await;
        let links =
            [link(&api, &secret).await, link(&api, &secret).await, link(&api, &secret).await];
        let revoke = api.ask(Method::DELETE, format!("/v1/api_keys/{id}")).by(&admin).send();
        let redeem = join_all(links.iter().map(|link| redeem(&api, link, None)));
        let (revoked, redeemed) = tokio::join!(revoke, redeem);
        revoked.is(StatusCode::NO_CONTENT);
        for answer in redeemed {
            match answer.status {
                StatusCode::CREATED => {
                    let token = answer.body["access_token"].as_str().unwrap();
                    within_a_second(&api, token, StatusCode::UNAUTHORIZED).await;
                }
                status => assert_eq!(status, StatusCode::UNAUTHORIZED, "{}", answer.body),
            }
        }
        assert!(api.get(format!("{ANNA}/sessions")).await.items("id").is_empty());
    }
}

#[tokio::test]
async fn who_may_not_sign_in_is_not_let_in() {
    let (api, _) = world(Clock::system()).await;
    let root = api.sign_in("root").await;
    for path in [ANNA, "/v1/domains/example.com"] {
        for status in ["locked", "maintenance", "suspended", "closed"] {
            let (open, token) = (link(&api, &root).await, let_in(&api, &root).await);
            api.patch(path, json!({"status": status})).await.is(StatusCode::OK);
            is_dead(&api, &open).await;
            within_a_second(&api, &token, StatusCode::UNAUTHORIZED).await;
            let refused = ask(&api, &root, "anna@example.com", json!({})).await;
            let refused = refused.is_problem(StatusCode::CONFLICT);
            let detail = refused.body["detail"].as_str().unwrap();
            assert!(detail.contains("may not sign in"), "{path} {status}: {detail}");
            api.patch(path, json!({"status": "active"})).await.is(StatusCode::OK);
            redeem(&api, &open, None).await.is(StatusCode::CREATED);
        }
        api.delete(format!("{ANNA}/sessions")).await.is(StatusCode::NO_CONTENT);
    }
}

#[tokio::test]
async fn a_link_is_for_the_user_whatever_the_name_and_gone_with_the_user() {
    let (api, admin) = world(Clock::system()).await;
    let open = link(&api, &admin).await;
    let body = json!({"local_part": "berta"});
    api.patch(ANNA, body).await.is(StatusCode::OK);
    // Another one has the name now, and is not let in by it.
    let session = redeem(&api, &open, None).await.is(StatusCode::CREATED).body;
    let token = session["access_token"].as_str().unwrap();
    assert_eq!(get(&api, token, "/v1/me").await.body["name"], "berta@example.com");

    let berta = "/v1/users/berta@example.com";
    let made = ask(&api, &admin, "berta@example.com", json!({})).await.is(StatusCode::CREATED);
    let open = made.body["login_link"].as_str().unwrap();
    api.delete(berta).await.is(StatusCode::NO_CONTENT);
    is_dead(&api, open).await;
    within_a_second(&api, token, StatusCode::UNAUTHORIZED).await;
    ask(&api, &admin, "berta@example.com", json!({})).await.is_problem(StatusCode::NOT_FOUND);
    api.post(format!("{berta}/restore"), json!({})).await.is(StatusCode::OK);
    is_dead(&api, open).await;
}

#[tokio::test]
async fn who_is_signed_out_everywhere_is_not_let_in_by_what_was_made_before() {
    let (api, admin) = world(Clock::system()).await;
    let out = async |token: &str, path: &str| {
        let ask = api.ask(Method::DELETE, path).by(token).send().await;
        ask.is(StatusCode::NO_CONTENT);
    };
    let (open, token) = (link(&api, &admin).await, let_in(&api, &admin).await);
    out(&admin, &format!("{ANNA}/sessions")).await;
    is_dead(&api, &open).await;
    within_a_second(&api, &token, StatusCode::UNAUTHORIZED).await;
    let (open, token) = (link(&api, &admin).await, let_in(&api, &admin).await);
    out(&token, "/v1/me/sessions").await;
    is_dead(&api, &open).await;
    let (open, token) = (link(&api, &admin).await, let_in(&api, &admin).await);
    let body = json!({"new_password": "many small blue whales"});
    api.put(format!("{ANNA}/password"), body).await.is(StatusCode::NO_CONTENT);
    is_dead(&api, &open).await;
    within_a_second(&api, &token, StatusCode::UNAUTHORIZED).await;
}
