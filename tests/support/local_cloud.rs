//! `extapp local-cloud` as a child process.

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;

use super::assets::scratch;
use super::error::{Context, Error, Result};
use super::process::Guarded;
use super::{Program, wait::eventually};

const START_LIMIT: Duration = Duration::from_secs(30);

/// How a local cloud is started.
#[derive(Clone, Debug)]
pub struct Builder {
    program: Program,
    organization: String,
    listen: String,
    data: Option<PathBuf>,
    in_memory: bool,
    people: Option<String>,
    args: Vec<String>,
    env: Vec<(String, String)>,
}

impl Builder {
    pub fn organization(mut self, name: &str) -> Self {
        name.clone_into(&mut self.organization);
        self
    }

    /// Keeps the data in this file instead of one that goes with the process's other files.
    pub fn data(mut self, file: &Path) -> Self {
        self.data = Some(file.to_owned());
        self
    }

    /// Keeps no data file at all: a restart then begins with nothing.
    pub fn in_memory(mut self) -> Self {
        self.in_memory = true;
        self
    }

    /// Lets these people sign in: the text of the YAML file for `--people`.
    pub fn people(mut self, yaml: &str) -> Self {
        self.people = Some(yaml.to_owned());
        self
    }

    /// Lets [`LocalCloud::faults`] break things.
    pub fn fault_injection(self) -> Self {
        self.env("EXTAPP_LOCAL_CLOUD_FAULTS", "1")
    }

    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub async fn start(self) -> Result<LocalCloud> {
        let scratch = scratch("local-cloud-")?;
        let (process, url) = self.spawn(scratch.path()).await?;
        Ok(LocalCloud { process, url, settings: self, scratch })
    }

    async fn spawn(&self, scratch: &Path) -> Result<(Guarded, String)> {
        let people = scratch.join("people.yaml");
        if let Some(text) = &self.people {
            std::fs::write(&people, text).context(people.display())?;
            std::fs::set_permissions(&people, Permissions::from_mode(0o600)).context(people.display())?;
        }
        let arguments = |command: &mut Command| {
            command.args(["local-cloud", "--listen", &self.listen, "--organization", &self.organization]);
            command.arg("--credentials-out").arg(scratch.join("credentials.yaml"));
            command.arg("--access-log").arg(scratch.join("access.log"));
            if !self.in_memory {
                command.arg("--data").arg(self.data.clone().unwrap_or_else(|| scratch.join("local-cloud.db")));
            }
            if self.people.is_some() {
                command.arg("--people").arg(&people);
            }
            command.args(&self.args).envs(self.env.iter().cloned());
        };
        let launch = self.program.launch("local-cloud", scratch).command(arguments);
        let mut process = launch.removing(scratch).grace(Duration::from_secs(2)).start()?;
        let line = process.wait_for_line("listening on http", START_LIMIT).await?;
        let url = line.split_whitespace().last().context("the local cloud printed an empty line")?.to_owned();
        Ok((process, url))
    }
}

/// A running local cloud; it ends, and its files go, when this is dropped.
pub struct LocalCloud {
    process: Guarded,
    url: String,
    settings: Builder,
    scratch: TempDir,
}

impl LocalCloud {
    pub fn builder(program: Program) -> Builder {
        let (organization, listen) = ("acme".to_owned(), "127.0.0.1:0".to_owned());
        Builder {
            program,
            organization,
            listen,
            data: None,
            in_memory: false,
            people: None,
            args: Vec::new(),
            env: Vec::new(),
        }
    }

    /// Up to and with the organization.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What an AuthorizationServer has in `spec.uipath.url`.
    pub fn base_url(&self) -> &str {
        self.url.strip_suffix(&format!("/{}", self.settings.organization)).unwrap_or(&self.url)
    }

    pub fn organization(&self) -> &str {
        &self.settings.organization
    }

    pub fn process(&mut self) -> &mut Guarded {
        &mut self.process
    }

    /// The administrator's client as the manifest of a Secret.
    pub fn credentials_manifest(&self) -> Result<String> {
        let file = self.scratch.path().join("credentials.yaml");
        std::fs::read_to_string(&file).context(file.display())
    }

    /// Its administrator, who outlives no restart at another address.
    pub fn administration(&self) -> Result<Administration> {
        let manifest: Value = serde_saphyr::from_str(&self.credentials_manifest()?)?;
        let of = |key: &str| manifest["stringData"][key].as_str().unwrap_or_default().to_owned();
        let (url, base_url) = (self.url().to_owned(), self.base_url().to_owned());
        Ok(Administration { url, base_url, client_id: of("client-id"), client_secret: of("client-secret") })
    }

    /// Calls the management API as its administrator; `{organization}` in the path stands for the identifier.
    pub async fn administer(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        self.administration()?.administer(method, path, body).await
    }

    /// The organization's identifier, `partitionGlobalId` in requests.
    pub async fn organization_id(&self) -> Result<String> {
        organization_of(&self.administrator_token_for("PM.OAuthApp").await?).context("its tokens name no organization")
    }

