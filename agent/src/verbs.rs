//! The verbs of actions, as this node carries them out.

use futures_util::{FutureExt, future::BoxFuture};
use time::OffsetDateTime;
use umail_proto::agent::{ActionFindings, Peer, action::Verb};

use crate::{
    actions::Verbs,
    drivers::{Refusal, postfix::queue},
    layout::Layout,
    moves::Moves,
    replica::Replica,
};

/// Carries out verbs by Postfix, Dovecot and the agents of other nodes.
pub struct NodeVerbs {
    layout: Layout,
    replica: Replica,
    moves: Moves,
}

impl NodeVerbs {
    /// The verbs of the node with this layout.
    #[must_use]
    pub const fn new(layout: Layout, replica: Replica, moves: Moves) -> Self {
        Self { layout, replica, moves }
    }

    async fn hold(&self, user_id: &str) -> Result<ActionFindings, Refusal> {
        let senders = self.replica.sender_addresses(user_id).await;
        let senders = senders.map_err(|error| Refusal(error.to_string()))?;
        let messages = queue::hold(&self.layout, &senders).await?;
        Ok(ActionFindings { messages, ..ActionFindings::default() })
    }
}

impl Verbs for NodeVerbs {
    fn execute<'a>(
        &'a self,
        verb: &'a Verb,
        deadline: OffsetDateTime,
        peers: &'a [Peer],
    ) -> BoxFuture<'a, Result<ActionFindings, Refusal>> {
        async move {
            match verb {
                Verb::FlushQueue(_) => {
                    queue::flush(&self.layout).await.map(|()| ActionFindings::default())
                }
                Verb::HoldMail(verb) => self.hold(&verb.user_id).await,
                step => self.moves.execute(step, deadline, peers).await,
            }
        }
        .boxed()
    }
}
