//! Ory Hydra as a child process: found, or built from its published Go module and kept.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::assets::{scratch, target_directory};
use super::control_plane::free_ports;
use super::error::{Context, Error, Result};
use super::go::{ToolModule, cache_key, human, lock, say};
use super::kubeconfig::write_private;
use super::process::{Guarded, Launch, tail};
use super::wait::eventually;

/// Names a program that is there already.
const VARIABLE: &str = "HYDRA";
const TOPIC: &str = "Ory Hydra";
const MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hydra");
const PACKAGE: &str = "github.com/ory/hydra/v2";
/// The features that the tests need, and no more: its data in a file, and no security modules.
const FLAGS: [&str; 4] = ["-tags", "sqlite,hsm_disabled", "-ldflags", "-s -w"];
/// How often a start is tried when another process takes one of the ports between their choice and their use, and a change
/// that meets another.
const ATTEMPTS: usize = 5;
const START_LIMIT: Duration = Duration::from_mins(1);
const DATABASE: &str = "hydra.db";
/// How SQLite is used: everything in one file.
const PLAIN: &str = "_fk=true";
/// The same for many at once: as it comes, SQLite refuses what meets another write.
const IN_A_HURRY: &str = "_fk=true&_busy_timeout=20000&_journal_mode=WAL&_synchronous=NORMAL";
const TAIL_LINES: usize = 40;

/// What a Hydra is started from.
#[derive(Clone, Debug)]
struct Installed {
    program: PathBuf,
    /// Where a database is kept that has nothing in it but keys. To make them takes seconds of both cores, for which many
    /// tests would wait.
    database: Option<PathBuf>,
}

/// The program: from the variable HYDRA, from an earlier build, or built now, which takes minutes. Blocks.
fn installed() -> Result<Installed> {
    if let Some(program) = std::env::var_os(VARIABLE).map(PathBuf::from) {
        let missing = || format!("{VARIABLE} names {}, which is no file", program.display());
        return if program.is_file() { Ok(Installed { program, database: None }) } else { Err(Error::new(missing())) };
    }
    let advice = format!(
        "the tests of the hydra server build it from source: install Go 1.26 or newer (https://go.dev/dl) and a C \
         compiler (Debian: gcc and libc6-dev), or name a hydra program in {VARIABLE}"
    );
    let module = ToolModule { topic: TOPIC, folder: MODULE.into(), cgo: true, advice };
    let version = module.required(PACKAGE)?;
    let parent = target_directory().join("peers").join("hydra");
    let folder = parent.join(&version).join(cache_key(&["go.mod", "go.sum"].map(|f| Path::new(MODULE).join(f)))?);
    let (program, database) = (folder.join("hydra"), folder.join("with-keys.db"));
    if !program.is_file() {
        let _lock = lock(&parent, TOPIC)?;
        // Another process may have built it while this one waited for the lock.
        if !program.is_file() {
            build(&module, &version, &folder)?;
        }
    }
    Ok(Installed { program, database: Some(database) })
}

fn build(module: &ToolModule, version: &str, folder: &Path) -> Result<()> {
    let go = module.go_version()?;
    say(&format!(
        "{TOPIC}: building {version} with {go}, once, into {}\n\
         {TOPIC}: about 4 minutes on two cores; name a hydra program in {VARIABLE} to skip this",
        folder.display()
    ));
    let started = Instant::now();
    module.build("hydra", PACKAGE, &FLAGS, folder).context(format!("cannot build {TOPIC}: {}", module.advice))?;
    say(&format!("{TOPIC}: built in {}", human(started.elapsed())));
    Ok(())
}

