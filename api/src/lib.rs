//! The U-Mail control plane.

pub mod http;

pub mod context;
pub mod transaction;

pub mod app;
pub mod authn;
pub mod authz;
pub mod model;
pub mod sealer;
pub mod store;

pub mod fleet;

pub mod error;
