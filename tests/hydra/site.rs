//! An AuthorizationServer of kind hydra in a world, with a Hydra of its own, a gate before its admin API, and two APIs that
//! are declared for it.

use extapp::api::external_application::ExternalApplicationStatus;
use extapp::api::{ApiResource, AuthorizationServer, ExternalApplication};
use kube::Api;
use serde_json::Value;

use crate::support::gate::Gate;
use crate::support::world::{Keys, LIMIT, Variations, World, ready};
use crate::support::{Context, Error, Hydra, Result, eventually, wait_for};

pub const SERVER: &str = "hydra";

const APIS: &str = "
apiVersion: extapp.dev/v1alpha1
kind: ApiResource
metadata: {name: invoices}
spec:
  serverRef: {name: hydra}
  identifier: invoices
  scopes:
  - {name: invoices.read, grants: [User, Application]}
  - {name: invoices.write, grants: [Application]}
---
apiVersion: extapp.dev/v1alpha1
kind: ApiResource
metadata: {name: payroll}
spec:
  serverRef: {name: hydra}
  identifier: payroll
  scopes:
  - {name: payroll.run, grants: [Application]}
";

pub struct Site {
    pub world: World,
    pub hydra: Hydra,
    pub gate: Gate,
}

impl Site {
    pub async fn new(prefix: &str) -> Result<Self> {
        let world = World::with(prefix, Variations::default()).await?;
        let hydra = Hydra::start().await?;
        let gate = Gate::default();
        let admin = gate.in_front_of(&hydra.admin_url()).await?;
        let server = format!(
            "apiVersion: extapp.dev/v1alpha1\nkind: AuthorizationServer\nmetadata: {{name: {SERVER}}}\nspec:\n  hydra: {{url: '{}', adminUrl: '{admin}'}}\n  driftInterval: 2s\n",
            hydra.url()
        );
        world.apply(&server).await?;
        let connected = |server: Option<&AuthorizationServer>| {
            server.and_then(|server| server.status.as_ref()).is_some_and(|status| ready(&status.conditions))
        };
        wait_for(world.servers(), SERVER, LIMIT, connected).await?;
        world.apply(APIS).await?;
        let resources: Api<ApiResource> = Api::namespaced(world.client.clone(), world.home.name());
        for name in ["invoices", "payroll"] {
            let known = |resource: Option<&ApiResource>| {
                resource.and_then(|resource| resource.status.as_ref()).is_some_and(|status| ready(&status.conditions))
            };
            wait_for(resources.clone(), name, LIMIT, known).await?;
        }
        Ok(Self { world, hydra, gate })
    }

    /// Applies a confidential application with one application scope; `more` stands below its `spec`.
    pub async fn confidential(&self, name: &str, more: &str) -> Result<()> {
        self.asking(name, "applicationScopes: [invoices.read]", more).await
    }

    /// The same with these scopes of the API `invoices`.
    pub async fn asking(&self, name: &str, scopes: &str, more: &str) -> Result<()> {
        let yaml = format!(
            "apiVersion: extapp.dev/v1alpha1\nkind: ExternalApplication\nmetadata: {{name: {name}}}\nspec:\n  serverRef: {{name: {SERVER}}}\n  type: Confidential\n  resources:\n  - name: invoices\n    {scopes}\n{more}"
        );
        self.world.apply(&yaml).await
    }

    pub async fn keys(&self, name: &str) -> Result<Keys> {
        self.world.secret(self.world.home.name(), &format!("{name}-oauth")).await
    }

    /// What the admin API says of an application's client.
    pub async fn client(&self, name: &str) -> Result<Value> {
        let app = self.world.applications(self.world.home.name()).get(name).await?;
        let id = app.status.and_then(|status| status.client_id).context("no client id yet")?;
        self.hydra.client(&id).await?.context(format!("{name} names a client that is not there"))
    }

    /// Waits until the client of an application is as wanted.
    pub async fn until_client(&self, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        eventually(what, LIMIT, async || {
            let client = self.client(name).await?;
            if wanted(&client) { Ok(Some(client)) } else { Err(Error::new(client)) }
        })
        .await
    }

    /// Changes a client as an administrator would.
    pub async fn patch(&self, id: &str, operations: Value) -> Result<Value> {
        self.hydra.administer(reqwest::Method::PATCH, &format!("clients/{id}"), Some(&operations)).await
    }

    /// Whether a published credential gets a token.
    pub async fn works(&self, keys: &Keys) -> Result<bool> {
        let (status, _) = self.hydra.token(&keys["client-id"], &keys["client-secret"], "invoices.read").await?;
        Ok(status.is_success())
    }

    /// Waits until an application has one client, whose published credential works.
    pub async fn until_complete(&self, name: &str) -> Result<()> {
        eventually(&format!("{name} is complete"), LIMIT, async || {
            let clients = self.hydra.clients(name).await?;
            if clients.len() != 1 {
                return Err(Error::new(format!("{} clients", clients.len())));
            }
            let home = self.world.home.name();
            let app: ExternalApplication = self.world.applications(home).get(name).await?;
            let status: ExternalApplicationStatus = app.status.clone().unwrap_or_default();
            let own = status.client_id.as_deref().is_some_and(|id| clients[0]["client_id"] == id);
            let settled = extapp::domain::observed::unsettled_intent(&app).is_none();
            if !(own && settled && ready(&status.conditions)) {
                return Err(Error::new(format!("{status:?}")));
            }
            if self.works(&self.keys(name).await?).await? {
                return Ok(Some(()));
            }
            Err(Error::new("the credential does not work"))
        })
        .await
    }
}
