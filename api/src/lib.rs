//! The control plane of U-Mail.
