//! `extapp operator` as a child process.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use tempfile::TempDir;

use super::assets::scratch;
use super::error::{Context, Error, Result};
use super::process::Guarded;
use super::{Program, wait::eventually};

const START_LIMIT: Duration = Duration::from_mins(1);
/// What Kubernetes gives a pod by default.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// How an operator is started.
#[derive(Clone, Debug)]
pub struct Builder {
    program: Program,
    kubeconfig: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
}

impl Builder {
    /// Only these namespaces, so that the operators of several tests share a control plane without meeting.
    pub fn watch_namespaces<S: AsRef<str>>(self, namespaces: impl IntoIterator<Item = S>) -> Self {
        let namespaces: Vec<_> = namespaces.into_iter().map(|namespace| namespace.as_ref().to_owned()).collect();
        self.args(["--watch-namespaces".to_owned(), namespaces.join(",")])
    }

    /// The name under which it holds its lease.
    pub fn identity(self, identity: &str) -> Self {
        self.args(["--identity", identity])
    }

    pub fn log_level(self, level: &str) -> Self {
        self.args(["--log-level", level])
    }

    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it and waits until it is ready.
    pub async fn start(self) -> Result<Operator> {
        let mut operator = self.start_unready().await?;
        operator.wait_ready(START_LIMIT).await?;
        Ok(operator)
    }

    /// Starts it and waits only until its admin endpoints answer: for tests of an operator that cannot become ready.
    pub async fn start_unready(self) -> Result<Operator> {
        let scratch = scratch("operator-")?;
        let (process, url) = self.spawn(scratch.path()).await?;
        Ok(Operator { process, url, settings: self, scratch })
    }

    async fn spawn(&self, scratch: &Path) -> Result<(Guarded, String)> {
        let arguments = |command: &mut Command| {
            command.args(["operator", "--metrics-address", "127.0.0.1:0", "--log-format", "json"]);
            command.args(&self.args).env("KUBECONFIG", &self.kubeconfig).envs(self.env.iter().cloned());
        };
        let launch = self.program.launch("operator", scratch).command(arguments);
        let mut process = launch.removing(scratch).grace(Duration::from_secs(5)).start()?;
        let line = process.wait_for_line("admin endpoints on http", START_LIMIT).await?;
        let url = line.split_whitespace().last().context("the operator printed an empty line")?.to_owned();
        Ok((process, url))
    }
}

/// A running operator; it ends, and its files go, when this is dropped.
pub struct Operator {
    process: Guarded,
    url: String,
    settings: Builder,
    scratch: TempDir,
}

impl Operator {
    pub fn builder(program: Program, kubeconfig: &Path) -> Builder {
        Builder { program, kubeconfig: kubeconfig.to_owned(), args: Vec::new(), env: Vec::new() }
    }

    /// Of its admin endpoints.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn process(&mut self) -> &mut Guarded {
        &mut self.process
    }

    pub async fn wait_ready(&mut self, limit: Duration) -> Result<()> {
        let url = format!("{}/readyz", self.url);
        let process = &mut self.process;
        let ready = eventually("the operator is ready", limit, async || {
            if let Some(status) = process.exited()? {
                return Ok(Some(Err(Error::new(format!("the operator ended with {status}")))));
            }
            let response = reqwest::get(&url).await?;
            let status = response.status();
            if status.is_success() {
                Ok(Some(Ok(())))
            } else {
                Err(Error::new(format!("{status}: {}", response.text().await?)))
            }
        });
        let ready = ready.await;
        ready.and_then(|outcome| outcome).map_err(|error| Error::new(format!("{error}; {}", self.process.log_tail())))
    }

    pub async fn metrics(&self) -> Result<String> {
        Ok(reqwest::get(format!("{}/metrics", self.url)).await?.error_for_status()?.text().await?)
    }

    /// Its log since the first start, restarts included.
    pub fn logs(&self) -> String {
        std::fs::read_to_string(self.process.log()).unwrap_or_default()
    }

    pub fn kill9(&mut self) -> Result<()> {
        self.process.kill9()
    }

    /// Ends it as Kubernetes does.
    pub async fn stop(&mut self) -> Result<ExitStatus> {
        self.process.terminate_and_wait(STOP_LIMIT).await
    }

    /// Ends it if it still runs, and starts it again with the same settings.
    pub async fn restart(&mut self) -> Result<()> {
        self.process.kill9()?;
        (self.process, self.url) = self.settings.spawn(self.scratch.path()).await?;
        self.wait_ready(START_LIMIT).await
    }
}
