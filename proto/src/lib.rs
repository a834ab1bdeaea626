//! The contract between `umail-api` and `umail-agent`: messages, services, ids, functions and the clock.

pub mod clock;
pub mod functions;
pub mod ids;
/// How many app passwords of a user nodes try for one protocol: the newest.
pub const APP_PASSWORDS_TRIED: usize = 8;
/// Bytes of an automatic reply's text. Dovecot takes no more than 8,192 for all that it asks about a
/// user, where a line break counts twice.
pub const AUTOREPLY_TEXT_BYTES: usize = 2_500;
/// Bytes of an automatic reply's subject.
pub const AUTOREPLY_SUBJECT_BYTES: usize = 250;
/// All messages and services of `umail.agent.v1`: an encoded `google.protobuf.FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/umail.agent.v1.binpb"));

/// Messages and services of `umail.agent.v1`, generated.
#[expect(missing_docs, reason = "generated; oneofs and clients carry no comments")]
#[expect(
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    unused_qualifications,
    reason = "generated"
)]
pub mod agent {
    tonic::include_proto!("umail.agent.v1");
}
