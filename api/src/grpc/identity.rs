//! Who calls: the bearer of the certificate, never a field of a message.

use std::net::SocketAddr;

use tonic::{Request, Status};
use umail_proto::{clock::Clock, ids::NodeId};

use crate::pki::NodeCertificate;

/// The other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where it comes from.
    pub address: SocketAddr,
    /// What it showed; its chain is verified, but it may have expired lately.
    pub certificate: Option<NodeCertificate>,
    /// The number of the connection among those of this instance; none without a certificate.
    pub link: Option<u64>,
    /// Whether the certificate was revoked, or replaced when the node enrolled again.
    pub revoked: bool,
}

impl Peer {
    /// The bearer of a certificate that is not revoked, be it expired.
    pub fn renewing(&self) -> Result<&NodeCertificate, Status> {
        let certificate = self.certificate.as_ref();
        let certificate =
            certificate.ok_or_else(|| Status::unauthenticated("a node certificate is required"))?;
        if self.revoked {
            return Err(Status::permission_denied("the certificate is revoked"));
        }
        Ok(certificate)
    }

    /// The bearer of a good certificate.
    fn node(&self, clock: &Clock) -> Result<NodeId, Status> {
        let certificate = self.renewing()?;
        if certificate.not_after <= clock.now() {
            return Err(Status::unauthenticated("the certificate has expired: renew it"));
        }
        Ok(certificate.node)
    }
}

/// The other end of the connection that a request came by.
pub fn peer<T>(request: &Request<T>) -> Result<&Peer, Status> {
    request.extensions().get().ok_or_else(|| Status::internal("the connection is not known"))
}

/// Puts the caller's `NodeId` into the extensions of a request, or refuses it.
pub fn require_node(
    clock: Clock,
) -> impl Fn(Request<()>) -> Result<Request<()>, Status> + Clone + Send + Sync + 'static {
    move |mut request| {
        let node = peer(&request)?.node(&clock)?;
        request.extensions_mut().insert(node);
        Ok(request)
    }
}
