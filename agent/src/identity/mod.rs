//! Who this node is: its key, its certificate, and the roots that it trusts.

mod certificate;
mod join;
mod tls;

use std::{
    fs::DirBuilder,
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::KeyPair;
use rustls::{ClientConfig, ServerConfig};
use tokio::sync::watch;
use umail_proto::agent::NodeCertificate;

pub use self::{
    certificate::{Lifetime, peer_node_id},
    join::{Fingerprint, Joining, join},
};
use crate::{durable, layout::Layout};

/// The name in the certificate of every API server.
pub const SERVER_NAME: &str = "umail-api";

/// Why there is no usable identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file of the identity is missing.
    #[error("this node has not joined ({0} is missing): run `umail-agent join`")]
    Missing(PathBuf),
    /// The files are there and do not fit together.
    #[error("the identity in {folder} is not usable, {reason}: run `umail-agent join` again")]
    Broken {
        /// Where the files lie.
        folder: PathBuf,
        /// What is wrong with them.
        reason: String,
    },
    /// The files could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The server did not give a certificate, or not one for this node.
    #[error("{0}")]
    Refused(String),
}

/// The node's identity. Clones share one: a renewal reaches all of them.
#[derive(Clone)]
pub struct Identity {
    folder: PathBuf,
    node_id: Arc<str>,
    key_pem: Arc<str>,
    current: Arc<watch::Sender<Current>>,
}

/// What a renewal replaces.
#[derive(Clone)]
struct Current {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    lifetime: Lifetime,
}

impl Identity {
    /// Reads the identity that `umail-agent join` has written.
    pub fn load(layout: &Layout) -> Result<Self, IdentityError> {
        let folder = layout.agent();
        let node_id = read(&folder, "node-id")?.trim().to_owned();
        let key_pem = read(&folder, "node.key")?;
        let current =
            current(&node_id, &key_pem, &read(&folder, "node.pem")?, &read(&folder, "roots.pem")?)
                .map_err(|reason| IdentityError::Broken { folder: folder.clone(), reason })?;
        Ok(Self {
            folder,
            node_id: node_id.into(),
            key_pem: key_pem.into(),
            current: Arc::new(watch::Sender::new(current)),
        })
    }

    /// The node's id, a hyphenated UUID.
    #[must_use]
    pub fn node_id(&self) -> String {
        self.node_id.to_string()
    }

    /// For connections to servers and other nodes: presents the node certificate, trusts the
    /// fleet's roots only. Ask for it anew for each connection, so that it follows a renewal.
    #[must_use]
    pub fn client_config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.current.borrow().client)
    }

    /// For connections from other nodes: requires a certificate of the fleet's roots. Ask for it
    /// anew for each connection, so that it follows a renewal.
    #[must_use]
    pub fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.borrow().server)
    }

    /// From when until when the certificate is good.
    #[must_use]
    pub fn lifetime(&self) -> Lifetime {
        self.current.borrow().lifetime
    }

    /// A signing request for the next certificate. The key stays: a renewal replaces one file,
    /// and is either done or not, whatever happens while writing.
    pub fn signing_request(&self) -> Result<Vec<u8>, IdentityError> {
        let key = KeyPair::from_pem(&self.key_pem).map_err(|error| self.broken(&error))?;
        certificate::signing_request(&key).map_err(|error| self.broken(&error))
    }

    /// Takes a new certificate, on the disk and for every connection from now on.
    pub fn install(&self, renewed: &NodeCertificate) -> Result<(), IdentityError> {
        let current = current(&self.node_id, &self.key_pem, &renewed.chain_pem, &renewed.roots_pem)
            .map_err(|reason| {
                IdentityError::Refused(format!("the renewed certificate: {reason}"))
            })?;
        // Roots first: the new certificate may need them, the old one is among their children too.
        write(&self.folder, "roots.pem", &renewed.roots_pem)?;
        write(&self.folder, "node.pem", &renewed.chain_pem)?;
        self.current.send_replace(current);
        Ok(())
    }

    /// Resolves at the next renewal.
    pub fn renewed(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut current = self.current.subscribe();
        async move {
            // An identity that is gone is never renewed again.
            if current.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    fn broken(&self, error: &impl ToString) -> IdentityError {
        IdentityError::Broken { folder: self.folder.clone(), reason: error.to_string() }
    }
}

/// Checks that key, certificate and node id belong together and builds the configurations.
fn current(
    node_id: &str,
    key_pem: &str,
    chain_pem: &str,
    roots_pem: &str,
) -> Result<Current, String> {
    let chain = certificate::chain(chain_pem)?;
    if peer_node_id(&chain).as_deref() != Some(node_id) {
        return Err(format!("the certificate is not that of node {node_id}"));
    }
    let lifetime = Lifetime::of(&chain)?;
    let roots = Arc::new(certificate::roots(roots_pem)?);
    let client = tls::client(&roots, chain.clone(), key_pem)?;
    let server = tls::server(&roots, chain, key_pem)?;
    Ok(Current { client: Arc::new(client), server: Arc::new(server), lifetime })
}

fn read(folder: &Path, name: &str) -> Result<String, IdentityError> {
    let path = folder.join(name);
    match durable::read(&path) {
        Ok(Some(content)) => String::from_utf8(content).map_err(|error| IdentityError::Broken {
            folder: folder.to_owned(),
            reason: error.to_string(),
        }),
        Ok(None) => Err(IdentityError::Missing(path)),
        Err(source) => Err(IdentityError::Io { path, source }),
    }
}

fn write(folder: &Path, name: &str, content: &str) -> Result<(), IdentityError> {
    let path = folder.join(name);
    durable::write(&path, content.as_bytes(), 0o600)
        .map_err(|source| IdentityError::Io { path, source })
}

/// Makes the folder that only the agent reads.
pub fn create_folder(layout: &Layout) -> Result<(), IdentityError> {
    let path = layout.agent();
    let failed = |source| IdentityError::Io { path: path.clone(), source };
    std::fs::create_dir_all(layout.root()).map_err(failed)?;
    match DirBuilder::new().mode(0o700).create(&path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed(error)),
        _ => Ok(()),
    }
}
