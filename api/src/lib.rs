//! The U-Mail control plane.

pub mod error;
