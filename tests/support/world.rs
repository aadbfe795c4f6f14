//! A namespace with a local cloud, an operator that watches only it, and an AuthorizationServer that is Ready.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::time::Duration;

use extapp::api::external_application::ExternalApplicationStatus;
use extapp::api::role_assignment::RoleAssignmentStatus;
use extapp::api::{AuthorizationServer, ExternalApplication, RoleAssignment};
use extapp::controller::rbac::{Extras, manifest};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::assets::scratch;
use super::error::{Context, Error, Result};
use super::gate::Gate;
use super::{
    ControlPlane, LocalCloud, Operator, Program, TestNamespace, apply_yaml, apply_yaml_in, eventually, shared, wait_for,
};

/// How long a test waits for anything: far longer than it takes.
pub const LIMIT: Duration = Duration::from_secs(90);

/// The keys of a Secret or ConfigMap.
pub type Keys = BTreeMap<String, String>;

/// The control plane of all tests, or one for a single test.
pub enum Plane {
    Shared(&'static ControlPlane),
    Own(Box<ControlPlane>),
}

impl Deref for Plane {
    type Target = ControlPlane;

    fn deref(&self) -> &ControlPlane {
        match self {
            Self::Shared(plane) => plane,
            Self::Own(plane) => plane,
        }
    }
}

pub struct World {
    // Fields are dropped in this order: the namespaces after all who work in them, the control plane last.
    pub client: Client,
    pub operator: Operator,
    pub cloud: LocalCloud,
    pub home: TestNamespace,
    /// Other namespaces that the operator watches.
    pub tenants: Vec<TestNamespace>,
    /// Between the operator and everything that it writes to, where that was asked for.
    pub gate: Option<Gate>,
    server_url: String,
    kubeconfig: std::path::PathBuf,
    _scratch: TempDir,
    pub plane: Plane,
}

/// How a world differs from the usual one.
#[derive(Default)]
pub struct Variations {
    /// How many further namespaces the operator watches.
    pub tenants: usize,
    /// Lines below the `spec` of the AuthorizationServer, indented by two.
    pub server: String,
    pub operator: Vec<String>,
    pub cloud: Vec<String>,
    /// Who can sign in: the text of a file of people.
    pub people: Option<String>,
    /// What the operator is started and permitted to look after beside its own objects.
    pub extras: Extras,
    /// Puts a gate between the operator and the rest.
    pub gated: bool,
}

impl Variations {
    /// An operator that counts no requests: so many sweeps, or so much else, would use up what a server that counts them
    /// leaves for it.
    pub fn uncounted() -> Self {
        Self { operator: vec!["--requests-per-minute".into(), "100000".into()], ..Self::default() }
    }
}

impl World {
    pub async fn new(prefix: &str) -> Result<Self> {
        Self::with(prefix, Variations::default()).await
    }

    pub async fn with(prefix: &str, variations: Variations) -> Result<Self> {
        Self::on(Plane::Shared(shared().await?), prefix, variations).await
    }

    pub async fn on(plane: Plane, prefix: &str, variations: Variations) -> Result<Self> {
        let client = plane.admin_client().await?;
        let home = plane.unique_namespace(prefix).await?;
        let mut tenants = Vec::new();
        for _ in 0..variations.tenants {
            tenants.push(plane.unique_namespace(prefix).await?);
        }
        let mut flags = variations.operator;
        if variations.extras != Extras::default() {
            apply_yaml(&client, &granted_in(home.name(), variations.extras)).await?;
            flags.extend(variations.extras.watch_consumers.then(|| "--watch-consumers".to_owned()));
            flags.extend(variations.extras.restart_workloads.then(|| "--restart-workloads".to_owned()));
        }
        let program = Program::new(env!("CARGO_BIN_EXE_extapp"));
        // What a test itself reads must not use up what the operator may.
        let cloud = LocalCloud::builder(program.clone()).fault_injection().arg("--rate-limit-get").arg("0");
        let cloud = variations.people.iter().fold(cloud, |cloud, people| cloud.people(people));
        let cloud = variations.cloud.into_iter().fold(cloud, super::local_cloud::Builder::arg).start().await?;
        let directory = scratch("world-")?;
        let gate = variations.gated.then(Gate::default);
        let (server_url, kubeconfig) = match &gate {
            None => (cloud.base_url().to_owned(), plane.operator_kubeconfig()),
            Some(gate) => {
                let kubeconfig = directory.path().join("kubeconfig");
                gated_kubeconfig(&plane, &gate.in_front_of(plane.url()).await?, &kubeconfig)?;
                (gate.in_front_of(cloud.base_url()).await?, kubeconfig)
            }
        };
        let watched = std::iter::once(home.name()).chain(tenants.iter().map(TestNamespace::name));
        let operator = Operator::builder(program, &kubeconfig)
            .watch_namespaces(watched)
            .identity(home.name())
            .args(flags)
            .start()
            .await?;
        let world =
            Self { client, home, tenants, cloud, operator, gate, server_url, kubeconfig, _scratch: directory, plane };
        world.apply(&world.cloud.credentials_manifest()?).await?;
        world.apply(&world.server(&variations.server)).await?;
        let ready = |server: Option<&AuthorizationServer>| {
            server.and_then(|server| server.status.as_ref()).is_some_and(|status| ready(&status.conditions))
        };
        wait_for(world.servers(), "cloud", LIMIT, ready).await?;
        Ok(world)
    }

