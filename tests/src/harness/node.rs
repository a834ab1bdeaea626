//! One mail node: its namespace, its agent, and what can be seen of its daemons.

use std::{
    collections::BTreeMap,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use nix::sys::signal::Signal;
use serde_json::Value;
use umail_agent::layout::Layout;

use super::{Because, Result, process, process::Process};
use crate::ensure;

/// A node of the fleet.
#[derive(Debug)]
pub struct Node {
    name: String,
    namespace: String,
    address: IpAddr,
    folder: PathBuf,
    agent: Option<Process>,
}

impl Node {
    /// Writes the node's configuration. The agent is not started.
    pub fn new(
        name: &str,
        namespace: String,
        address: IpAddr,
        folder: &Path,
        server: &str,
    ) -> Result<Self> {
        let folder = folder.join(name);
        fs::create_dir_all(&folder)?;
        let config = format!(
            "data_dir = \"{}\"\nservers = [\"https://{server}\"]\naddress = \"{address}\"\n\
             supervisor = \"direct\"\nlog_format = \"human\"\ntraffic_interval_seconds = 1\n",
            folder.join("data").display(),
        );
        fs::write(folder.join("agent.toml"), config)?;
        // Dovecot starts it as the user of the mailboxes, who does not enter every checkout.
        let (built, there) = (process::program("umail-agent")?, folder.join("umail-agent"));
        if fs::hard_link(&built, &there).is_err() {
            fs::copy(&built, &there)?;
        }
        Ok(Self { name: name.to_owned(), namespace, address, folder, agent: None })
    }

    /// A subcommand of `umail-agent` in the node's namespace.
    pub fn command(&self, words: &[&str]) -> Result<Command> {
        let mut command = process::inside(&self.namespace, &self.folder.join("umail-agent"));
        command.arg("--config").arg(self.folder.join("agent.toml")).args(words);
        command.current_dir(&self.folder);
        Ok(command)
    }

    /// Enrols the node with a join token as the API returned it.
    pub async fn join(&self, token: &Value) -> Result {
        let text = |key: &str| token[key].as_str().unwrap_or_default();
        let words = ["join", "--token", text("token"), "--name", &self.name];
        let fingerprint = ["--ca-fingerprint", text("ca_fingerprint")];
        let command = self.command(&[words.as_slice(), &fingerprint].concat())?;
        process::finish(command).await.because(format!("umail-agent join on {}", self.name))?;
        Ok(())
    }

    /// Starts the agent.
    pub fn start(&mut self) -> Result {
        ensure!(self.agent.is_none(), "the agent of {} runs already", self.name);
        let log = self.folder.join("umail-agent.log");
        self.agent = Some(Process::start(self.command(&["run"])?, &log)?);
        Ok(())
    }

    /// Stops the agent by SIGTERM; its daemons keep running.
    pub async fn stop(&mut self) -> Result {
        let mut agent = self.agent.take().ok_or("the agent does not run")?;
        agent.signal(Signal::SIGTERM)?;
        let status = agent.ended(Duration::from_secs(10)).await.because(self.name.clone())?;
        ensure!(status.success(), "umail-agent ended with {status}:\n{}", agent.tail(15));
        Ok(())
    }

    /// Kills the agent at once; its daemons keep running.
    pub async fn kill(&mut self) -> Result {
        self.agent.take().ok_or("the agent does not run")?.kill().await
    }

    /// Sends the agent a signal such as SIGSTOP.
    pub fn signal(&self, signal: Signal) -> Result {
        self.agent.as_ref().ok_or("the agent does not run")?.signal(signal)
    }

    /// Fails, with the end of its log, if the agent has ended.
    pub fn check(&mut self) -> Result {
        let Some(agent) = &mut self.agent else { return Err("the agent does not run".into()) };
        agent.check().because(format!("umail-agent on {}", self.name))
    }

    /// Name of the node.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Name of its network namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Address on the bridge.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// Where the node's files lie.
    #[must_use]
    pub fn layout(&self) -> Layout {
        Layout::new(self.folder.join("data"))
    }

    /// Folder of the node, with configuration and log of the agent.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Messages in Postfix's queue by queue name, as `postqueue -j` tells it.
    pub async fn queue(&self) -> Result<BTreeMap<String, u64>> {
        let mut command = process::inside(&self.namespace, Path::new("postqueue"));
        command.arg("-c").arg(self.layout().etc("postfix")).arg("-j");
        let output = process::finish(command).await?;
        let mut queue = BTreeMap::new();
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let entry: Value = serde_json::from_str(line).because("postqueue -j")?;
            let name = entry["queue_name"].as_str().unwrap_or_default().to_owned();
            *queue.entry(name).or_default() += 1;
        }
        Ok(queue)
    }

    /// Lines of a daemon's log (`postfix`, `dovecot`) that contain a text.
    #[must_use]
    pub fn log_lines(&self, service: &str, text: &str) -> Vec<String> {
        let log = fs::read(self.layout().log(service)).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        log.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }
}