/// Makes an empty database in a folder.
fn set_up(program: &Path, folder: &Path) -> Result<()> {
    let migrate = |command: &mut Command| {
        let database = format!("sqlite://{}?_fk=true", folder.join(DATABASE).display());
        command.args(["migrate", "sql", "up", "--yes", &database]).env("SQA_OPT_OUT", "true");
    };
    let mut migration = Launch::new("migrate", program, folder).command(migrate).start()?;
    let status = loop {
        match migration.exited()? {
            Some(status) => break status,
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    if status.success() {
        return Ok(());
    }
    let said = tail(migration.log(), TAIL_LINES);
    Err(Error::new(format!("{} cannot set up its database:\n{said}", program.display())))
}

/// A running Hydra with its data in SQLite; it ends, and its files go, when this is dropped.
pub struct Hydra {
    process: Guarded,
    program: PathBuf,
    ports: [u16; 2],
    scratch: TempDir,
}

impl Hydra {
    /// Builds the program if it is not there: minutes, and says so. Blocks.
    pub fn prepare() -> Result<()> {
        installed().map(|_| ())
    }

    /// One with nothing in it.
    pub async fn start() -> Result<Self> {
        let installed = tokio::task::spawn_blocking(installed).await??;
        if let Some(empty) = &installed.database {
            empty_database(&installed.program, empty).await?;
        }
        Self::begin(&installed, IN_A_HURRY).await
    }

    /// Starts it with a copy of the empty database, or with one that it sets up now.
    async fn begin(installed: &Installed, options: &str) -> Result<Self> {
        let scratch = scratch("hydra-")?;
        let (program, folder) = (installed.program.clone(), scratch.path().to_owned());
        let empty = installed.database.clone().filter(|empty| empty.is_file());
        let prepare = move || match empty {
            Some(empty) => std::fs::copy(&empty, folder.join(DATABASE)).map(|_| ()).context(empty.display()),
            None => set_up(&program, &folder),
        };
        tokio::task::spawn_blocking(prepare).await??;
        let program = installed.program.clone();
        let mut attempt = 1;
        loop {
            let ports = free_ports()?;
            match serve(&program, ports, scratch.path(), options).await {
                Ok(process) => {
                    return Ok(Self { process, program, ports, scratch });
                }
                Err(error) if attempt < ATTEMPTS && error.to_string().contains("address already in use") => {
                    attempt += 1;
                }
                Err(error) => return Err(error).context("cannot start Hydra"),
            }
        }
    }

    /// Has it make the keys that tokens are signed with, and leaves nothing else behind.
    async fn make_keys(&self) -> Result<()> {
        let url = format!("{}/.well-known/jwks.json", self.url());
        http()?.get(url).send().await?.error_for_status()?;
        let body = serde_json::json!({
            "client_id": "keys", "client_secret": "for the keys", "grant_types": ["client_credentials"],
            "access_token_strategy": "jwt"
        });
        self.administer(Method::POST, "clients", Some(&body)).await?;
        let (status, answer) = self.token("keys", "for the keys", "").await?;
        if !status.is_success() {
            return Err(Error::new(format!("Hydra makes no keys: {answer}")));
        }
        self.administer(Method::DELETE, "clients/keys", None).await.map(|_| ())
    }

    /// Where applications find it: its issuer.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[0])
    }

    /// Where administrators find it, who need no credentials: whoever reaches it may do everything.
    pub fn admin_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[1])
    }

    pub fn process(&mut self) -> &mut Guarded {
        &mut self.process
    }

    /// Calls the admin API: the status and the body, `Null` if there is none.
    ///
    /// A change is sent again where it met another write: SQLite then refuses it, without words.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<(StatusCode, Value)> {
        for _ in 1..ATTEMPTS {
            let answer = self.call_once(method.clone(), path, body).await?;
            if method != Method::PATCH || answer.0 != StatusCode::INTERNAL_SERVER_ERROR {
                return Ok(answer);
            }
        }
        self.call_once(method, path, body).await
    }

    async fn call_once(&self, method: Method, path: &str, body: Option<&Value>) -> Result<(StatusCode, Value)> {
        let mut request = http()?.request(method, format!("{}/admin/{path}", self.admin_url()));
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    /// The same; any other status than a success is an error.
    pub async fn administer(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let (status, answer) = self.call(method, path, body).await?;
        if status.is_success() { Ok(answer) } else { Err(Error::new(format!("{path}: {status} {answer}"))) }
    }

    /// A client as its administrators see it.
    pub async fn client(&self, id: &str) -> Result<Option<Value>> {
        match self.call(Method::GET, &format!("clients/{id}"), None).await? {
            (StatusCode::NOT_FOUND, _) => Ok(None),
            (status, client) if status.is_success() => Ok(Some(client)),
            (status, answer) => Err(Error::new(format!("client {id}: {status} {answer}"))),
        }
    }

    /// Every client of this name; of any name if it is empty.
    pub async fn clients(&self, name: &str) -> Result<Vec<Value>> {
        let mut found = Vec::new();
        let mut next = Some("/admin/clients?page_size=500".to_owned());
        while let Some(path) = next {
            let answer = http()?.get(format!("{}{path}", self.admin_url())).send().await?.error_for_status()?;
            let links = answer.headers().get("link").and_then(|links| links.to_str().ok()).unwrap_or_default();
            let link = links.split(',').find(|link| link.ends_with("rel=\"next\""));
            next = link.and_then(|link| Some(link.trim_start_matches('<').split_once('>')?.0.to_owned()));
            let rows: Vec<Value> = answer.json().await?;
            // Without any client, it names a next page all the same.
            next = next.filter(|_| !rows.is_empty());
            found.extend(rows.into_iter().filter(|row| name.is_empty() || row["client_name"] == name));
        }
        Ok(found)
    }

    /// The answer of the token endpoint to client credentials: the status and the body.
    pub async fn token(&self, id: &str, secret: &str, scope: &str) -> Result<(StatusCode, Value)> {
        let form = [("grant_type", "client_credentials"), ("scope", scope)];
        let url = format!("{}/oauth2/token", self.url());
        let answer = http()?.post(url).basic_auth(id, Some(secret)).form(&form).send().await?;
        Ok((answer.status(), answer.json().await?))
    }

    /// The requests to the admin API that were answered: method and path.
    pub fn requests(&self) -> Vec<(String, String)> {
        let logs = self.logs();
        let lines = logs.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let answered = lines.filter(|line| line["msg"] == "completed handling request").map(|line| {
            let of = |key: &str| line["http_request"][key].as_str().unwrap_or_default().to_owned();
            (of("method"), of("path"))
        });
        answered.filter(|(_, path)| path.starts_with("/admin/")).collect()
    }

    /// How many of them changed something, or tried to.
    pub fn writes(&self) -> usize {
        self.requests().iter().filter(|(method, _)| method != "GET").count()
    }

    pub fn logs(&self) -> String {
        std::fs::read_to_string(self.process.log()).unwrap_or_default()
    }

    pub fn kill9(&mut self) -> Result<()> {
        self.process.kill9()
    }

    /// Ends it if it still runs, and starts it again with the same data at the same addresses.
    pub async fn restart(&mut self) -> Result<()> {
        self.process.kill9()?;
        for port in self.ports {
            // The system may hold on to the port for a moment.
            let free = async || Ok(TcpListener::bind(("127.0.0.1", port)).map(|_| Some(()))?);
            eventually("Hydra's port is free again", START_LIMIT, free).await?;
        }
        self.process = serve(&self.program, self.ports, self.scratch.path(), IN_A_HURRY).await?;
        Ok(())
    }
}

