//! Wakes the streams of nodes for which another instance has made actions.

use std::{collections::HashMap, time::Duration};

use umail_proto::ids::{ActionId, NodeId};

use super::Task;
use crate::{context::Context, error::Result, store};

/// The newest action of each connected node, as of the last look.
#[derive(Default)]
pub(super) struct Actions {
    seen: HashMap<NodeId, ActionId>,
}

impl Task for Actions {
    const NAME: &'static str = "actions";
    const PERIOD: Duration = Duration::from_millis(500);

    async fn run(&mut self, cx: &Context) -> Result<u64> {
        let registry = cx.state().fleet().registry();
        let connected = registry.connected();
        if connected.is_empty() {
            return Ok(0);
        }
        let newest: HashMap<_, _> =
            store::actions::list_newest(cx.pool(), &connected).await?.into_iter().collect();
        let news = newest.iter().filter(|(node, action)| self.seen.get(node) != Some(action));
        let mut woken = 0;
        for (node, _) in news {
            registry.actions_changed(*node);
            woken += 1;
        }
        self.seen = newest;
        Ok(woken)
    }
}
