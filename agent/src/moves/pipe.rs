//! Between Dovecot and the other agent: doveadm talks to a program on its standard streams
//! (`umail-agent dsync-pipe`), which hands everything on to a socket of the running agent. The
//! node's key stays with the agent.

use std::{
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use tokio::{
    io::{AsyncWriteExt as _, stdin, stdout},
    net::{UnixListener, UnixStream},
};

use super::peer::Connection;
use crate::layout::Layout;

/// A socket for one copy; its file goes with it.
pub(super) struct Bridge {
    listener: UnixListener,
    path: PathBuf,
}

impl Bridge {
    /// Makes the socket in a folder that only root enters: doveadm starts its programs as root.
    pub(super) fn open(layout: &Layout, move_id: &str) -> io::Result<Self> {
        let id = uuid::Uuid::parse_str(move_id).map_err(io::Error::other)?;
        let folder = layout.run("agent");
        std::fs::create_dir_all(&folder)?;
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700))?;
        let path = folder.join(format!("{}.sock", id.simple()));
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Ok(Self { listener: UnixListener::bind(&path)?, path })
    }

    /// Where the socket is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Carries everything between the program and the other agent until both have ended.
    pub(super) async fn carry(self, mut connection: Connection) -> io::Result<()> {
        let (mut program, _address) = self.listener.accept().await?;
        tokio::io::copy_bidirectional(&mut program, &mut connection).await?;
        Ok(())
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        std::fs::remove_file(&self.path).ok();
    }
}

/// What `umail-agent dsync-pipe` does: hands its standard streams on to the agent's socket.
pub async fn pipe(socket: &Path) -> io::Result<()> {
    let (mut from_agent, mut to_agent) = UnixStream::connect(socket).await?.into_split();
    let send = async {
        tokio::io::copy(&mut stdin(), &mut to_agent).await?;
        to_agent.shutdown().await
    };
    let receive = async {
        let mut out = stdout();
        tokio::io::copy(&mut from_agent, &mut out).await?;
        out.flush().await
    };
    // tokio reads standard input on a thread that cannot be cancelled; when the other side has
    // ended there is nobody left to send to.
    tokio::select! {
        received = receive => received,
        Err(error) = send => Err(error),
    }
}
