//! Everything that a node may call, each call a few lines: who it is, and who does it.

use tonic::{Request, Response, Status};
use umail_proto::agent::{
    GetDesiredStateRequest, GetDesiredStateResponse, HeartbeatRequest, HeartbeatResponse,
    ListActionsRequest, ListActionsResponse, ListDirectoryRowsRequest, ListDirectoryRowsResponse,
    ReportActionRequest, ReportActionResponse, ReportStatusRequest, ReportStatusResponse,
    ReportTrafficRequest, ReportTrafficResponse, WatchActionsRequest, WatchActionsResponse,
    WatchDesiredStateRequest, WatchDesiredStateResponse, WatchDirectoryRequest,
    WatchDirectoryResponse, agent_service_server::AgentService,
};

use crate::{
    app,
    context::State,
    grpc::{
        actions, convert, desired_state, directory,
        stream::{self, Updates},
    },
};

/// The service of agents. The caller is the bearer of the certificate.
#[derive(Clone, Debug)]
pub(super) struct Agent {
    state: State,
}

impl Agent {
    /// Serves agents from this state.
    pub(super) const fn new(state: State) -> Self {
        Self { state }
    }
}

#[tonic::async_trait]
impl AgentService for Agent {
    type WatchDesiredStateStream = Updates<WatchDesiredStateResponse>;
    type WatchDirectoryStream = Updates<WatchDirectoryResponse>;
    type WatchActionsStream = Updates<WatchActionsResponse>;

    async fn watch_desired_state(
        &self,
        request: Request<WatchDesiredStateRequest>,
    ) -> Result<Response<Self::WatchDesiredStateStream>, Status> {
        let node = convert::caller(&request)?;
        let watch = |updates| desired_state::watch(self.state.clone(), node, updates);
        Ok(stream::open(&self.state, watch))
    }

    async fn get_desired_state(
        &self,
        request: Request<GetDesiredStateRequest>,
    ) -> Result<Response<GetDesiredStateResponse>, Status> {
        let node = convert::caller(&request)?;
        let state = app::desired_state::build(&self.state, node).await?;
        Ok(Response::new(GetDesiredStateResponse { state: Some(state) }))
    }

    async fn watch_directory(
        &self,
        request: Request<WatchDirectoryRequest>,
    ) -> Result<Response<Self::WatchDirectoryStream>, Status> {
        let node = convert::caller(&request)?;
        let have = convert::position(request.get_ref())?;
        let watch = |updates| directory::watch(self.state.clone(), node, have, updates);
        Ok(stream::open(&self.state, watch))
    }

    async fn list_directory_rows(
        &self,
        request: Request<ListDirectoryRowsRequest>,
    ) -> Result<Response<ListDirectoryRowsResponse>, Status> {
        let node = convert::caller(&request)?;
        let page = directory::page(&self.state, node, request.get_ref()).await?;
        Ok(Response::new(page))
    }

    async fn watch_actions(
        &self,
        request: Request<WatchActionsRequest>,
    ) -> Result<Response<Self::WatchActionsStream>, Status> {
        let node = convert::caller(&request)?;
        let watch = |updates| actions::watch(self.state.clone(), node, updates);
        Ok(stream::open(&self.state, watch))
    }

    async fn list_actions(
        &self,
        request: Request<ListActionsRequest>,
    ) -> Result<Response<ListActionsResponse>, Status> {
        let node = convert::caller(&request)?;
        let actions = app::actions::list_open(&self.state, node).await?;
        Ok(Response::new(ListActionsResponse { actions }))
    }

    async fn report_action(
        &self,
        request: Request<ReportActionRequest>,
    ) -> Result<Response<ReportActionResponse>, Status> {
        let node = convert::caller(&request)?;
        let (id, answer) = convert::answer(request.into_inner())?;
        app::actions::answer(&self.state, node, id, &answer).await?;
        Ok(Response::new(ReportActionResponse {}))
    }

    async fn heartbeat(
        &self,
        request: Request<HeartbeatRequest>,
    ) -> Result<Response<HeartbeatResponse>, Status> {
        let (node, link) = (convert::caller(&request)?, convert::link(&request)?);
        let beat = request.get_ref();
        app::reports::claim(&self.state, node, link, &beat.boot).await?;
        let report_in_full =
            app::reports::beat(&self.state, node, &beat.boot, beat.directory_version)?;
        Ok(Response::new(HeartbeatResponse { report_in_full }))
    }

    async fn report_status(
        &self,
        request: Request<ReportStatusRequest>,
    ) -> Result<Response<ReportStatusResponse>, Status> {
        let node = convert::caller(&request)?;
        let observed = request.into_inner().state;
        let observed = observed.ok_or_else(|| Status::invalid_argument("state: is missing"))?;
        app::reports::status(&self.state, node, &observed).await?;
        Ok(Response::new(ReportStatusResponse {}))
    }

    async fn report_traffic(
        &self,
        request: Request<ReportTrafficRequest>,
    ) -> Result<Response<ReportTrafficResponse>, Status> {
        let node = convert::caller(&request)?;
        let accepted = app::reports::traffic(&self.state, node, &request.get_ref().reports).await?;
        Ok(Response::new(ReportTrafficResponse { accepted }))
    }
}