    /// One more operator over the same namespaces, as while a Deployment rolls.
    pub async fn another_operator(&self, identity: &str) -> Result<Operator> {
        let watched = std::iter::once(self.home.name()).chain(self.tenants.iter().map(TestNamespace::name));
        let program = Program::new(env!("CARGO_BIN_EXE_extapp"));
        Operator::builder(program, &self.kubeconfig).watch_namespaces(watched).identity(identity).start().await
    }

    /// The operator's, through the gate where there is one.
    pub fn kubeconfig(&self) -> &std::path::Path {
        &self.kubeconfig
    }

    /// The manifest of the AuthorizationServer.
    pub fn server(&self, more: &str) -> String {
        format!(
            "apiVersion: extapp.dev/v1alpha1\nkind: AuthorizationServer\nmetadata: {{name: cloud}}\nspec:\n  uipath: {{url: '{}', organization: {}}}\n  credentialsRef: {{name: local-cloud-admin}}\n{more}",
            self.server_url,
            self.cloud.organization()
        )
    }

    pub async fn apply(&self, yaml: &str) -> Result<()> {
        apply_yaml_in(&self.client, self.home.name(), yaml).await.map(|_| ())
    }

    /// Applies a confidential application that asks for one application scope; `more` stands below its `spec`.
    pub async fn confidential(&self, namespace: &str, name: &str, more: &str) -> Result<()> {
        let yaml = format!(
            "apiVersion: extapp.dev/v1alpha1\nkind: ExternalApplication\nmetadata: {{name: {name}}}\nspec:\n  serverRef: {{name: cloud, namespace: {}}}\n  type: Confidential\n  resources:\n  - name: UiPath.Orchestrator\n    applicationScopes: [OR.Queues]\n{more}",
            self.home.name()
        );
        apply_yaml_in(&self.client, namespace, &yaml).await.map(|_| ())
    }

    /// The same of a non-confidential one, which asks for one user scope.
    pub async fn non_confidential(&self, namespace: &str, name: &str, more: &str) -> Result<()> {
        let yaml = format!(
            "apiVersion: extapp.dev/v1alpha1\nkind: ExternalApplication\nmetadata: {{name: {name}}}\nspec:\n  serverRef: {{name: cloud, namespace: {}}}\n  type: NonConfidential\n  redirectUris: ['http://localhost:8080/callback']\n  resources:\n  - name: UiPath.Orchestrator\n    userScopes: [OR.Jobs.Read]\n{more}",
            self.home.name()
        );
        apply_yaml_in(&self.client, namespace, &yaml).await.map(|_| ())
    }

    pub fn servers(&self) -> Api<AuthorizationServer> {
        Api::namespaced(self.client.clone(), self.home.name())
    }

    pub fn applications(&self, namespace: &str) -> Api<ExternalApplication> {
        Api::namespaced(self.client.clone(), namespace)
    }

    pub fn role_assignments(&self) -> Api<RoleAssignment> {
        Api::namespaced(self.client.clone(), self.home.name())
    }

    /// Applies an assignment of roles in `DefaultTenant` to an application; `more` stands below its `spec`.
    pub async fn permit(&self, name: &str, application: &str, more: &str) -> Result<()> {
        self.apply(&format!(
            "apiVersion: extapp.dev/v1alpha1\nkind: RoleAssignment\nmetadata: {{name: {name}}}\nspec:\n  applicationRef: {{name: {application}}}\n  tenant: DefaultTenant\n{more}"
        ))
        .await
    }

