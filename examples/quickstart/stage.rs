//! Everything that runs: started, and ended without leaving anything behind.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, ResourceExt};
use tempfile::TempDir;

use crate::manifests::{self, NAMESPACES, Replacement, SERVER_NAMESPACE, Scene};
use crate::progress::{heading, step, until_settled};
use crate::support::assets::{Assets, scratch};
use crate::support::kubeconfig::write_private;
use crate::support::{
    Context, ControlPlane, Error, Hydra, LocalCloud, Operator, Options, Program, Result, apply_yaml, apply_yaml_in,
    eventually, installation,
};
use crate::{EXTAPP, sign_in};

/// How long the cluster may take to remove what was applied.
const REMOVAL: Duration = Duration::from_mins(2);

/// Where the manifests go.
#[allow(clippy::large_enum_variant, reason = "there is one in the whole program")]
enum Cluster {
    Own(ControlPlane),
    Existing { context: String, kubeconfig: PathBuf, client: Client, _scratch: TempDir },
}

/// The server that applications are registered at.
#[allow(clippy::large_enum_variant, reason = "there is one in the whole program")]
pub enum Server {
    LocalCloud(LocalCloud),
    Hydra(Hydra),
}

impl Server {
    /// The addresses of its manifest.
    fn replacements(&self) -> Vec<Replacement> {
        match self {
            Self::LocalCloud(cloud) => vec![(manifests::PLACEHOLDER, cloud.base_url().to_owned())],
            Self::Hydra(hydra) => vec![
                ("https://hydra.example.com", hydra.url()),
                ("http://hydra-admin.identity.svc:4445", hydra.admin_url()),
            ],
        }
    }
}

/// What has been started so far.
pub struct Stage {
    pub scene: &'static Scene,
    // Fields are dropped in this order.
    operator: Option<Operator>,
    server: Option<Server>,
    cluster: Option<Cluster>,
    /// Of the person who can sign in.
    password: String,
}

impl Stage {
    pub fn new(scene: &'static Scene) -> Self {
        Self { scene, operator: None, server: None, cluster: None, password: String::new() }
    }

    /// Starts everything and applies the manifests; returns once every application is ready or refused.
    pub async fn set(&mut self, context: Option<&str>) -> Result<()> {
        if context.is_none() {
            // Says itself what it does, if there is something to build.
            tokio::task::spawn_blocking(Assets::find).await??;
        }
        let (what, count) = (self.is_with(), self.scene.applications.len());
        println!("extapp quickstart: a cluster, {what}, the operator, and {count} applications.");
        heading("Starting, everything on loopback and on free ports");
        let program = Program::this_executable(EXTAPP)?;
        let server = Box::pin(self.start_server(&program)).await?;
        let server = self.server.insert(server);
        let cluster = match context {
            None => Box::pin(step("control plane: etcd, API server, controllers", own_cluster())).await?,
            Some(name) => step("your cluster", existing_cluster(name)).await?,
        };
        let cluster = self.cluster.insert(cluster);
        let client = cluster.client().await?;
        step("kinds and permissions", install(cluster, &client)).await?;
        let starting = async {
            let operator = Operator::builder(program, &cluster.operator_kubeconfig());
            let mut operator = operator.watch_namespaces(NAMESPACES).start().await?;
            let detail = format!("log: {}", operator.process().log().display());
            Ok((operator, detail))
        };
        self.operator = Some(step(cluster.operator_is(), starting).await?);

        heading(&format!("Applying {}/*.yaml, as kubectl would", self.scene.folder));
        for (written, here) in server.replacements() {
            println!("  {written} in 2-server.yaml is replaced by {here}");
        }
        let started = Instant::now();
        apply(&client, self.scene, server).await?;
        until_settled(&client, self.scene.applications, started).await
    }