    /// An access token of the administrator's client with these scopes.
    pub async fn administrator_token_for(&self, scope: &str) -> Result<String> {
        self.administration()?.token_for(scope).await
    }

    /// Every registration of this name, read in full.
    pub async fn registrations(&self, name: &str) -> Result<Vec<Value>> {
        self.administration()?.registrations(name).await
    }

    /// The file with those who can sign in, if there are any.
    pub fn people_file(&self) -> Option<PathBuf> {
        self.settings.people.as_ref().map(|_| self.scratch.path().join("people.yaml"))
    }

    /// One line per request that it has answered.
    pub fn access_log(&self) -> Result<Vec<String>> {
        let file = self.scratch.path().join("access.log");
        Ok(std::fs::read_to_string(&file).context(file.display())?.lines().map(str::to_owned).collect())
    }

    pub fn logs(&self) -> String {
        std::fs::read_to_string(self.process.log()).unwrap_or_default()
    }

    /// Sends orders for faults; needs [`Builder::fault_injection`].
    pub async fn faults(&self, orders: &Value) -> Result<()> {
        let url = format!("{}/__faults", self.base_url());
        let response = reqwest::Client::new().post(&url).json(orders).send().await?;
        if response.status().is_success() {
            return Ok(());
        }
        Err(Error::new(format!("{url} answered {}: {}", response.status(), response.text().await?)))
    }

    /// The orders that have not been used up.
    pub async fn orders(&self) -> Result<Value> {
        Ok(reqwest::get(format!("{}/__faults", self.base_url())).await?.error_for_status()?.json().await?)
    }

    /// Forgets all orders.
    pub async fn countermand(&self) -> Result<()> {
        let url = format!("{}/__faults", self.base_url());
        reqwest::Client::new().delete(url).send().await?.error_for_status()?;
        Ok(())
    }

    pub fn kill9(&mut self) -> Result<()> {
        self.process.kill9()
    }

    /// One more argument for the next start.
    pub fn add_arg(&mut self, arg: impl Into<String>) {
        self.settings.args.push(arg.into());
    }

    /// Ends it if it still runs, and starts it again with the same settings and data, at the same address.
    pub async fn restart(&mut self) -> Result<()> {
        self.process.kill9()?;
        let address = self.base_url().trim_start_matches("http://").to_owned();
        // The system may hold on to the port for a moment.
        let free = async || Ok(TcpListener::bind(&address).map(|_| Some(()))?);
        eventually("the local cloud's port is free again", START_LIMIT, free).await?;
        self.settings.listen.clone_from(&address);
        (self.process, self.url) = self.settings.spawn(self.scratch.path()).await?;
        Ok(())
    }
}

/// The administrator of a local cloud.
#[derive(Clone)]
pub struct Administration {
    url: String,
    base_url: String,
    client_id: String,
    client_secret: String,
}

impl Administration {
    /// Calls the management API; `{organization}` in the path stands for the identifier.
    pub async fn administer(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let token = self.token_for("PM.OAuthApp").await?;
        let path = path.replace("{organization}", &organization_of(&token).context("its tokens name no organization")?);
        let request =
            reqwest::Client::new().request(method, format!("{}/identity_/api/{path}", self.url)).bearer_auth(token);
        said(request, body).await.map_err(|error| Error::new(format!("{path}: {error}")))
    }

    async fn token_for(&self, scope: &str) -> Result<String> {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &self.client_id),
            ("client_secret", &self.client_secret),
            ("scope", scope),
        ];
        let url = format!("{}/identity_/connect/token", self.base_url);
        let answer: Value = reqwest::Client::new().post(url).form(&form).send().await?.json().await?;
        Ok(answer["access_token"].as_str().context(format!("no token: {answer}"))?.to_owned())
    }

    /// Every registration of this name, read in full.
    pub async fn registrations(&self, name: &str) -> Result<Vec<Value>> {
        let list = self.administer(Method::GET, "ExternalClient/{organization}", None).await?;
        let mut found = Vec::new();
        for row in list.as_array().into_iter().flatten().filter(|row| row["name"] == name) {
            let path = format!("ExternalClient/{{organization}}/{}", row["id"].as_str().unwrap_or_default());
            found.push(self.administer(Method::GET, &path, None).await?);
        }
        Ok(found)
    }
}

/// Sends a request of an API, and gives back what it says; an error has its status and its text.
pub(super) async fn said(request: reqwest::RequestBuilder, body: Option<Value>) -> Result<Value> {
    let request = if let Some(body) = body { request.json(&body) } else { request };
    let answer = request.send().await?;
    let (status, text) = (answer.status(), answer.text().await?);
    if !status.is_success() {
        return Err(Error::new(format!("{status} {text}")));
    }
    Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
}

/// The claim that names the organization of a token.
fn organization_of(token: &str) -> Option<String> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice::<Value>(&claims).ok()?["prt_id"].as_str().map(str::to_owned)
}
