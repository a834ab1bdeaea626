//! The sending end of a stream: bounded, and gone when either side is.

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status};

use crate::{context::State, error::Result};

/// Messages that wait for a node that reads slowly. Whoever sends waits with the next one, so
/// that a slow node costs no more memory than this.
const WAITING: usize = 2;

/// What a node receives.
pub(super) type Updates<T> = ReceiverStream<Result<T, Status>>;

/// Where the messages of a stream go.
#[derive(Debug)]
pub(super) struct Sender<T>(mpsc::Sender<Result<T, Status>>);

impl<T> Sender<T> {
    /// Sends once there is room. What nobody receives any more is dropped: the stream is ending.
    pub(super) async fn send(&self, message: T) {
        drop(self.0.send(Ok(message)).await);
    }
}

/// Opens a stream and lets `watch` fill it until the node or the server goes.
pub(super) fn open<T, F, W>(state: &State, watch: F) -> Response<Updates<T>>
where
    T: Send + 'static,
    F: FnOnce(Sender<T>) -> W,
    W: Future<Output = Result<()>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(WAITING);
    let work = watch(Sender(sender.clone()));
    let stop = state.fleet().stop().clone();
    state.fleet().streams().spawn(async move {
        let end = tokio::select! {
            () = sender.closed() => return,
            () = stop.cancelled() => Status::unavailable("the server is stopping"),
            Err(error) = work => Status::from(error),
        };
        // A node that does not read must not keep the server from stopping.
        drop(sender.try_send(Err(end)));
    });
    Response::new(ReceiverStream::new(receiver))
}