/// A client of the calling runtime: its connections belong to the runtime that made it, so tests share none.
fn http() -> Result<reqwest::Client> {
    Ok(reqwest::Client::builder().no_proxy().build()?)
}

/// The Hydra of this test process: started by the first test that asks, and ended with the process, since statics are
/// never dropped.
pub async fn shared() -> Result<&'static Hydra> {
    static SHARED: OnceCell<Result<Hydra>> = OnceCell::const_new();
    // A failure is kept too: every test would fail the same way, after the same wait.
    SHARED.get_or_init(Hydra::start).await.as_ref().map_err(Error::new)
}

/// Makes the empty database, if it is not there.
async fn empty_database(program: &Path, database: &Path) -> Result<()> {
    static MADE: OnceCell<()> = OnceCell::const_new();
    let make = async || {
        if database.is_file() {
            return Ok(());
        }
        let fresh = Installed { program: program.to_owned(), database: None };
        let mut hydra = Hydra::begin(&fresh, PLAIN).await?;
        hydra.make_keys().await?;
        hydra.process.terminate_and_wait(START_LIMIT).await?;
        // Whole or not at all; another process that makes the same one at the same time does no harm.
        let made = hydra.scratch.path().join(DATABASE);
        std::fs::rename(&made, database).context(database.display())
    };
    MADE.get_or_try_init(make).await.copied()
}

async fn serve(program: &Path, [public, admin]: [u16; 2], folder: &Path, options: &str) -> Result<Guarded> {
    let file = folder.join("hydra.yaml");
    let database = format!("sqlite://{}?{options}", folder.join(DATABASE).display());
    write_private(&file, &configuration(public, admin, &database))?;
    let arguments = |command: &mut Command| {
        command.args(["serve", "all", "--dev", "--sqa-opt-out", "--config"]).arg(&file);
    };
    let launch = Launch::new("hydra", program, folder).command(arguments);
    let mut process = launch.removing(folder).grace(Duration::from_secs(2)).start()?;
    let http = http()?;
    for port in [public, admin] {
        let url = format!("http://127.0.0.1:{port}/health/ready");
        let ready = eventually("Hydra is ready", START_LIMIT, async || {
            if let Some(status) = process.exited()? {
                return Ok(Some(Err(Error::new(format!("Hydra ended with {status}; {}", process.log_tail())))));
            }
            http.get(&url).send().await?.error_for_status()?;
            Ok(Some(Ok(())))
        });
        ready.await??;
    }
    Ok(process)
}

/// What a team would set, but for the addresses. People would sign in at an application that nobody needs here.
fn configuration(public: u16, admin: u16, database: &str) -> String {
    let address = |port: u16| serde_json::json!({ "host": "127.0.0.1", "port": port });
    serde_json::json!({
        "dsn": database,
        "serve": { "public": address(public), "admin": address(admin) },
        "urls": {
            "self": { "issuer": format!("http://127.0.0.1:{public}") },
            "login": "http://127.0.0.1/login",
            "consent": "http://127.0.0.1/consent",
        },
        "secrets": { "system": ["known to everybody, as its data is"] },
        "oidc": { "dynamic_client_registration": { "enabled": true, "default_scope": ["openid"] } },
        "webfinger": { "oidc_discovery": {
            "client_registration_url": format!("http://127.0.0.1:{public}/oauth2/register"),
        } },
        "log": { "level": "info", "format": "json" },
    })
    .to_string()
}
