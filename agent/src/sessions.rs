//! Ends the POP3 and IMAP sessions of whoever would not be let in any more.
//!
//! It goes by who is signed in now and by what the directory says now, not by what has changed:
//! nothing is missed while the agent is away, and doing it again ends nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    drivers::{
        Refusal,
        dovecot::sessions::{SignedIn, kick, signed_in},
    },
    layout::Layout,
    replica::Replica,
};

/// Between two looks while the directory does not change: who was let in just before a change may
/// not have been in the list yet.
const LOOK: Duration = Duration::from_secs(30);
/// Changes that come this close together are one.
const PAUSE: Duration = Duration::from_millis(300);
/// Looking takes at most one part in this many of the time.
const SHARE: u32 = 20;
/// Users that are looked up at a time: changes of the directory wait meanwhile.
const LOOKED_UP: usize = 200;
/// So many users of a domain are more than it takes to end all of its sessions at once.
const MANY: usize = 4;

/// Ends sessions whenever the directory has changed, until it is told to stop.
pub async fn watch(layout: &Layout, replica: &Replica, changed: &Notify, stop: CancellationToken) {
    loop {
        let start = Instant::now();
        if let Err(error) = end_refused(layout, replica).await {
            tracing::debug!(%error, "sessions were not looked at, or did not end");
        }
        let rest = async {
            sleep(PAUSE.max(start.elapsed() * SHARE)).await;
            timeout(LOOK, changed.notified()).await.ok();
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = rest => {}
        }
    }
}

/// Ends the sessions that the directory does not allow, and returns how many users or whole domains
/// that took. All are tried before the first error is returned.
pub async fn end_refused(layout: &Layout, replica: &Replica) -> Result<usize, Refusal> {
    let all: Vec<_> = signed_in(layout).await?.into_iter().collect();
    let mut refused = BTreeSet::new();
    for some in all.chunks(LOOKED_UP) {
        let asked: Vec<_> = some.iter().map(|one| (one.address.as_str(), one.function)).collect();
        let places = replica.refused(&asked).await.map_err(|error| Refusal(error.to_string()))?;
        refused.extend(places.into_iter().filter_map(|place| some.get(place)));
    }
    let masks = masks(&all, &refused);
    let mut outcome = Ok(masks.len());
    for mask in masks {
        tracing::info!(mask, "sessions end: the directory does not allow them");
        if let Err(error) = kick(layout, &mask).await {
            outcome = outcome.and(Err(error));
        }
    }
    outcome
}

/// What to kick: a whole domain when many of its users are refused and none may stay, so that closing
/// it takes two runs of doveadm, however many are signed in.
fn masks(all: &[SignedIn], refused: &BTreeSet<&SignedIn>) -> BTreeSet<String> {
    let stay = all.iter().filter(|one| !refused.contains(one));
    let stay: BTreeSet<_> = stay.map(|one| domain(&one.address)).collect();
    let mut domains: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for one in refused {
        domains.entry(domain(&one.address)).or_default().insert(one.address.clone());
    }
    let of_domain = |(domain, users): (&str, BTreeSet<String>)| {
        let is_whole = users.len() >= MANY && !stay.contains(domain);
        if is_whole { BTreeSet::from([format!("*@{domain}")]) } else { users }
    };
    domains.into_iter().flat_map(of_domain).collect()
}

fn domain(address: &str) -> &str {
    address.rsplit_once('@').map_or("", |(_, domain)| domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_of_which_nobody_may_stay_ends_at_once() {
        let one = |address: &str, function| SignedIn { address: address.to_owned(), function };
        let mut all = vec![one("a@y.org", 1), one("a@y.org", 2)];
        all.extend(["a", "b", "c", "d"].map(|name| one(&format!("{name}@x.org"), 1)));
        let masks = |refused: &[usize]| {
            let refused = refused.iter().map(|place| &all[*place]).collect();
            masks(&all, &refused).into_iter().collect::<Vec<_>>()
        };
        assert!(masks(&[]).is_empty());
        assert_eq!(masks(&[0, 1]), ["a@y.org"]);
        assert_eq!(masks(&[0, 2, 3, 4]), ["a@x.org", "a@y.org", "b@x.org", "c@x.org"]);
        assert_eq!(masks(&[1, 2, 3, 4, 5]), ["*@x.org", "a@y.org"]);
    }
}
