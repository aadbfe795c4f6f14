//! A real Keycloak on loopback, one for a test process, with a realm for each test.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Mutex, OnceCell};

use super::assets::scratch;
use super::error::{Context, Error, Result};
use super::process::{Guarded, Launch};

mod distribution;

use distribution::{ADMINISTRATOR, Distribution, PASSWORD};

const START_LIMIT: Duration = Duration::from_mins(5);
/// The administrator's tokens live for a minute.
const TOKEN_USE: Duration = Duration::from_secs(40);
/// What the operator's own client is called in every realm.
pub const OPERATOR: &str = "extapp-operator";

/// A running Keycloak; it ends with this process, or when it is dropped.
pub struct Keycloak {
    _process: Guarded,
    url: String,
    token: Mutex<Option<(String, Instant)>>,
    _scratch: TempDir,
}

/// The Keycloak of this test process: started by the first test that asks.
pub async fn shared() -> Result<&'static Keycloak> {
    static SHARED: OnceCell<Result<Keycloak>> = OnceCell::const_new();
    // A failure is kept too: every test would fail the same way, after the same wait.
    SHARED.get_or_init(Keycloak::start).await.as_ref().map_err(Error::new)
}

impl Keycloak {
    pub async fn start() -> Result<Self> {
        Self::with("").await
    }

    /// One that trusts a further authority for what it asks others by https: a file in PEM.
    pub async fn trusting(authority: &Path) -> Result<Self> {
        Self::with(&format!(" --truststore-paths={}", authority.display())).await
    }

