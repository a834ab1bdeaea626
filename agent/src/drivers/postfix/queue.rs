//! Postfix's queue.

use std::{collections::BTreeSet, ffi::OsString};

use serde::Deserialize;

use super::TOOL_LIMIT;
use crate::{
    address::without_tag,
    drivers::Refusal,
    exec::{self, Program},
    layout::Layout,
};

/// Delivers what is queued now instead of at the next attempt.
pub async fn flush(layout: &Layout) -> Result<(), Refusal> {
    let arguments = [OsString::from("-c"), layout.etc("postfix").into(), "-f".into()];
    let output = exec::run(Program::Postqueue, &arguments, TOOL_LIMIT)
        .await
        .map_err(|error| Refusal(error.to_string()))?;
    if output.success() { Ok(()) } else { Err(Refusal(output.complaint())) }
}

/// How often the queue is looked through: what is on its way from one queue to another escapes.
const LOOKS: usize = 5;

/// A line of `postqueue -j`.
#[derive(Deserialize)]
struct Message {
    queue_name: String,
    queue_id: String,
    sender: String,
}

/// Puts on hold what these addresses have sent and is queued; says how many messages that were.
pub async fn hold(layout: &Layout, senders: &BTreeSet<String>) -> Result<u64, Refusal> {
    let mut held = BTreeSet::new();
    for _look in 0..LOOKS {
        let waiting = of_senders(&list(layout).await?, senders);
        if waiting.is_empty() {
            return Ok(u64::try_from(held.len()).unwrap_or(u64::MAX));
        }
        let arguments = ["-c".into(), layout.etc("postfix").into(), "-h".into(), "-".into()];
        let arguments: [OsString; 4] = arguments;
        let input = waiting.iter().fold(String::new(), |lines, id| lines + id + "\n");
        let output = exec::run_with_input(Program::Postsuper, &arguments, &input, TOOL_LIMIT)
            .await
            .map_err(|error| Refusal(error.to_string()))?;
        if !output.success() {
            return Err(Refusal(output.complaint()));
        }
        held.extend(waiting);
    }
    Err(Refusal("mail of the user goes on coming into the queue".to_owned()))
}

async fn list(layout: &Layout) -> Result<String, Refusal> {
    let arguments = [OsString::from("-c"), layout.etc("postfix").into(), "-j".into()];
    let output = exec::run(Program::Postqueue, &arguments, TOOL_LIMIT)
        .await
        .map_err(|error| Refusal(error.to_string()))?;
    if output.success() { Ok(output.stdout) } else { Err(Refusal(output.complaint())) }
}

/// The ids of the messages of these senders that can be put on hold, and are not.
fn of_senders(lines: &str, senders: &BTreeSet<String>) -> BTreeSet<String> {
    let messages = lines.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    let wanted = messages.filter(|message| {
        ["incoming", "active", "deferred"].contains(&message.queue_name.as_str())
            && senders.contains(&without_tag(&message.sender.to_lowercase()))
    });
    wanted.map(|message| message.queue_id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_senders_have_queued_is_put_on_hold() {
        let line = |queue: &str, id: &str, sender: &str| {
            format!(r#"{{"queue_name": "{queue}", "queue_id": "{id}", "sender": "{sender}"}}"#)
        };
        let lines = [
            line("deferred", "A1", "ada@example.org"),
            line("active", "A2", "Ada+news@Example.org"),
            line("incoming", "A3", "ada@example.net"),
            line("hold", "A4", "ada@example.org"),
            line("deferred", "A5", "bob@example.org"),
            line("deferred", "A6", ""),
            line("maildrop", "A7", "ada@example.org"),
            "nonsense".to_owned(),
        ];
        let senders = ["ada@example.org", "ada@example.net"].map(str::to_owned).into();
        let found = of_senders(&lines.join("\n"), &senders);
        assert_eq!(found, ["A1", "A2", "A3"].map(str::to_owned).into());
        assert!(of_senders(&lines.join("\n"), &BTreeSet::new()).is_empty());
    }
}
