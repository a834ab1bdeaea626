//! What lists of users, domains, groups and aliases are searched, narrowed and counted by

use reqwest::{Method, StatusCode, Url};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Row};
use umail_tests::api::{Answer, Api, PASSWORD};

const USERS: &str = "/v1/domains/example.com/users";

fn encoded(text: &str) -> String {
    let url = Url::parse_with_params("http://x/", [("", text)]).unwrap();
    url.query().unwrap().trim_start_matches('=').to_owned()
}

/// A user with these names.
async fn named(api: &Api, local_part: &str, display: &str, given: &str, family: &str) -> String {
    let body = json!({
        "local_part": local_part, "password": PASSWORD, "display_name": display,
        "profile": {"given_name": given, "family_name": family},
    });
    api.post(USERS, body).await.is(StatusCode::CREATED).id()
}

/// What stands before the `@` in the addresses that a search finds, or the names.
async fn found(api: &Api, path: &str, search: &str) -> Vec<String> {
    let answer = api.get(format!("{path}search={}&count=true", encoded(search))).await;
    let answer = answer.is(StatusCode::OK);
    let field = if path.contains("/domains?") { "name" } else { "address" };
    let names = answer.items(field);
    let total = json!({"count": names.len(), "is_exact": true});
    assert_eq!(answer.body.get("total"), Some(&total), "{search}");
    names.iter().map(|name| name.split('@').next().unwrap().to_owned()).collect()
}

async fn users(api: &Api, search: &str) -> Vec<String> {
    found(api, &format!("{USERS}?"), search).await
}

#[tokio::test]
async fn list_users_finds_what_addresses_and_names_begin_with_or_have_inside() {
    let api = Api::start().await;
    api.domain("example.com").await;
    named(&api, "anna.maria", "Anna Maria Huber", "", "").await;
    named(&api, "joerg", "Jörg MÜLLER", "", "").await;
    named(&api, "ivan", "Иван Петров", "Иван", "Петров").await;
    named(&api, "x1", "", "Éva", "O'Hara-Ämter").await;
    for (search, expected) in [
        ("a", vec!["anna.maria"]),
        ("AN", vec!["anna.maria"]),
        ("ma", vec!["anna.maria"]),
        ("hu", vec!["anna.maria"]),
        ("na", vec![]),
        ("nna", vec!["anna.maria"]),
        ("nna.MAR", vec!["anna.maria"]),
        (" maria hub ", vec!["anna.maria"]),
        ("joerg", vec!["joerg"]),
        ("müller", vec!["joerg"]),
        ("MÜLL", vec!["joerg"]),
        ("mu\u{308}l", vec!["joerg"]),
        ("ÖRG", vec!["joerg"]),
        ("иван", vec!["ivan"]),
        ("ЕТРО", vec!["ivan"]),
        ("пе", vec!["ivan"]),
        ("é", vec!["x1"]),
        ("o'hara-ämt", vec!["x1"]),
        ("x1", vec!["x1"]),
        ("nobody", vec![]),
        // Not over the end of a field.
        ("maria anna", vec![]),
    ] {
        assert_eq!(users(&api, search).await, expected, "{search}");
    }
}

