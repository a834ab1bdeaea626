//! wrk: many HTTP requests at little cost to the machine, which both sides share.

use std::{fs, process::Command};

use crate::{Failure, server::Server};

/// Requests a second by this Lua script; every answer has to be a success.
pub(crate) fn run(
    server: &Server,
    script: &str,
    threads: &str,
    connections: &str,
    seconds: &str,
) -> Result<f64, Failure> {
    let file = server.folder().join("wrk.lua");
    fs::write(&file, script)?;
    let output = Command::new("wrk")
        .args(["-t", threads, "-c", connections, "-d", &format!("{seconds}s"), "-s"])
        .arg(&file)
        .args(["-H", &format!("Authorization: Bearer {}", server.token), &server.url])
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let failed = ["Non-2xx", "Socket errors"].iter().any(|what| text.contains(what));
    if failed || !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        return Err(format!("wrk: {text}{complaint}").into());
    }
    let line = text.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    Ok(line.ok_or("wrk tells no rate")?.trim().parse()?)
}
