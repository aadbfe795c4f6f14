//! Identities of the control plane: tokens, kubeconfig files, clients.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::json;

use super::error::{Context, Error, Result};

/// A user whom the API server knows by a token.
#[derive(Clone, Debug)]
pub struct Identity {
    pub user: String,
    pub groups: Vec<String>,
    token: String,
}

impl Identity {
    pub fn new(user: &str, groups: &[&str]) -> Result<Self> {
        let mut token = [0; 32];
        aws_lc_rs::rand::fill(&mut token).map_err(|_| Error::new("no random bytes"))?;
        let groups = groups.iter().map(|&group| group.to_owned()).collect();
        Ok(Self { user: user.to_owned(), groups, token: URL_SAFE_NO_PAD.encode(token) })
    }

    /// A line of `--token-auth-file`.
    pub fn token_line(&self) -> String {
        format!("{},{},{},\"{}\"\n", self.token, self.user, self.user, self.groups.join(","))
    }

    pub fn kubeconfig_path(&self, directory: &Path) -> PathBuf {
        directory.join(format!("{}.kubeconfig", self.user.replace(|c: char| !c.is_ascii_alphanumeric(), "-")))
    }

    pub fn write_kubeconfig(&self, directory: &Path, url: &str, certificate: &[u8]) -> Result<()> {
        // JSON is YAML, and every reader of kubeconfig files takes it.
        let text = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "extapp", "cluster": {
                "server": url,
                "certificate-authority-data": STANDARD.encode(certificate),
            }}],
            "users": [{"name": self.user, "user": {"token": self.token}}],
            "contexts": [{"name": "extapp", "context": {"cluster": "extapp", "user": self.user}}],
            "current-context": "extapp",
        });
        write_private(&self.kubeconfig_path(directory), &format!("{text:#}\n"))
    }
}

/// Writes a file that only its owner may read.
pub fn write_private(path: &Path, text: &str) -> Result<()> {
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).context(path.display())?;
    file.write_all(text.as_bytes()).context(path.display())
}

/// A client of the calling runtime: a client's connections belong to the runtime that made it, so tests share none.
pub async fn client(kubeconfig: &Path) -> Result<kube::Client> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(kube::Client::try_from(config)?)
}