    async fn with(more: &str) -> Result<Self> {
        let distribution = tokio::task::spawn_blocking(Distribution::find).await??;
        let scratch = scratch("keycloak-")?;
        distribution.instance(scratch.path())?;
        let options = "start --optimized --http-enabled=true --http-host=127.0.0.1 --http-port=0 \
             --hostname-strict=false --cache=local";
        let options = options.split_whitespace().chain(more.split_whitespace());
        let arguments = |command: &mut Command| {
            command.args(distribution.arguments(scratch.path())).args(options);
            // A proxy of the machine is for nothing that it does here.
            command.env_remove("JAVA_TOOL_OPTIONS");
        };
        let launch = Launch::new("keycloak", distribution.java(), scratch.path()).command(arguments);
        let mut process = launch.removing(scratch.path()).start()?;
        let line = process.wait_for_line("Listening on: http", START_LIMIT).await?;
        let url = line.rsplit(' ').next().context("Keycloak does not say where it listens")?.to_owned();
        Ok(Self { _process: process, url, token: Mutex::default(), _scratch: scratch })
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A new realm; its name begins like this.
    pub async fn realm(&'static self, name: &str) -> Result<Realm> {
        self.realm_at(name, &self.url).await
    }

    /// The same, known to its clients under another address of this server.
    pub async fn realm_at(&'static self, name: &str, frontend: &str) -> Result<Realm> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{name}-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let realm = json!({"realm": name, "enabled": true, "attributes": {"frontendUrl": frontend}});
        self.administer(Method::POST, "", Some(realm)).await?;
        Ok(Realm { keycloak: self, name, frontend: frontend.to_owned() })
    }

    /// Calls the admin API as its administrator; the path follows `/admin/realms`.
    async fn administer(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let url = format!("{}/admin/realms{path}", self.url);
        let mut request = client()?.request(method.clone(), &url).bearer_auth(self.token().await?);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        if !status.is_success() {
            return Err(Error::new(format!("{method} {path}: {status} {text}")));
        }
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    async fn token(&self) -> Result<String> {
        // Held meanwhile: the server computes long at each password.
        let mut token = self.token.lock().await;
        if let Some((token, since)) = &*token
            && since.elapsed() < TOKEN_USE
        {
            return Ok(token.clone());
        }
        let form = [
            ("grant_type", "password"),
            ("client_id", "admin-cli"),
            ("username", ADMINISTRATOR),
            ("password", PASSWORD),
        ];
        let url = format!("{}/realms/master/protocol/openid-connect/token", self.url);
        let answer: Value = client()?.post(url).form(&form).send().await?.json().await?;
        let new = answer["access_token"].as_str().context(format!("no token: {answer}"))?.to_owned();
        *token = Some((new.clone(), Instant::now()));
        Ok(new)
    }
}

/// Connections belong to the runtime of one test, so each call has a client of its own.
fn client() -> Result<reqwest::Client> {
    Ok(reqwest::Client::builder().no_proxy().build()?)
}

/// A realm of the shared Keycloak. It goes with the server.
pub struct Realm {
    keycloak: &'static Keycloak,
    name: String,
    frontend: String,
}

/// A client that the operator, or a test, authenticates with.
#[derive(Clone, Debug)]
pub struct ClientLogin {
    pub id: String,
    pub secret: String,
}

impl Realm {
    /// What an AuthorizationServer has in `spec.keycloak.url`.
    pub fn server_url(&self) -> &str {
        &self.frontend
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The issuer of its tokens.
    pub fn issuer(&self) -> String {
        format!("{}/realms/{}", self.frontend, self.name)
    }

    /// Calls the admin API of the realm as the server's administrator: what a person does in the console.
    pub async fn administer(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        self.keycloak.administer(method, &format!("/{}{path}", self.name), body).await
    }

    pub async fn get(&self, path: &str) -> Result<Value> {
        self.administer(Method::GET, path, None).await
    }

    /// The operator's own client, with a service account that has exactly these roles of `realm-management`.
    pub async fn operator(&self, roles: &[&str]) -> Result<ClientLogin> {
        let login = ClientLogin { id: OPERATOR.to_owned(), secret: format!("operator-of-{}", self.name) };
        let body = json!({
            "clientId": login.id, "secret": login.secret, "publicClient": false, "serviceAccountsEnabled": true,
            "standardFlowEnabled": false, "directAccessGrantsEnabled": false,
        });
        self.administer(Method::POST, "/clients", Some(body)).await?;
        self.permit_operator(roles).await?;
        Ok(login)
    }

    /// Gives the operator's service account these roles of `realm-management`, too.
    pub async fn permit_operator(&self, roles: &[&str]) -> Result<()> {
        self.roles_of_operator(Method::POST, roles).await
    }

    /// Takes them away.
    pub async fn forbid_operator(&self, roles: &[&str]) -> Result<()> {
        self.roles_of_operator(Method::DELETE, roles).await
    }

    async fn roles_of_operator(&self, method: Method, roles: &[&str]) -> Result<()> {
        let user = self.service_account(OPERATOR).await?;
        let management = self.internal_id("realm-management").await?;
        let mut found = Vec::new();
        for role in roles {
            found.push(self.get(&format!("/clients/{management}/roles/{role}")).await?);
        }
        let path = format!("/users/{user}/role-mappings/clients/{management}");
        self.administer(method, &path, Some(Value::from(found))).await.map(|_| ())
    }

    /// A client scope of OpenID Connect, as a person makes one in the console.
    pub async fn client_scope(&self, name: &str) -> Result<()> {
        let attributes = json!({"include.in.token.scope": "true"});
        let scope = json!({"name": name, "protocol": "openid-connect", "attributes": attributes});
        self.administer(Method::POST, "/client-scopes", Some(scope)).await.map(|_| ())
    }

    /// A client as the server's administrator sees it. What is a set comes in order, which the server does not keep.
    pub async fn client(&self, client_id: &str) -> Result<Option<Value>> {
        let mut found = self.get(&format!("/clients?clientId={client_id}")).await?;
        let Some(client) = found.get_mut(0) else { return Ok(None) };
        for set in ["defaultClientScopes", "optionalClientScopes", "redirectUris", "webOrigins"] {
            if let Some(items) = client[set].as_array_mut() {
                items.sort_by_key(ToString::to_string);
            }
        }
        Ok(Some(client.take()))
    }

    /// Keycloak's own id of a client.
    pub async fn internal_id(&self, client_id: &str) -> Result<String> {
        let found = self.client(client_id).await?.context(format!("no client {client_id}"))?;
        Ok(found["id"].as_str().context("a client without an id")?.to_owned())
    }

    /// The id of the user that a client is for its own account.
    pub async fn service_account(&self, client_id: &str) -> Result<String> {
        let client = self.internal_id(client_id).await?;
        let user = self.get(&format!("/clients/{client}/service-account-user")).await?;
        Ok(user["id"].as_str().context("a user without an id")?.to_owned())
    }

    /// Makes a confidential client of this name as a person would, and gives back its client id.
    pub async fn client_by_hand(&self, name: &str) -> Result<String> {
        let id = format!("by-hand-{}", extapp::clock::random_id());
        let body = json!({"clientId": id, "name": name, "publicClient": false, "serviceAccountsEnabled": true});
        self.administer(Method::POST, "/clients", Some(body)).await?;
        Ok(id)
    }

    /// Changes a client the way a person does in the console: reads it, edits it, saves all of it.
    pub async fn edit_client(&self, client_id: &str, edit: impl FnOnce(&mut Value)) -> Result<()> {
        let mut client = self.client(client_id).await?.context(format!("no client {client_id}"))?;
        let path = format!("/clients/{}", client["id"].as_str().unwrap_or_default());
        edit(&mut client);
        self.administer(Method::PUT, &path, Some(client)).await.map(|_| ())
    }

    /// Asks the token endpoint: status and answer.
    pub async fn token(&self, form: &[(&str, &str)]) -> Result<(u16, Value)> {
        let url = format!("{}/protocol/openid-connect/token", self.issuer());
        let answer = client()?.post(url).form(form).send().await?;
        let status = answer.status().as_u16();
        Ok((status, answer.json().await?))
    }

    /// Client credentials: status and answer.
    pub async fn client_credentials(&self, id: &str, secret: &str, scope: &str) -> Result<(u16, Value)> {
        let mut form = vec![("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret)];
        // An empty scope is refused.
        form.extend((!scope.is_empty()).then_some(("scope", scope)));
        self.token(&form).await
    }

    /// Lets the realm keep a regenerated secret valid for `overlap` seconds; secrets then end after `lifetime` seconds.
    pub async fn rotate_secrets(&self, lifetime: u32, overlap: u32) -> Result<()> {
        let executor = json!({"executor": "secret-rotation", "configuration": {
            "expiration-period": lifetime, "rotated-expiration-period": overlap, "remaining-rotation-period": 1,
        }});
        let profiles = json!({"profiles": [{"name": "rotation", "executors": [executor]}]});
        self.administer(Method::PUT, "/client-policies/profiles", Some(profiles)).await?;
        let condition = json!({"condition": "client-access-type", "configuration": {"type": ["confidential"]}});
        let policy = json!({"name": "rotation", "enabled": true, "profiles": ["rotation"], "conditions": [condition]});
        let policies = json!({"policies": [policy]});
        self.administer(Method::PUT, "/client-policies/policies", Some(policies)).await.map(|_| ())
    }
}
