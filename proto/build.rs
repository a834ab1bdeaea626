//! Generates the messages and services without a protoc, and keeps what they were made from.

use std::{env, error::Error, fs, path::Path};

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=umail");
    let files = ["umail/agent/v1/agent.proto"];
    let descriptors = protox::compile(files, ["."])?;
    let path = Path::new(&env::var("OUT_DIR")?).join("umail.agent.v1.binpb");
    fs::write(path, descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