    fn is_with(&self) -> &'static str {
        if self.scene.server == manifests::HYDRA.server { "an Ory Hydra" } else { "a stand-in for Automation Cloud" }
    }

    async fn start_server(&mut self, program: &Program) -> Result<Server> {
        if self.scene.server == manifests::HYDRA.server {
            // Says itself what it does, if there is something to build.
            tokio::task::spawn_blocking(Hydra::prepare).await??;
            return step("Ory Hydra, with its data in SQLite", async {
                let hydra = Hydra::start().await?;
                let url = hydra.url();
                Ok((Server::Hydra(hydra), url))
            })
            .await;
        }
        let (people, password) = sign_in::person();
        self.password = password;
        step("local cloud, in memory", async {
            let cloud = LocalCloud::builder(program.clone()).in_memory().people(&people).start().await?;
            let url = cloud.url().to_owned();
            Ok((Server::LocalCloud(cloud), url))
        })
        .await
    }

    /// A client for the person with the YAML.
    pub async fn client(&self) -> Result<Client> {
        self.cluster()?.client().await
    }

    pub fn kubeconfig(&self) -> Result<PathBuf> {
        Ok(self.cluster()?.kubeconfig())
    }

    /// kubectl for the person with the YAML.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<Command> {
        Ok(match self.cluster()? {
            Cluster::Own(control_plane) => control_plane.kubectl(arguments),
            Cluster::Existing { kubeconfig, .. } => {
                let mut command = Command::new("kubectl");
                command.env("KUBECONFIG", kubeconfig).args(arguments);
                command
            }
        })
    }

    pub fn server(&self) -> Result<&Server> {
        self.server.as_ref().context("the server does not run")
    }

    pub fn cloud(&self) -> Result<&LocalCloud> {
        match self.server()? {
            Server::LocalCloud(cloud) => Ok(cloud),
            Server::Hydra(_) => Err(Error::new("there is no local cloud")),
        }
    }

    pub fn password(&self) -> &str {
        &self.password
    }

    /// The name of the existing cluster's context, if it is one.
    pub fn context(&self) -> Option<&str> {
        match self.cluster.as_ref()? {
            Cluster::Own(_) => None,
            Cluster::Existing { context, .. } => Some(context),
        }
    }

    /// The operator's process, for whoever wants to see what becomes of its work when it dies.
    pub fn operator_pid(&mut self) -> Result<u32> {
        Ok(self.operator.as_mut().context("the operator does not run")?.process().pid())
    }

    /// Starts the operator again whenever it has ended, as a Deployment would.
    pub async fn attend(&mut self) -> Result<()> {
        let operator = self.operator.as_mut().context("the operator does not run")?;
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if !operator.process().alive() {
                println!("\nThe operator has ended. It is started again, as a Deployment would ...");
                operator.restart().await?;
                println!("  it goes on, as process {}", operator.process().pid());
            }
        }
    }

    fn cluster(&self) -> Result<&Cluster> {
        self.cluster.as_ref().context("there is no cluster yet")
    }

    /// Ends everything. From an existing cluster, what was applied is removed first, while the operator still runs.
    pub async fn end(self) -> Result<()> {
        if let Some(Cluster::Existing { client, context, .. }) = &self.cluster {
            println!("\nRemoving what was applied to {context} ...");
            let removed = remove(client).await;
            let advice = format!(
                "what is left of the quickstart: kubectl --context {context} delete namespace {}, then the \
                 CustomResourceDefinitions of extapp.dev",
                NAMESPACES.join(" ")
            );
            return removed.map_err(|error| Error::new(format!("{error}\n{advice}")));
        }
        println!("\nEnding everything that was started.");
        Ok(())
    }
}

impl Cluster {
    async fn client(&self) -> Result<Client> {
        match self {
            Self::Own(control_plane) => control_plane.admin_client().await,
            Self::Existing { client, .. } => Ok(client.clone()),
        }
    }

    fn kubeconfig(&self) -> PathBuf {
        match self {
            Self::Own(control_plane) => control_plane.admin_kubeconfig(),
            Self::Existing { kubeconfig, .. } => kubeconfig.clone(),
        }
    }

    fn operator_kubeconfig(&self) -> PathBuf {
        match self {
            Self::Own(control_plane) => control_plane.operator_kubeconfig(),
            Self::Existing { kubeconfig, .. } => kubeconfig.clone(),
        }
    }

    fn operator_is(&self) -> &'static str {
        match self {
            Self::Own(_) => "operator, with exactly its own permissions",
            Self::Existing { .. } => "operator, with your own permissions",
        }
    }
}

async fn own_cluster() -> Result<(Cluster, String)> {
    let control_plane = ControlPlane::start(Options::default().manifest(installation::kinds()?)).await?;
    let url = control_plane.url().to_owned();
    Ok((Cluster::Own(control_plane), url))
}

