//! The U-Mail control plane.

pub mod commands;
pub mod config;
pub mod server;

pub mod grpc;
pub mod http;

pub mod context;
pub mod transaction;

pub mod app;
pub mod authn;
pub mod authz;
pub mod model;
pub mod pki;
pub mod sealer;
pub mod store;

pub mod database;
pub mod fleet;
pub mod tasks;

pub mod error;
pub mod telemetry;
