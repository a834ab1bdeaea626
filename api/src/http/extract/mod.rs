//! What handlers take from a request, each refused with problem details.

mod caller;
mod json;
mod named;
mod query;
mod revision;

pub use self::{
    caller::{Confined, Enrolling, Peer, Public},
    json::Json,
    named::{Named, Parsed},
    query::{NoFilter, Pages, Query},
    revision::{IfMatch, Tagged},
};
