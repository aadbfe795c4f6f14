//! The cluster that a person works with, found as kubectl finds it, and what its refusals mean to them.

use std::path::PathBuf;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};

use crate::api::ExternalApplication;

/// Where to look, as kubectl is told.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Cluster {
    /// The kubeconfig file [default: KUBECONFIG, else ~/.kube/config]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig file [default: the current one]
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// The namespace of the application [default: that of the context]
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
}

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "no cluster: {0}. Set KUBECONFIG or --kubeconfig, and choose a context with --context or kubectl config use-context"
    )]
    NoCluster(String),
    #[error("the cluster does not answer: {0}. Check the context (kubectl config current-context) and the network")]
    Unreachable(String),
    #[error("the cluster does not know you: sign in again (kubectl get extapp shows whether it worked)")]
    Unknown,
    #[error(
        "there is no ExternalApplication {name} in namespace {namespace}: kubectl get extapp -A lists them all, -n chooses the namespace"
    )]
    NoApplication { namespace: String, name: String },
    #[error(
        "the cluster does not know ExternalApplications: extapp crds | kubectl apply --server-side -f - installs them"
    )]
    NotInstalled,
    #[error(
        "you may not {verb} {what} in namespace {namespace}: ask those who run the cluster for it (kubectl auth can-i {verb} {what} -n {namespace})"
    )]
    Forbidden { verb: &'static str, what: String, namespace: String },
    #[error("cannot {verb} {what} in namespace {namespace}: the Kubernetes API answered {answer}")]
    Refused { verb: &'static str, what: String, namespace: String, answer: String },
    #[error("{0}")]
    Because(String),
    #[error("cannot print: {0}")]
    Output(std::io::Error),
}

/// A cluster, and a namespace in it.
#[derive(Clone)]
pub struct Place {
    pub client: Client,
    pub namespace: String,
}

impl Cluster {
    pub async fn connect(&self) -> Result<Place, Error> {
        let mut config = self.config().await?;
        if let Some(namespace) = &self.namespace {
            config.default_namespace.clone_from(namespace);
        }
        let namespace = config.default_namespace.clone();
        let client = Client::try_from(config).map_err(|error| Error::NoCluster(innermost(&error)))?;
        Ok(Place { client, namespace })
    }

    async fn config(&self) -> Result<Config, Error> {
        let because = |error: &dyn std::error::Error| Error::NoCluster(innermost(error));
        let file = match &self.kubeconfig {
            Some(file) => Kubeconfig::read_from(file),
            None => Kubeconfig::read(),
        };
        let chosen = self.kubeconfig.is_some() || self.context.is_some();
        let file = match file {
            Ok(file) => file,
            // In a pod there is a service account instead of a file.
            Err(error) if !chosen => return Config::incluster().map_err(|_| because(&error)),
            Err(error) => return Err(because(&error)),
        };
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        Config::from_custom_kubeconfig(file, &options).await.map_err(|error| because(&error))
    }
}

impl Place {
    pub fn applications(&self) -> Api<ExternalApplication> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub async fn application(&self, name: &str) -> Result<ExternalApplication, Error> {
        match self.applications().get(name).await {
            Ok(app) => Ok(app),
            Err(kube::Error::Api(status)) if status.code == 404 && status.reason == "NotFound" => {
                Err(Error::NoApplication { namespace: self.namespace.clone(), name: name.to_owned() })
            }
            // There is no such path, so there is no such kind.
            Err(kube::Error::Api(status)) if status.code == 404 => Err(Error::NotInstalled),
            Err(error) => Err(self.explain(&error, "get", "externalapplications")),
        }
    }

    /// What a refusal means to the person who asked. `what`: the plural, as `kubectl auth can-i` takes it.
    pub fn explain(&self, error: &kube::Error, verb: &'static str, what: impl Into<String>) -> Error {
        let (what, namespace) = (what.into(), self.namespace.clone());
        match error {
            kube::Error::Api(status) if status.code == 401 => Error::Unknown,
            kube::Error::Api(status) if status.code == 403 => Error::Forbidden { verb, what, namespace },
            kube::Error::Api(status) => {
                Error::Refused { verb, what, namespace, answer: format!("{} {}", status.code, status.reason) }
            }
            kube::Error::HyperError(_) | kube::Error::Service(_) => Error::Unreachable(innermost(error)),
            _ => Error::Refused { verb, what, namespace, answer: "something that is not its API".into() },
        }
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut current = error;
    while let Some(source) = current.source() {
        current = source;
    }
    current.to_string()
}
