//! One more AuthorizationServer in a world, with a local cloud of its own: what happens to one is nothing to the others.

use extapp::api::AuthorizationServer;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::Value;

use super::error::Result;
use super::outcome::{complete_among, display_name};
use super::world::{LIMIT, World, ready};
use super::{LocalCloud, Program, apply_yaml_in, wait_for};

pub struct Site {
    /// Of the AuthorizationServer.
    pub name: String,
    pub cloud: LocalCloud,
}

impl Site {
    /// Starts one; `more` stands below the `spec` of its AuthorizationServer.
    pub async fn beside(world: &World, name: &str, more: &str) -> Result<Self> {
        let program = Program::new(env!("CARGO_BIN_EXE_extapp"));
        // What a test itself reads must not use up what the operator may.
        let cloud = LocalCloud::builder(program).fault_injection().arg("--rate-limit-get").arg("0").start().await?;
        let administrator = format!("{name}-admin");
        world.apply(&cloud.credentials_manifest()?.replace("local-cloud-admin", &administrator)).await?;
        let server = format!(
            "apiVersion: extapp.dev/v1alpha1\nkind: AuthorizationServer\nmetadata: {{name: {name}}}\nspec:\n  uipath: {{url: '{}', organization: {}}}\n  credentialsRef: {{name: {administrator}}}\n{more}",
            cloud.base_url(),
            cloud.organization()
        );
        world.apply(&server).await?;
        let site = Self { name: name.to_owned(), cloud };
        site.until_connected(world).await?;
        Ok(site)
    }

    /// Applies a confidential application of this server to the world's first namespace.
    pub async fn confidential(&self, world: &World, name: &str) -> Result<()> {
        let yaml = format!(
            "apiVersion: extapp.dev/v1alpha1\nkind: ExternalApplication\nmetadata: {{name: {name}}}\nspec:\n  serverRef: {{name: {}}}\n  type: Confidential\n  resources:\n  - name: UiPath.Orchestrator\n    applicationScopes: [OR.Queues]\n",
            self.name
        );
        apply_yaml_in(&world.client, world.home.name(), &yaml).await.map(|_| ())
    }

    /// Waits until the server's `Ready` is as wanted.
    async fn until(&self, world: &World, wanted: impl Fn(&[Condition]) -> bool + Send) -> Result<()> {
        let holds = |server: Option<&AuthorizationServer>| {
            server.and_then(|server| server.status.as_ref()).is_some_and(|status| wanted(&status.conditions))
        };
        wait_for(world.servers(), &self.name, LIMIT, holds).await.map(|_| ())
    }

    pub async fn until_connected(&self, world: &World) -> Result<()> {
        self.until(world, ready).await
    }

    /// Waits until the server's `Ready` is False for this reason.
    pub async fn until_in_trouble(&self, world: &World, reason: &str) -> Result<()> {
        let said = |c: &Condition| c.type_ == "Ready" && c.status == "False" && c.reason == reason;
        self.until(world, |conditions| conditions.iter().any(said)).await
    }

    /// What the server has of an application of the world's first namespace.
    pub async fn registrations(&self, world: &World, name: &str) -> Result<Vec<Value>> {
        self.cloud.registrations(&display_name(world, world.home.name(), name).await?).await
    }

    /// Whether an application has come to rest as wanted; an error says what is missing.
    pub async fn complete(&self, world: &World, name: &str) -> Result<Option<()>> {
        complete_among(world, world.home.name(), name, &self.registrations(world, name).await?).await
    }
}
