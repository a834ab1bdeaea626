//! Gives machines their identity: the calls that need no valid certificate.

use tonic::{Request, Response, Status, async_trait};
use umail_proto::agent::{
    EnrolRequest, EnrolResponse, NodeCertificate, RenewRequest, RenewResponse,
    enrolment_service_server::EnrolmentService,
};

use crate::{
    app,
    context::{Context, State},
    grpc::identity::peer,
    pki::Issued,
};

/// Enrolment of nodes.
#[derive(Debug)]
pub(super) struct Enrolment {
    state: State,
}

impl Enrolment {
    pub(super) fn new(state: State) -> Self {
        Self { state }
    }

    fn certificate(&self, issued: Issued) -> NodeCertificate {
        let not_after =
            prost_types::Timestamp { seconds: issued.not_after.unix_timestamp(), nanos: 0 };
        NodeCertificate {
            chain_pem: issued.chain_pem,
            roots_pem: self.state.authority().roots_pem().to_owned(),
            not_after: Some(not_after),
        }
    }
}

#[async_trait]
impl EnrolmentService for Enrolment {
    async fn enrol(
        &self,
        request: Request<EnrolRequest>,
    ) -> Result<Response<EnrolResponse>, Status> {
        let from = peer(&request)?.address.ip();
        let request = request.into_inner();
        let cx = Context::system(self.state.clone());
        let wanted = app::enrolment::Enrolment {
            join_token: &request.join_token,
            signing_request: &request.signing_request,
            node_name: &request.node_name,
            address: &request.address,
            from,
        };
        let (node, issued) = app::enrolment::enrol(&cx, wanted).await?;
        let certificate = Some(self.certificate(issued));
        Ok(Response::new(EnrolResponse { node_id: node.to_string(), certificate }))
    }

    async fn renew(
        &self,
        request: Request<RenewRequest>,
    ) -> Result<Response<RenewResponse>, Status> {
        let certificate = peer(&request)?.renewing()?.clone();
        let cx = Context::system(self.state.clone());
        let signing_request = request.into_inner().signing_request;
        let issued = app::enrolment::renew(&cx, &certificate, &signing_request).await?;
        Ok(Response::new(RenewResponse { certificate: Some(self.certificate(issued)) }))
    }
}