async fn existing_cluster(context: &str) -> Result<(Cluster, String)> {
    let mut kubeconfig = Kubeconfig::read()?;
    kubeconfig.current_context = Some(context.to_owned());
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig.clone(), &options).await.context(context)?;
    let (url, client) = (config.cluster_url.to_string(), Client::try_from(config)?);
    refuse_if_taken(&client).await?;
    // The operator has no option for a context: it gets a copy whose current one it is.
    let scratch = scratch("kubeconfig-")?;
    let path = scratch.path().join("kubeconfig");
    write_private(&path, &serde_json::to_string(&kubeconfig)?)?;
    Ok((Cluster::Existing { context: context.to_owned(), kubeconfig: path, client, _scratch: scratch }, url))
}

/// All that is applied is removed at the end, so nothing of it may be there before.
async fn refuse_if_taken(client: &Client) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    for name in NAMESPACES {
        if namespaces.get_opt(name).await?.is_some() {
            return Err(Error::new(format!(
                "the cluster has a namespace {name} already; the quickstart would remove it"
            )));
        }
    }
    let kinds: Api<CustomResourceDefinition> = Api::all(client.clone());
    for kind in extapp::api::definitions() {
        let name = kind.name_any();
        if kinds.get_opt(&name).await?.is_some() {
            return Err(Error::new(format!("the cluster has the kind {name} already; the quickstart would remove it")));
        }
    }
    Ok(())
}

/// In a cluster of its own, the kinds are there from the start.
async fn install(cluster: &Cluster, client: &Client) -> Result<((), String)> {
    match cluster {
        Cluster::Own(_) => apply_yaml(client, &installation::permissions()).await?,
        // The operator runs with the person's own rights here.
        Cluster::Existing { .. } => apply_yaml(client, &installation::kinds()?).await?,
    };
    let kinds: Vec<String> = extapp::api::definitions().iter().map(|kind| kind.spec.names.kind.clone()).collect();
    Ok(((), kinds.join(", ")))
}

async fn apply(client: &Client, scene: &Scene, server: &Server) -> Result<()> {
    for manifest in manifests::read(scene, &server.replacements())? {
        apply_yaml(client, &manifest.text).await.context(&manifest.file)?;
        if let Server::LocalCloud(cloud) = server
            && manifest.file.starts_with('1')
        {
            let secret = cloud.credentials_manifest()?;
            apply_yaml_in(client, SERVER_NAMESPACE, &secret).await.context("the local cloud's credentials")?;
        }
    }
    Ok(())
}

/// Applications first, so that the operator removes their registrations and finalizers; then the rest.
async fn remove(client: &Client) -> Result<()> {
    let delete = DeleteParams::default();
    for namespace in NAMESPACES {
        let api: Api<extapp::api::RoleAssignment> = Api::namespaced(client.clone(), namespace);
        gone(api.delete_collection(&delete, &ListParams::default()).await)?;
        let api: Api<extapp::api::ExternalApplication> = Api::namespaced(client.clone(), namespace);
        gone(api.delete_collection(&delete, &ListParams::default()).await)?;
    }
    let applications: Api<extapp::api::ExternalApplication> = Api::all(client.clone());
    let none_left = async || Ok(applications.list(&ListParams::default()).await?.items.is_empty().then_some(()));
    if exists::<extapp::api::ExternalApplication>(client).await? {
        eventually("every application is gone", REMOVAL, none_left).await?;
    }
    let namespaces: Api<Namespace> = Api::all(client.clone());
    for namespace in NAMESPACES {
        gone(namespaces.delete(namespace, &delete).await)?;
    }
    for namespace in NAMESPACES {
        let left = async || Ok(namespaces.get_opt(namespace).await?.is_none().then_some(()));
        eventually(&format!("the namespace {namespace} is gone"), REMOVAL, left).await?;
    }
    let kinds: Api<CustomResourceDefinition> = Api::all(client.clone());
    for kind in extapp::api::definitions() {
        gone(kinds.delete(&kind.name_any(), &delete).await)?;
    }
    Ok(())
}

async fn exists<K: kube::CustomResourceExt>(client: &Client) -> Result<bool> {
    let kinds: Api<CustomResourceDefinition> = Api::all(client.clone());
    Ok(kinds.get_opt(&K::crd().name_any()).await?.is_some())
}

/// What is not there needs no removal.
fn gone<T>(result: kube::Result<T>) -> Result<()> {
    match result {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        result => Ok(result.map(|_| ())?),
    }
}