    /// Waits until the status of an assignment is as wanted.
    pub async fn until_permit(
        &self,
        name: &str,
        wanted: impl Fn(&RoleAssignmentStatus) -> bool + Send + 'static,
    ) -> Result<RoleAssignment> {
        let holds = move |object: Option<&RoleAssignment>| {
            object.is_some_and(|object| {
                let current = |status: &&RoleAssignmentStatus| status.observed_generation == object.metadata.generation;
                object.status.as_ref().filter(current).is_some_and(&wanted)
            })
        };
        wait_for(self.role_assignments(), name, LIMIT, holds).await?.context("the assignment is gone")
    }

    pub async fn until_permitted(&self, name: &str) -> Result<RoleAssignment> {
        self.until_permit(name, |status| ready(&status.conditions)).await
    }

    /// Waits until `Ready` is False for this reason, and gives back the message.
    pub async fn until_not_permitted(&self, name: &str, reason: &'static str) -> Result<String> {
        let object = self.until_permit(name, move |status| {
            status.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "False" && c.reason == reason)
        });
        let status = object.await?.status.unwrap_or_default();
        let ready = status.conditions.into_iter().find(|condition| condition.type_ == "Ready");
        Ok(ready.map(|condition| condition.message).unwrap_or_default())
    }

    pub fn secrets(&self, namespace: &str) -> Api<Secret> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Waits until the status of an application is as wanted.
    pub async fn until(
        &self,
        namespace: &str,
        name: &str,
        wanted: impl Fn(&ExternalApplication, &ExternalApplicationStatus) -> bool + Send + 'static,
    ) -> Result<ExternalApplication> {
        let holds = move |app: Option<&ExternalApplication>| {
            app.is_some_and(|app| {
                app.status
                    .as_ref()
                    .is_some_and(|status| status.observed_generation == app.metadata.generation && wanted(app, status))
            })
        };
        wait_for(self.applications(namespace), name, LIMIT, holds).await?.context("the application is gone")
    }

    pub async fn until_ready(&self, name: &str) -> Result<ExternalApplication> {
        self.until(self.home.name(), name, |_, status| ready(&status.conditions)).await
    }

