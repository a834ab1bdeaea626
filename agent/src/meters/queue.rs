//! What waits in Postfix's queue, counted from `postqueue -j`.

use std::time::Duration;

use prost_types::Timestamp;
use serde::Deserialize;
use umail_proto::agent::Queue;

use crate::{
    exec::{self, Program},
    layout::Layout,
};

const LIMIT: Duration = Duration::from_secs(20);

#[derive(Deserialize)]
struct Message {
    queue_name: String,
    arrival_time: i64,
}

/// Looks at the queue; none when Postfix has never run here or does not answer. Before its first
/// start the queue has no folders, and `postqueue` would complain of that in the mail log.
pub(super) async fn observe(layout: &Layout) -> Option<Queue> {
    let folder = layout.etc("postfix");
    if !layout.queue().join("pid").join("master.pid").exists() {
        return None;
    }
    let arguments = ["-c".into(), folder.into_os_string(), "-j".into()];
    match exec::run(Program::Postqueue, &arguments, LIMIT).await {
        Ok(output) if output.success() => Some(count(&output.stdout)),
        Ok(output) => {
            tracing::debug!(reason = output.complaint(), "the queue was not read");
            None
        }
        Err(error) => {
            tracing::debug!(%error, "the queue was not read");
            None
        }
    }
}

/// Counts the lines of `postqueue -j`, one JSON object a message.
fn count(lines: &str) -> Queue {
    let mut queue = Queue::default();
    let mut oldest = None;
    for message in lines.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok()) {
        match message.queue_name.as_str() {
            "active" => queue.active += 1,
            "deferred" => queue.deferred += 1,
            "hold" => queue.hold += 1,
            // Also `maildrop`: accepted, and on its way in.
            _ => queue.incoming += 1,
        }
        oldest =
            Some(oldest.map_or(message.arrival_time, |one: i64| one.min(message.arrival_time)));
    }
    queue.oldest_at = oldest.map(|seconds| Timestamp { seconds, nanos: 0 });
    queue
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_by_queue() {
        // Of Postfix 3.7.11.
        let queue = count(
            r#"{"queue_name": "deferred", "queue_id": "3AC3698E107", "arrival_time": 1795550590, "message_size": 414, "forced_expire": false, "sender": "x@out.test", "recipients": [{"address": "nobody@example.org", "delay_reason": "connect to 127.0.0.1[127.0.0.1]:21024: Connection refused"}]}
{"queue_name": "deferred", "queue_id": "7F0E798E012", "arrival_time": 1795550651, "message_size": 41384, "forced_expire": false, "sender": "x@out.test", "recipients": [{"address": "bob@example.org", "delay_reason": "connect to 127.0.0.1[127.0.0.1]:21024: Connection refused"}]}
{"queue_name": "hold", "queue_id": "7F0E798E013", "arrival_time": 1795550651, "message_size": 41384, "forced_expire": false, "sender": "", "recipients": []}
"#,
        );
        assert_eq!((queue.active, queue.deferred, queue.hold, queue.incoming), (0, 2, 1, 0));
        assert_eq!(queue.oldest_at.unwrap().seconds, 1_795_550_590);
        assert_eq!(count(""), Queue::default());
    }
}
