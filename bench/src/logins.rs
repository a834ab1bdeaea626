//! `logins`: logins a second by POP3 through a pop node to a storage node, with app passwords
//! against account passwords. Both nodes verify what the client said.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpSocket,
    task::JoinSet,
};

use crate::{
    Failure,
    node::{Node, Ports, wait_until_ready},
    outcome::{Gate, Outcome, median},
    server::Server,
};

/// Clients that sign in again and again, each as a user of its own.
const CLIENTS: usize = 8;
/// How long one turn takes.
const TURN: Duration = Duration::from_secs(4);
/// How long one login may take.
const LIMIT: Duration = Duration::from_secs(20);
const PASSWORD: &str = "a long enough passphrase";

/// Somebody who signs in.
#[derive(Clone)]
struct User {
    address: String,
    app_password: String,
}

/// Measures both in turn, after a turn of each that does not count: it makes the mailboxes.
pub(crate) async fn measure(rounds: usize) -> Result<Outcome, Failure> {
    let server = Server::start().await?;
    // As in every fleet, the nodes share their ports and differ in their addresses.
    let ports = Ports::free()?;
    let address = |last| IpAddr::from(Ipv4Addr::new(127, 11, 0, last));
    let _storage = Node::join(&server, "storage", address(2), ports).await?;
    let _pop = Node::join(&server, "pop", address(1), ports).await?;
    wait_until_ready(&server, 2).await?;
    let users = users(&server).await?;
    server.send(Method::GET, "/v1/directory?wait_seconds=30", None).await?;
    let pop = SocketAddr::from((address(1), ports.pop3));
    let (mut ratios, mut app_all, mut account_all) = (vec![], vec![], vec![]);
    for round in 0..=rounds {
        let app = logins(pop, &users, |user| user.app_password.clone()).await?;
        let account = logins(pop, &users, |_user| PASSWORD.to_owned()).await?;
        if round > 0 {
            ratios.push(app / account);
            app_all.push(app);
            account_all.push(account);
        }
    }
    Ok(Outcome {
        name: "logins",
        ratio: median(&ratios),
        gate: Gate::AtLeast(2.0),
        goal: Gate::AtLeast(4.0),
        details: format!(
            "app_passwords={:.1}/s argon2id={:.1}/s clients={CLIENTS} rounds={rounds}",
            median(&app_all),
            median(&account_all)
        ),
    })
}

/// As many users as there are clients, each with an app password.
async fn users(server: &Server) -> Result<Vec<User>, Failure> {
    let domain = json!({ "name": "bench.example" });
    server.send(Method::POST, "/v1/domains", Some(domain)).await?;
    let mut users = Vec::with_capacity(CLIENTS);
    for number in 0..CLIENTS {
        let body = json!({ "local_part": format!("user{number}"), "password": PASSWORD });
        server.send(Method::POST, "/v1/domains/bench.example/users", Some(body)).await?;
        let address = format!("user{number}@bench.example");
        let path = format!("/v1/users/{address}/app_passwords");
        let made = server.send(Method::POST, &path, Some(json!({ "label": "bench" }))).await?;
        let app_password = made.get("password").and_then(Value::as_str);
        let app_password = app_password.ok_or("no app password")?.to_owned();
        users.push(User { address, app_password });
    }
    Ok(users)
}

/// Logins a second of all clients together; every one has to succeed.
async fn logins(
    pop: SocketAddr,
    users: &[User],
    password: impl Fn(&User) -> String,
) -> Result<f64, Failure> {
    let started = Instant::now();
    let mut clients = JoinSet::new();
    for user in users {
        let (address, password) = (user.address.clone(), password(user));
        clients.spawn(async move {
            let mut count = 0_u32;
            while started.elapsed() < TURN {
                let login = tokio::time::timeout(LIMIT, login(pop, &address, &password)).await;
                login
                    .map_err(|_late| "a login takes too long".to_owned())?
                    .map_err(|error| error.to_string())?;
                count += 1;
            }
            Ok::<_, String>(count)
        });
    }
    let mut count = 0;
    while let Some(ended) = clients.join_next().await {
        count += ended??;
    }
    Ok(f64::from(count) / started.elapsed().as_secs_f64())
}

/// Signs in and out. The client has the node's own address, so that Dovecot takes a password
/// without TLS: what is measured does not include the client's handshake.
async fn login(pop: SocketAddr, user: &str, password: &str) -> Result<(), Failure> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((pop.ip(), 0).into())?;
    let mut stream = BufReader::new(socket.connect(pop).await?);
    let commands = [
        String::new(),
        format!("USER {user}\r\n"),
        format!("PASS {password}\r\n"),
        "QUIT\r\n".into(),
    ];
    for command in commands {
        stream.write_all(command.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_line(&mut answer).await?;
        if !answer.starts_with("+OK") {
            return Err(format!("{user}: {command:?}: {answer:?}").into());
        }
    }
    Ok(())
}