    /// Waits until `Ready` is False for this reason, and gives back the message.
    pub async fn until_refused(&self, namespace: &str, name: &str, reason: &'static str) -> Result<String> {
        let app = self.until(namespace, name, move |_, status| {
            status.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "False" && c.reason == reason)
        });
        let status = app.await?.status.unwrap_or_default();
        let ready = status.conditions.into_iter().find(|condition| condition.type_ == "Ready");
        Ok(ready.map(|condition| condition.message).unwrap_or_default())
    }

    /// Sets an annotation of an application in the own namespace.
    pub async fn annotate(&self, name: &str, key: &str, value: &str) -> Result<()> {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {key: value}}}));
        self.applications(self.home.name()).patch(name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    pub async fn until_gone(&self, namespace: &str, name: &str) -> Result<()> {
        let api = self.applications(namespace);
        eventually(&format!("{name} is gone"), LIMIT, async || Ok(api.get_opt(name).await?.is_none().then_some(())))
            .await
    }

    /// What a Secret says.
    pub async fn secret(&self, namespace: &str, name: &str) -> Result<Keys> {
        Ok(text_of(self.secrets(namespace).get(name).await?))
    }

    pub fn config_maps(&self, namespace: &str) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), namespace)
    }

    pub async fn config_map(&self, name: &str) -> Result<Keys> {
        Ok(self.config_maps(self.home.name()).get(name).await?.data.unwrap_or_default())
    }

    /// Whether the published credential gets a token.
    pub async fn works(&self, keys: &Keys) -> Result<bool> {
        works(&reqwest::Client::new(), keys).await
    }

    /// Calls the management API as its administrator.
    pub async fn identity(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> Result<Value> {
        self.cloud.administer(method, path, body).await
    }

    pub async fn organization(&self) -> Result<String> {
        let server = self.servers().get("cloud").await?;
        server.status.and_then(|status| status.organization_id).context("the organization is not known")
    }

    /// Every registration of this name, read in full.
    pub async fn registrations(&self, name: &str) -> Result<Vec<Value>> {
        self.cloud.registrations(name).await
    }

    pub async fn registration(&self, name: &str) -> Result<Value> {
        let mut found = self.registrations(name).await?;
        if found.len() != 1 {
            return Err(Error::new(format!("there are {} registrations named {name}", found.len())));
        }
        Ok(found.remove(0))
    }

    /// Deletes a registration behind the operator's back.
    pub async fn delete_registration(&self, id: &str) -> Result<()> {
        let organization = self.organization().await?;
        self.identity(reqwest::Method::DELETE, &format!("ExternalClient/{organization}/{id}"), None).await.map(|_| ())
    }

    /// Makes a registration that nobody asked the operator for.
    pub async fn foreign_registration(&self, name: &str) -> Result<Value> {
        let body = json!({
            "partitionGlobalId": self.organization().await?, "name": name, "isConfidential": true, "redirectUri": null,
            "scopes": [{"name": "OR.Queues", "type": 1}]
        });
        self.identity(reqwest::Method::POST, "ExternalClient", Some(body)).await
    }

    /// Requests that changed something at the server, tokens aside.
    pub fn server_writes(&self) -> Result<usize> {
        let log = self.cloud.access_log()?;
        let is_write = |line: &&String| !line.contains("\"GET\"") && !line.contains("/connect/token");
        Ok(log.iter().filter(is_write).count())
    }

    /// The sum of a counter over its labels.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        let text = self.operator.metrics().await?;
        let lines = text.lines().filter(|line| line.starts_with(name) && !line.starts_with('#'));
        Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    /// Waits for so many further sweeps.
    pub async fn sweeps(&self, count: usize) -> Result<()> {
        for _ in 0..count {
            let name = "extapp_server_last_sweep_timestamp_seconds";
            let before = self.metric(name).await?;
            eventually("another sweep", LIMIT, async || Ok((self.metric(name).await? > before).then_some(()))).await?;
        }
        Ok(())
    }

    /// The versions of all objects of ours in the namespace.
    pub async fn versions(&self) -> Result<Vec<String>> {
        let mut versions = Vec::new();
        let everything = kube::api::ListParams::default();
        versions.extend(self.servers().list(&everything).await?.iter().filter_map(ResourceExt::resource_version));
        let applications = self.applications(self.home.name()).list(&everything).await?;
        versions.extend(applications.iter().filter_map(ResourceExt::resource_version));
        let permits = self.role_assignments().list(&everything).await?;
        versions.extend(permits.iter().filter_map(ResourceExt::resource_version));
        let secrets = self.secrets(self.home.name()).list(&everything).await?;
        versions.extend(secrets.iter().filter_map(ResourceExt::resource_version));
        let maps = self.config_maps(self.home.name());
        versions.extend(maps.list(&everything).await?.iter().filter_map(ResourceExt::resource_version));
        let resources: Api<extapp::api::ApiResource> = Api::namespaced(self.client.clone(), self.home.name());
        versions.extend(resources.list(&everything).await?.iter().filter_map(ResourceExt::resource_version));
        Ok(versions)
    }
}

/// The data of a Secret as text.
pub fn text_of(secret: Secret) -> Keys {
    let data = secret.data.unwrap_or_default();
    data.into_iter().map(|(key, value)| (key, String::from_utf8_lossy(&value.0).into_owned())).collect()
}

/// Whether a published credential gets a token.
pub async fn works(http: &reqwest::Client, keys: &Keys) -> Result<bool> {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", &keys["client-id"]),
        ("client_secret", &keys["client-secret"]),
        ("scope", "OR.Queues"),
    ];
    let answer = http.post(&keys["token-uri"]).form(&form).send().await?;
    Ok(answer.status().is_success())
}

pub fn ready(conditions: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition]) -> bool {
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The part of the operator's permissions that is granted in one namespace.
fn granted_in(namespace: &str, extras: Extras) -> String {
    let all = manifest(&[namespace.to_owned()], extras);
    let local = |document: &&str| document.contains("kind: Role\n") || document.contains("kind: RoleBinding\n");
    all.split("---\n").filter(local).collect::<Vec<_>>().join("---\n")
}

/// The operator's kubeconfig, through a proxy without TLS.
fn gated_kubeconfig(plane: &ControlPlane, proxy: &str, path: &std::path::Path) -> Result<()> {
    let mut config = kube::config::Kubeconfig::read_from(plane.operator_kubeconfig())?;
    for cluster in config.clusters.iter_mut().filter_map(|named| named.cluster.as_mut()) {
        cluster.server = Some(proxy.to_owned());
        cluster.certificate_authority_data = None;
        cluster.certificate_authority = None;
    }
    std::fs::write(path, serde_saphyr::to_string(&config)?)?;
    Ok(())
}
