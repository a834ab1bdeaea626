//! The U-Mail control plane.

pub mod error;
pub mod fleet;
pub mod store;