#[tokio::test]
async fn list_users_takes_wildcards_and_quotes_as_what_they_are() {
    let api = Api::start().await;
    api.domain("example.com").await;
    for (local_part, display) in [
        ("percent", "100% wool"),
        ("under", "a_b_c"),
        ("slash", r"c:\users\me"),
        ("quote", "Conan O'Brien \"the\" 2nd"),
        ("plain", "100x wool, axbxc"),
    ] {
        named(&api, local_part, display, "", "").await;
    }
    for (search, expected) in [
        ("100%", vec!["percent"]),
        ("%", vec![]),
        ("%%%", vec![]),
        ("0% w", vec!["percent"]),
        ("a_b", vec!["under"]),
        ("___", vec![]),
        (r":\us", vec!["slash"]),
        (r"\", vec![]),
        (r"\\\", vec![]),
        ("o'b", vec!["quote"]),
        ("\"the\"", vec!["quote"]),
        ("'; DROP TABLE account; --", vec![]),
    ] {
        assert_eq!(users(&api, search).await, expected, "{search}");
    }
}

#[tokio::test]
async fn list_users_with_an_at_finds_addresses() {
    let api = Api::start().await;
    let path = "/v1/domains/b%C3%BCcher.example/users?";
    api.domain("bücher.example").await;
    for name in ["anna", "hanna", "anna.b"] {
        let body = json!({"local_part": name, "password": PASSWORD, "display_name": "x@y"});
        api.post("/v1/domains/xn--bcher-kva.example/users", body).await.is(StatusCode::CREATED);
    }
    for (search, expected) in [
        ("anna@", vec!["anna", "hanna"]),
        ("ANNA@Bü", vec!["anna", "hanna"]),
        ("hanna@bücher.example", vec!["hanna"]),
        ("a.b@xn--bcher", vec!["anna.b"]),
        ("@bücher", vec!["anna", "hanna", "anna.b"]),
        ("anna@other", vec![]),
        ("x@y", vec![]),
    ] {
        assert_eq!(found(&api, path, search).await, expected, "{search}");
    }
}

#[tokio::test]
async fn list_users_combines_its_filters() {
    let api = Api::start().await;
    api.domain("example.com").await;
    let plan = api
        .post("/v1/plans", json!({"name": "large", "quota_bytes": 5_000_000_000_i64}))
        .await
        .id();
    let department =
        api.post("/v1/domains/example.com/departments", json!({"name": "x"})).await.id();
    for (name, change) in [
        ("one", json!({"status": "locked"})),
        ("two", json!({"plan_id": plan})),
        ("three", json!({"department_id": department})),
        ("four", json!({"status": "locked", "plan_id": plan, "department_id": department})),
    ] {
        let id = named(&api, name, "Common Name", "", "").await;
        api.patch(format!("/v1/users/{id}"), change).await.is(StatusCode::OK);
    }
    let id = named(&api, "gone", "Common Name", "", "").await;
    api.patch(format!("/v1/users/{id}"), json!({"status": "locked"})).await.is(StatusCode::OK);
    api.delete(format!("/v1/users/{id}")).await.is(StatusCode::NO_CONTENT);
    for (query, expected) in [
        (String::new(), vec!["one", "two", "three", "four"]),
        ("status=locked".to_owned(), vec!["one", "four"]),
        ("status=active".to_owned(), vec!["two", "three"]),
        ("status=closed".to_owned(), vec![]),
        (format!("plan_id={plan}"), vec!["two", "four"]),
        (format!("plan_id={plan}&status=active"), vec!["two"]),
        (format!("plan_id={plan}&status=locked"), vec!["four"]),
        (format!("department_id={department}&status=locked"), vec!["four"]),
        (format!("department_id={department}&plan_id={plan}"), vec!["four"]),
        ("status=locked&search=mon".to_owned(), vec!["one", "four"]),
        (format!("plan_id={plan}&search=wo"), vec![]),
        (format!("plan_id={plan}&search=two"), vec!["two"]),
        (format!("department_id={department}&search=common&status=active"), vec!["three"]),
        ("deleted=true".to_owned(), vec!["gone"]),
        ("deleted=true&status=locked&search=common".to_owned(), vec!["gone"]),
        ("deleted=true&status=active".to_owned(), vec![]),
        (format!("deleted=true&plan_id={plan}"), vec![]),
        ("external_id=none".to_owned(), vec![]),
    ] {
        let answer = api.get(format!("{USERS}?count=true&{query}")).await.is(StatusCode::OK);
        let names: Vec<_> = answer
            .items("address")
            .iter()
            .map(|one| one.split('@').next().unwrap().to_owned())
            .collect();
        assert_eq!(names, expected, "{query}");
        assert_eq!(answer.body["total"]["count"], expected.len(), "{query}");
        let answer = api.get(format!("{USERS}?{query}")).await.is(StatusCode::OK);
        assert!(answer.body.get("total").is_none());
    }
}

#[tokio::test]
async fn lists_refuse_what_cannot_be_searched_for() {
    let api = Api::start().await;
    api.domain("example.com").await;
    for list in ["users", "groups", "aliases"] {
        for search in ["", "%20", "a%00b", "a%0Ab", "%E2%80%AEcod", &"x".repeat(255)] {
            let path = format!("/v1/domains/example.com/{list}?search={search}");
            api.get(path).await.is_invalid(&["search"]);
            api.get(format!("/v1/domains?search={search}")).await.is_invalid(&["search"]);
        }
    }
    api.get(format!("{USERS}?include_subdepartments=true"))
        .await
        .is_invalid(&["include_subdepartments"]);
    for query in ["search=a&search=b", "status=gone", "plan_id=x", "count=maybe", "query=anna"] {
        api.get(format!("{USERS}?{query}")).await.is_invalid(&["query"]);
    }
    let both = "/v1/domains/example.com/departments?top=true&parent_id=01936d5e-0000-7000-8000-000000000000";
    api.get(both).await.is_invalid(&["top"]);
}

#[tokio::test]
async fn list_domains_groups_and_aliases_finds_as_well() {
    let api = Api::start().await;
    for name in ["example.com", "sample.org", "bücher.example", "a_b.example"] {
        // An underscore is in no name.
        let answer = api.post("/v1/domains", json!({"name": name})).await;
        assert_eq!(answer.status.is_success(), !name.contains('_'), "{name}");
    }
    for (search, expected) in [
        ("ex", vec!["example.com"]),
        ("AMPLE", vec!["example.com", "sample.org", "xn--bcher-kva.example"]),
        ("bücher", vec!["xn--bcher-kva.example"]),
        ("xn--bch", vec!["xn--bcher-kva.example"]),
        ("@sam", vec!["sample.org"]),
        ("e_a", vec![]),
        (".org", vec!["sample.org"]),
    ] {
        assert_eq!(found(&api, "/v1/domains?", search).await, expected, "{search}");
    }
    api.delete("/v1/domains/sample.org").await.is(StatusCode::NO_CONTENT);
    assert_eq!(found(&api, "/v1/domains?deleted=true&", "sam").await, ["sample.org"]);
    assert!(found(&api, "/v1/domains?", "sam").await.is_empty());
    for (name, display) in [("team", "The Team"), ("staff", "All of us")] {
        let body = json!({"local_part": name, "display_name": display});
        api.post("/v1/domains/example.com/groups", body).await.is(StatusCode::CREATED);
    }
    let groups = "/v1/domains/example.com/groups?";
    for (search, expected) in [
        ("te", vec!["team"]),
        ("ALL OF", vec!["staff"]),
        ("f@exam", vec!["staff"]),
        ("of_", vec![]),
    ] {
        assert_eq!(found(&api, groups, search).await, expected, "{search}");
    }
    api.user("anna@example.com").await;
    for name in ["info", "sales"] {
        let body = json!({"local_part": name, "targets": ["anna@example.com"]});
        api.post("/v1/domains/example.com/aliases", body).await.is(StatusCode::CREATED);
    }
    let forwarding = json!({"targets": ["x@example.org"], "keep_copy": true});
    api.put("/v1/users/anna@example.com/forwarding", forwarding).await.is(StatusCode::OK);
    let aliases = "/v1/domains/example.com/aliases?";
    for (search, expected) in
        [("in", vec!["info"]), ("ale", vec!["sales"]), ("o@ex", vec!["info"]), ("ann", vec![])]
    {
        assert_eq!(found(&api, aliases, search).await, expected, "{search}");
    }
    // An address that a user had is an alias, which is found; the forwarding has the new one.
    let other = json!({"local_part": "annette"});
    api.patch("/v1/users/anna@example.com", other).await.is(StatusCode::OK);
    assert_eq!(found(&api, aliases, "ann").await, ["anna"]);
}

#[tokio::test]
async fn list_departments_shows_the_tree_level_by_level() {
    let api = Api::start().await;
    api.domain("example.com").await;
    let path = "/v1/domains/example.com/departments";
    let add = async |name: &str, parent: Option<&str>| {
        let body = json!({"name": name, "parent_id": parent});
        api.post(path, body).await.is(StatusCode::CREATED).id()
    };
    let sales = add("sales", None).await;
    let labs = add("labs", None).await;
    let north = add("north", Some(&sales)).await;
    add("south", Some(&sales)).await;
    add("far north", Some(&north)).await;
    let head = api.department_admin("head@example.com", &north).await;
    let root = api.sign_in("root").await;
    for (token, query, expected) in [
        (&root, String::new(), vec!["sales", "labs", "north", "south", "far north"]),
        (&root, "top=true".to_owned(), vec!["sales", "labs"]),
        (&root, "top=false".to_owned(), vec!["sales", "labs", "north", "south", "far north"]),
        (&root, format!("parent_id={sales}"), vec!["north", "south"]),
        (&root, format!("parent_id={labs}"), vec![]),
        (&head, String::new(), vec!["north", "far north"]),
        (&head, "top=true".to_owned(), vec![]),
        (&head, format!("parent_id={north}"), vec!["far north"]),
        (&head, format!("parent_id={sales}"), vec![]),
    ] {
        let ask = api.ask(Method::GET, format!("{path}?count=true&{query}")).by(token);
        let answer = ask.send().await.is(StatusCode::OK);
        assert_eq!(answer.items("name"), expected, "{query}");
        assert_eq!(answer.body["total"], json!({"count": expected.len(), "is_exact": true}));
    }
    let first = api.get(format!("{path}?parent_id={sales}&page_size=1")).await.is(StatusCode::OK);
    let token = first.body["next_page_token"].as_str().unwrap();
    let next = format!("{path}?parent_id={sales}&page_size=1&page_token={token}");
    assert_eq!(api.get(next).await.items("name"), ["south"]);
}

#[tokio::test]
async fn nobody_finds_or_counts_what_is_out_of_scope() {
    let api = Api::start().await;
    for domain in ["example.com", "example.org"] {
        api.domain(domain).await;
        for who in ["target1", "target2"] {
            api.user(&format!("{who}@{domain}")).await;
        }
        let body = json!({"local_part": "targets", "display_name": "Targets"});
        api.post(format!("/v1/domains/{domain}/groups"), body).await.is(StatusCode::CREATED);
    }
    let department =
        api.post("/v1/domains/example.com/departments", json!({"name": "x"})).await.id();
    let inside = json!({"department_id": department});
    api.patch("/v1/users/target1@example.com", inside).await.is(StatusCode::OK);
    let admin = api.domain_admin("admin@example.com").await;
    let head = api.department_admin("head@example.com", &department).await;
    let plain = api.sign_in("target2@example.com").await;
    let ask = async |token: &str, path: &str| -> Answer {
        api.ask(Method::GET, format!("{path}?search=target&count=true")).by(token).send().await
    };
    for (who, token, users, groups) in [("admin", &admin, 2, 1), ("head", &head, 1, 0)] {
        for (list, expected) in [("users", users), ("groups", groups)] {
            let own = ask(token, &format!("/v1/domains/example.com/{list}")).await;
            let own = own.is(StatusCode::OK);
            assert_eq!(own.items("address").len(), expected, "{who} {list}");
            assert_eq!(own.body["total"]["count"], expected, "{who} {list}");
            let foreign = ask(token, &format!("/v1/domains/example.org/{list}")).await;
            foreign.is_problem(StatusCode::NOT_FOUND);
        }
        let domains =
            api.ask(Method::GET, "/v1/domains?search=exa&count=true").by(token).send().await;
        assert_eq!(domains.items("name"), ["example.com"], "{who}");
        assert_eq!(domains.body["total"], json!({"count": 1, "is_exact": true}));
    }
    ask(&plain, USERS).await.is_problem(StatusCode::NOT_FOUND);
    let root = api.get("/v1/domains?search=exa&count=true").await;
    assert_eq!(root.items("name").len(), 2);
}

/// Writes users straight into the database: `behind` of them are called Late.
async fn fill(api: &Api, users: usize, late: usize) {
    api.domain("example.com").await;
    let sql = format!(
        "INSERT INTO account (id, domain_id, local_part, display_name, functions, plan_id,
                              created_at, updated_at)
         SELECT (lpad(to_hex(1700000000000 + n), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid,
                domain.id, 'user' || n, CASE WHEN n > {users} - {late} THEN 'Late ' ELSE 'Early ' END || n,
                1, plan.id, now(), now()
           FROM domain, plan, generate_series(1, {users}) AS n WHERE plan.name = 'standard'"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut api.owner().await).await.unwrap();
}

#[tokio::test]
async fn counts_are_exact_up_to_ten_thousand() {
    let api = Api::start().await;
    fill(&api, 10_000, 10).await;
    let total = async |query: &str| -> Value {
        let answer = api.get(format!("{USERS}?page_size=1&count=true&{query}")).await;
        answer.is(StatusCode::OK).body["total"].clone()
    };
    for (query, count) in [
        ("", 10_000),
        ("search=user", 10_000),
        ("search=late", 10),
        ("search=early", 9_990),
        ("status=active", 10_000),
    ] {
        assert_eq!(total(query).await, json!({"count": count, "is_exact": true}), "{query}");
    }
    api.user("one.more@example.com").await;
    for query in ["", "status=active"] {
        assert_eq!(total(query).await, json!({"count": 10_000, "is_exact": false}), "{query}");
    }
    assert_eq!(total("search=user").await, json!({"count": 10_000, "is_exact": true}));
    assert_eq!(total("search=e").await, json!({"count": 9_990, "is_exact": true}));
}

#[tokio::test]
async fn every_row_that_matches_is_on_one_page() {
    let api = Api::start().await;
    fill(&api, 9_000, 120).await;
    // Common, rare and far away, and rare all over.
    for (search, expected) in [("user", 9_000), ("late", 120), ("777", 18), ("r8999", 1)] {
        let (mut token, mut seen) = (None::<String>, Vec::new());
        loop {
            let token_now = token.map(|token| format!("&page_token={token}")).unwrap_or_default();
            let path = format!("{USERS}?page_size=100&search={search}{token_now}");
            let page = api.get(path).await.is(StatusCode::OK);
            seen.extend(page.items("id"));
            token = page.body["next_page_token"].as_str().map(str::to_owned);
            if token.is_none() {
                break;
            }
        }
        assert_eq!(seen.len(), expected, "{search}");
        assert!(seen.is_sorted_by(|one, next| one < next), "{search}");
    }
}

#[tokio::test]
async fn a_search_ends_where_it_takes_too_long_and_goes_on_there() {
    let api = Api::start().await;
    fill(&api, 30_000, 25_000).await;
    // More than the index may find, and none among the first; nothing of it is indexed in the second.
    for term in ["late", "---"] {
        let (mut behind, mut found, mut steps) =
            ("00000000-0000-0000-0000-000000000000".to_owned(), 0, 0);
        loop {
            let sql = format!(
                "SELECT coalesce(cardinality(ids), 0), upto::text, ids[cardinality(ids)]::text
                   FROM account_search((SELECT id FROM domain), NULL, NULL, NULL, '{term}', '{behind}',
                                       20000, 1000)"
            );
            let row = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(api.state.pool()).await.unwrap();
            found += row.get::<i32, _>(0);
            steps += 1;
            match (row.get::<Option<String>, _>(1), row.get::<Option<String>, _>(2)) {
                (Some(upto), last) => {
                    assert!(last.is_none_or(|last| last <= upto));
                    behind = upto;
                }
                (None, Some(last)) if row.get::<i32, _>(0) == 20_000 => behind = last,
                (None, _) => break,
            }
        }
        assert_eq!(found, if term == "late" { 25_000 } else { 0 });
        assert!(steps > 5, "{steps}");
    }
}
