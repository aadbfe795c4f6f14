//! Waiting for conditions, and the small things that every test of a cluster does.

use std::time::{Duration, Instant};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::{Scope, pinned_kind};
use kube::runtime::wait::{Condition, await_condition, conditions};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::error::{Context, Error, Result};

/// The field manager of what tests apply: the person with the YAML.
pub const FIELD_MANAGER: &str = "platform-engineer";

const FIRST_POLL: Duration = Duration::from_millis(20);
const SLOWEST_POLL: Duration = Duration::from_millis(250);
const ESTABLISH_LIMIT: Duration = Duration::from_secs(30);

/// Asks again and again until there is an answer.
///
/// `Ok(None)` and `Err` both mean "not yet"; the last error is shown if the time runs out, so that it is the place to say
/// what was seen instead. Neither the interval nor the limit is part of what is tested: choose a generous limit.
pub async fn eventually<T>(
    what: &str,
    limit: Duration,
    mut probe: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let started = Instant::now();
    let mut pause = FIRST_POLL;
    let mut seen = "nothing".to_owned();
    loop {
        // A probe that hangs must not outlast the limit either.
        let left = limit.saturating_sub(started.elapsed()).max(FIRST_POLL);
        match tokio::time::timeout(left, probe()).await {
            Ok(Ok(Some(found))) => return Ok(found),
            Ok(Ok(None)) => "not yet".clone_into(&mut seen),
            Ok(Err(error)) => seen = error.to_string(),
            Err(_) => seen = format!("no answer; before that: {seen}"),
        }
        if started.elapsed() >= limit {
            return Err(Error::new(format!("waited {limit:?} in vain until {what}; last seen: {seen}")));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(SLOWEST_POLL);
    }
}

/// Watches one object until the condition holds; the object as it then is, `None` if the condition accepts its absence.
pub async fn wait_for<K>(api: Api<K>, name: &str, limit: Duration, condition: impl Condition<K>) -> Result<Option<K>>
where
    K: Clone + std::fmt::Debug + Send + DeserializeOwned + Resource + serde::Serialize + 'static,
{
    if let Ok(found) = tokio::time::timeout(limit, await_condition(api.clone(), name, condition)).await {
        return found.context(format!("watching {name}"));
    }
    let seen = match api.get_opt(name).await {
        Ok(Some(object)) => serde_json::to_string_pretty(&object)?,
        Ok(None) => "nothing of that name".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(Error::new(format!("{name} was not as expected after {limit:?}; last seen: {seen}")))
}

/// Applies a stream of YAML documents of any kind, as `kubectl apply --server-side` does.
pub async fn apply_yaml(client: &Client, yaml: &str) -> Result<Vec<DynamicObject>> {
    let namespace = client.default_namespace().to_owned();
    apply_yaml_in(client, &namespace, yaml).await
}

/// The same, with a namespace for the objects that name none.
pub async fn apply_yaml_in(client: &Client, namespace: &str, yaml: &str) -> Result<Vec<DynamicObject>> {
    let documents: Vec<serde_json::Value> = serde_saphyr::from_multiple(yaml).context("cannot read the YAML")?;
    let mut applied = Vec::new();
    for document in documents.into_iter().filter(|document| !document.is_null()) {
        let object: DynamicObject = serde_json::from_value(document)?;
        let types = object.types.clone().context("a YAML document has no kind")?;
        let name = object.metadata.name.clone().context(format!("a {} has no name", types.kind))?;
        let what = format!("applying {} {name}", types.kind);
        let (kind, capabilities) = pinned_kind(client, &GroupVersionKind::try_from(&types)?).await.context(&what)?;
        let api: Api<DynamicObject> = match capabilities.scope {
            Scope::Cluster => Api::all_with(client.clone(), &kind),
            Scope::Namespaced => {
                let namespace = object.metadata.namespace.as_deref().unwrap_or(namespace);
                Api::namespaced_with(client.clone(), namespace, &kind)
            }
        };
        let params = PatchParams::apply(FIELD_MANAGER).force();
        applied.push(api.patch(&name, &params, &Patch::Apply(&object)).await.context(&what)?);
        if types.kind == "CustomResourceDefinition" {
            let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
            wait_for(definitions, &name, ESTABLISH_LIMIT, conditions::is_crd_established()).await?;
        }
    }
    Ok(applied)
}
