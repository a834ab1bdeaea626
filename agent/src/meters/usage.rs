//! How much space mailboxes take, asked of Dovecot.

use std::time::Duration;

use umail_proto::agent::MailboxUsage;

use crate::{
    exec::{self, Program},
    layout::Layout,
    replica::Replica,
};

const LIMIT: Duration = Duration::from_secs(20);

/// What became of a question.
pub(super) enum Answer {
    /// The mailbox is this big.
    Usage(MailboxUsage),
    /// There is no such mailbox here.
    Nobody,
    /// Dovecot did not answer: ask again later.
    Later,
}

/// The usage of the mailbox of this address.
pub(super) async fn observe(layout: &Layout, replica: &Replica, address: &str) -> Answer {
    let user_id = match replica.user_id(address).await {
        Ok(Some(user_id)) => user_id,
        Ok(None) => return Answer::Nobody,
        Err(_) => return Answer::Later,
    };
    let conf = layout.etc("dovecot").join("dovecot.conf").into_os_string();
    let mut arguments = vec!["-c".into(), conf];
    arguments.extend(["-f", "tab", "mailbox", "status", "-t", "-u"].map(Into::into));
    arguments.extend([address, "messages vsize", "*"].map(Into::into));
    match exec::run(Program::Doveadm, &arguments, LIMIT).await {
        Ok(output) if output.success() => match parse(&output.stdout) {
            Some((messages, bytes)) => Answer::Usage(MailboxUsage { user_id, bytes, messages }),
            None => Answer::Later,
        },
        // 67: Dovecot does not know the user.
        Ok(output) if output.code == Some(67) => Answer::Nobody,
        Ok(_) | Err(_) => Answer::Later,
    }
}

/// A head and one row: `messages` and `vsize`.
fn parse(table: &str) -> Option<(u64, u64)> {
    let mut rows = table.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let (head, row) = (rows.next()?, rows.next()?);
    let cell = |name| {
        let at = head.iter().position(|one| *one == name)?;
        row.get(at)?.parse().ok()
    };
    Some((cell("messages")?, cell("vsize")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_doveadm_is_read_by_its_head() {
        assert_eq!(parse("messages\tvsize\n2\t695\n"), Some((2, 695)));
        assert_eq!(parse("vsize\tmessages\n695\t2\n"), Some((2, 695)));
        assert_eq!(parse("vsize\n"), None);
    }
}
