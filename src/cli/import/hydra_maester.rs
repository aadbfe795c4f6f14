//! `extapp import hydra-maester`

use std::io::Write;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::{Client, ResourceExt as _};

mod convert;

use convert::{Found, Target, convert};

/// Prints what takes over the OAuth2Clients of hydra-maester: the same client ids, the same Secrets with what is in them
///
/// For each OAuth2Client that is registered: an ExternalApplication that adopts its registration, an annotation that
/// gives its Secret to that application, and a patch that keeps hydra-maester from deleting the registration when the
/// OAuth2Client goes. For all of them together: an ApiResource with the scopes that they use. What cannot be carried over
/// is said in comments. Secrets are read for the client id alone, and no secret is printed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The AuthorizationServer (of kind hydra) that the applications will name
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = target)]
    server: Target,
    /// Only the OAuth2Clients of these namespaces [default: of all]
    #[arg(long, value_delimiter = ',', value_name = "NAMESPACE,…")]
    namespaces: Vec<String>,
    /// The ApiResource, by its identifier, that their scopes are declared under
    #[arg(long, value_name = "IDENTIFIER", default_value = "imported")]
    resource: String,
}

fn target(text: &str) -> Result<Target, String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(Target { namespace: namespace.into(), name: name.into() })
        }
        _ => Err("must be the namespace and the name of an AuthorizationServer, such as identity/hydra".into()),
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no cluster: {0}; set KUBECONFIG, or choose a context with kubectl config use-context")]
    NoCluster(String),
    #[error("the OAuth2Clients cannot be listed: {0}")]
    List(String),
    #[error("Secret {namespace}/{name} cannot be read: {error}")]
    Secret { namespace: String, name: String, error: String },
    #[error("there is no OAuth2Client (hydra.ory.sh/v1alpha1) {0}")]
    Nothing(String),
    #[error("the manifests cannot be written as YAML: {0}")]
    Yaml(String),
    #[error("standard output: {0}")]
    Output(std::io::Error),
}

pub async fn run(args: &Args) -> Result<(), Error> {
    let client = Client::try_default().await.map_err(|error| Error::NoCluster(error.to_string()))?;
    let mut objects = list(&client, &args.namespaces).await?;
    objects.sort_by_key(|object| (object.namespace(), object.name_any()));
    if objects.is_empty() {
        let place = if args.namespaces.is_empty() { "in this cluster".into() } else { args.namespaces.join(", ") };
        return Err(Error::Nothing(place));
    }
    let mut found = Vec::new();
    for object in objects {
        found.push(with_client_id(&client, object).await?);
    }
    let text = convert(&found, &args.server, &args.resource).map_err(|error| Error::Yaml(error.to_string()))?;
    std::io::stdout().write_all(text.as_bytes()).map_err(Error::Output)
}

async fn list(client: &Client, namespaces: &[String]) -> Result<Vec<DynamicObject>, Error> {
    let kind = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("hydra.ory.sh", "v1alpha1", "OAuth2Client"),
        "oauth2clients",
    );
    let mut apis: Vec<Api<DynamicObject>> =
        namespaces.iter().map(|namespace| Api::namespaced_with(client.clone(), namespace, &kind)).collect();
    if apis.is_empty() {
        apis.push(Api::all_with(client.clone(), &kind));
    }
    let mut objects = Vec::new();
    for api in apis {
        objects.extend(api.list(&ListParams::default()).await.map_err(|error| Error::List(error.to_string()))?.items);
    }
    Ok(objects)
}

/// What the Secret of an OAuth2Client says, but the secret.
async fn with_client_id(client: &Client, object: DynamicObject) -> Result<Found, Error> {
    let namespace = object.namespace().unwrap_or_default();
    let name = object.data["spec"]["secretName"].as_str().unwrap_or_default().to_owned();
    let api: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let secret =
        api.get_opt(&name).await.map_err(|error| Error::Secret { namespace, name, error: error.to_string() })?;
    let data = secret.and_then(|secret| secret.data).unwrap_or_default();
    let text = |key: &str| String::from_utf8(data.get(key)?.0.clone()).ok().filter(|text| !text.is_empty());
    let (client_id, capitals) = match (text("CLIENT_ID"), text("client_id")) {
        (Some(id), _) => (Some(id), true),
        (None, id) => (id, false),
    };
    let has_secret = ["CLIENT_SECRET", "client_secret"].iter().any(|key| data.contains_key(*key));
    Ok(Found { object, client_id, capitals, has_secret })
}
