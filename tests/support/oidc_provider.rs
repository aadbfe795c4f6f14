//! A certified OpenID provider with dynamic client registration that is not ours: npm `oidc-provider`, as a child
//! process.

use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::assets::scratch;
use super::error::{Context, Error, Result};
use super::peers;
use super::process::Guarded;

/// With the first installation of its packages.
const START_LIMIT: Duration = Duration::from_mins(1);

/// The scopes that it has, beside those of OpenID Connect.
pub const SCOPES: [&str; 3] = ["invoices.read", "invoices.write", "reports"];

/// What it does with registrations once they are made (RFC 7592).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Management {
    /// Reads, updates and deletes them; each update gives a new registration access token.
    #[default]
    Rotate,
    /// The same, and each read gives a new registration access token, too.
    RotateReads,
    /// Reads, updates and deletes them, and the registration access token stays.
    Keep,
    /// Nothing: RFC 7591 alone.
    None,
}

/// How a provider is started.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    management: Management,
    secret_lifetime: Option<Duration>,
    renews: bool,
}

impl Builder {
    pub fn management(mut self, management: Management) -> Self {
        self.management = management;
        self
    }

    /// Client secrets end after this time. `renews`: each update of a registration gives a new one.
    pub fn secret_lifetime(mut self, lifetime: Duration, renews: bool) -> Self {
        (self.secret_lifetime, self.renews) = (Some(lifetime), renews);
        self
    }

    pub async fn start(self) -> Result<OidcProvider> {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oidc_provider");
        // npm may take its time, and this thread has other tasks.
        let node = tokio::task::spawn_blocking(move || peers::node(&scripts)).await??;
        let scratch = scratch("oidc-provider-")?;
        let management = match self.management {
            Management::Rotate => "rotate",
            Management::RotateReads => "reads",
            Management::Keep => "keep",
            Management::None => "none",
        };
        let behaviour = json!({
            "management": management,
            "secretLifetime": self.secret_lifetime.map(|lifetime| lifetime.as_secs()),
            "renews": self.renews,
            "initialAccessToken": INITIAL_ACCESS_TOKEN,
        });
        let launch = node.launch("oidc-provider", "server.mjs", &[&behaviour.to_string()], scratch.path());
        let mut process = launch.removing(scratch.path()).start()?;
        let line = process.wait_for_line("listening on http", START_LIMIT).await?;
        let issuer = line.split_whitespace().last().context("an empty line")?.to_owned();
        Ok(OidcProvider { process, issuer, _scratch: scratch })
    }
}

/// What registrations must be asked for with.
pub const INITIAL_ACCESS_TOKEN: &str = "initial-access-token-of-the-platform";

/// A running provider; it ends when this is dropped.
pub struct OidcProvider {
    process: Guarded,
    issuer: String,
    _scratch: TempDir,
}

static SHARED: OnceCell<OidcProvider> = OnceCell::const_new();

impl OidcProvider {
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// One for all tests that only look at what is their own: full management, with rotation.
    pub async fn shared() -> Result<&'static Self> {
        SHARED.get_or_try_init(|| Self::builder().start()).await
    }

    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    pub fn process(&mut self) -> &mut Guarded {
        &mut self.process
    }

    /// Every client that it has, as it keeps them.
    pub async fn clients(&self) -> Result<Vec<Value>> {
        Ok(self.administer(Method::GET, "clients", None).await?.as_array().cloned().unwrap_or_default())
    }

    /// The clients of this name.
    pub async fn named(&self, name: &str) -> Result<Vec<Value>> {
        Ok(self.clients().await?.into_iter().filter(|client| client["client_name"] == name).collect())
    }

    /// Removes a client, as somebody else does who administers the provider.
    pub async fn remove(&self, client_id: &str) -> Result<()> {
        self.administer(Method::DELETE, &format!("clients/{client_id}"), None).await.map(drop)
    }

    /// Changes metadata of a client, as somebody else does who administers the provider.
    pub async fn change(&self, client_id: &str, metadata: Value) -> Result<()> {
        self.administer(Method::PATCH, &format!("clients/{client_id}"), Some(metadata)).await.map(drop)
    }

    /// How many requests of this method its registration endpoints have answered for a client; for none, creates.
    pub async fn requests(&self, method: &str, client_id: Option<&str>) -> Result<usize> {
        let all = self.administer(Method::GET, "requests", None).await?;
        let fits = |request: &&Value| request["method"] == method && request["client"].as_str() == client_id;
        Ok(all.as_array().into_iter().flatten().filter(fits).count())
    }

    async fn administer(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let url = format!("{}/__admin/{path}", self.issuer);
        let mut request = reqwest::Client::new().request(method, &url);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        if !answer.status().is_success() {
            return Err(Error::new(format!("{url} answered {}", answer.status())));
        }
        Ok(answer.json().await?)
    }
}
