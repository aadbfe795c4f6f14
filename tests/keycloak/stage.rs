//! An operator with one AuthorizationServer in a realm of its own.

use extapp::api::AuthorizationServer;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use reqwest::Method;
use serde_json::Value;

use crate::support::keycloak::{self, ClientLogin, Realm};
use crate::support::world::{Keys, LIMIT, Variations, World, ready};
use crate::support::{Context, Error, Result, eventually, wait_for};

/// What docs/servers/keycloak.md names for registrations alone, and for roles of the realm, too.
pub const TO_REGISTER: &[&str] = &["manage-clients"];
pub const TO_PERMIT: &[&str] = &["manage-clients", "manage-users", "manage-realm"];

pub struct Stage {
    pub world: World,
    pub realm: Realm,
    pub login: ClientLogin,
}

impl Stage {
    /// With the client scopes `queues` and `jobs`, and an operator that has exactly these roles.
    pub async fn set(name: &str, roles: &[&str]) -> Result<Self> {
        let stage = Self::unconnected(name, roles).await?;
        stage.until_connected().await?;
        Ok(stage)
    }

    pub async fn unconnected(name: &str, roles: &[&str]) -> Result<Self> {
        let realm = keycloak::shared().await?.realm(name).await?;
        for scope in ["queues", "jobs"] {
            realm.client_scope(scope).await?;
        }
        let login = realm.operator(roles).await?;
        let world = World::with(name, Variations::default()).await?;
        let stage = Self { world, realm, login };
        stage.world.apply(&stage.manifests()).await?;
        Ok(stage)
    }

    fn manifests(&self) -> String {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: realm-operator}}\nstringData: {{client-id: {}, client-secret: {}}}\n---\n\
             apiVersion: extapp.dev/v1alpha1\nkind: AuthorizationServer\nmetadata: {{name: realm}}\nspec:\n  keycloak: {{url: '{}', realm: {}}}\n  credentialsRef: {{name: realm-operator}}\n  driftInterval: 2s\n",
            self.login.id,
            self.login.secret,
            self.realm.server_url(),
            self.realm.name()
        )
    }

    pub async fn until_connected(&self) -> Result<()> {
        self.until_server(ready).await
    }

    async fn until_server(&self, wanted: impl Fn(&[Condition]) -> bool + Send) -> Result<()> {
        let holds = |server: Option<&AuthorizationServer>| {
            server.and_then(|server| server.status.as_ref()).is_some_and(|status| wanted(&status.conditions))
        };
        wait_for(self.world.servers(), "realm", LIMIT, holds).await.map(|_| ())
    }

    /// Waits until the server's `Ready` is False for this reason, and says this.
    pub async fn until_server_says(&self, reason: &str, part: &str) -> Result<()> {
        let said =
            |c: &Condition| c.type_ == "Ready" && c.status == "False" && c.reason == reason && c.message.contains(part);
        self.until_server(|conditions| conditions.iter().any(said)).await
    }

    /// Applies an application; `more` stands below its `spec`.
    pub async fn application(&self, name: &str, kind: &str, more: &str) -> Result<()> {
        let yaml = format!(
            "apiVersion: extapp.dev/v1alpha1\nkind: ExternalApplication\nmetadata: {{name: {name}}}\nspec:\n  serverRef: {{name: realm}}\n  type: {kind}\n{more}"
        );
        self.world.apply(&yaml).await
    }

    /// A confidential application with the application scope `queues`, once it is Ready.
    pub async fn worker(&self) -> Result<Keys> {
        let resources = "  resources:\n  - {name: openid, applicationScopes: [queues]}\n";
        self.application("worker", "Confidential", resources).await?;
        self.world.until_ready("worker").await?;
        self.secret("worker").await
    }

    pub async fn secret(&self, name: &str) -> Result<Keys> {
        self.world.secret(self.world.home.name(), &format!("{name}-oauth")).await
    }

    /// The client that an application stands for.
    pub async fn client(&self, keys: &Keys) -> Result<Value> {
        self.realm.client(&keys["client-id"]).await?.context("the client is there")
    }

    pub async fn works(&self, keys: &Keys) -> Result<bool> {
        let (status, _) =
            self.realm.client_credentials(&keys["client-id"], &keys["client-secret"], &keys["scope"]).await?;
        Ok(status == 200)
    }

    /// Waits until the client is so.
    pub async fn until_client(&self, what: &str, keys: &Keys, holds: impl Fn(&Value) -> bool) -> Result<()> {
        let probe = async || {
            let client = self.client(keys).await?;
            if holds(&client) { Ok(Some(())) } else { Err(Error::new(&client)) }
        };
        eventually(what, LIMIT, probe).await
    }

    /// Waits for two further lists of the realm's clients: the first may have been under way.
    pub async fn sweeps(&self) -> Result<()> {
        let lists = async || self.requests(|operation| operation == "list").await;
        let before = lists().await?;
        eventually("two more sweeps", LIMIT, async || Ok((lists().await? >= before + 2.0).then_some(()))).await
    }

    /// Requests to the realm that changed something, as the operator counts them.
    pub async fn server_writes(&self) -> Result<f64> {
        let reads = ["list", "get", "scopes", "token", "discovery", "roles", "scope_roles", "service_account"];
        self.requests(|operation| !reads.contains(&operation)).await
    }

    async fn requests(&self, counts: impl Fn(&str) -> bool) -> Result<f64> {
        let text = self.world.operator.metrics().await?;
        let server = format!("server=\"{}/realm\"", self.world.home.name());
        let mut sum = 0.0;
        for line in
            text.lines().filter(|line| line.starts_with("extapp_server_requests_total") && line.contains(&server))
        {
            let operation = line.split("operation=\"").nth(1).and_then(|rest| rest.split('"').next());
            let number = line.rsplit(' ').next().and_then(|number| number.parse::<f64>().ok());
            if operation.is_some_and(&counts) {
                sum += number.unwrap_or_default();
            }
        }
        Ok(sum)
    }

    pub async fn delete_application(&self, name: &str) -> Result<()> {
        let namespace = self.world.home.name();
        self.world.applications(namespace).delete(name, &kube::api::DeleteParams::default()).await?;
        self.world.until_gone(namespace, name).await
    }

    /// Makes a client as a person or another operator would, with its own secret.
    pub async fn by_hand(&self, id: &str, secret: &str) -> Result<()> {
        let client = serde_json::json!({
            "clientId": id, "secret": secret, "name": "Made by hand", "description": "theirs", "publicClient": false,
            "serviceAccountsEnabled": true, "directAccessGrantsEnabled": true, "optionalClientScopes": ["jobs"],
        });
        self.realm.administer(Method::POST, "/clients", Some(client)).await.map(|_| ())
    }
}

/// The claims of an access token.
pub fn claims(answer: &Value) -> Result<Value> {
    use base64::Engine as _;
    let token = answer["access_token"].as_str().context(format!("no token: {answer}"))?;
    let payload = token.split('.').nth(1).context("a JWT")?;
    Ok(serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload)?)?)
}
