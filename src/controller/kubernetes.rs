//! Every write to the Kubernetes API, each with the field manager of its purpose, and the reads that go with them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, DeleteParams, ObjectMeta, Patch, PatchParams, Preconditions};
use kube::{Client, Resource, ResourceExt};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::owned::controller_of;
use super::servers::own::CredentialsSecret;
use crate::api::external_application::OutputKind;
use crate::api::{ExternalApplication, GIVEN_TO, PENDING};
use crate::domain::intent::Intent;
use crate::domain::outputs::{Content, Rendered, SeenOutput};
use crate::domain::plan::Standing;
use crate::domain::registration::ClientSecret;
use crate::metrics::Metrics;

/// The field manager of finalizer and intent.
const REGISTRATION: &str = "extapp-registration";
/// The field manager of a status.
const STATUS: &str = "extapp-status";
/// The field manager of the operator's own credentials, where it replaces them itself.
const CREDENTIALS: &str = "extapp-credentials";
/// The field manager of catalogue objects.
pub const CATALOGUE: &str = "extapp-catalogue";

/// Whether someone else was faster: look again.
pub fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

pub fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// Whether a write has certainly not happened. A server that is at fault itself may have done it before it failed.
pub fn is_refused(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code < 500)
}

/// What may be said of a failure: never the API server's text, which can quote values.
pub fn say(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("the Kubernetes API answered {} {}", status.code, status.reason),
        _ => "the Kubernetes API did not answer".into(),
    }
}

/// Whether the namespace is going away, so that nothing new can be made in it.
pub fn is_terminating(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403 && status.message.contains("being terminated"))
}

/// The one that writes, and counts what it writes.
pub struct Kubernetes<'a> {
    pub client: &'a Client,
    pub metrics: &'a Metrics,
}

impl Kubernetes<'_> {
    /// Writes the finalizer, and the intent if there is one, on the version that was read: of two operators, one loses.
    pub async fn guard<K>(&self, object: &K, finalizer: &str, intent: Option<&Intent>) -> kube::Result<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let mut metadata = identity(object.meta());
        metadata["finalizers"] = json!([finalizer]);
        if let Some(intent) = intent {
            let text = serde_json::to_string(intent).map_err(kube::Error::SerdeError)?;
            metadata["annotations"] = json!({ PENDING: text });
        }
        let purpose = if intent.is_some() { "intent" } else { "finalizer" };
        self.apply(object, REGISTRATION, metadata, purpose).await
    }

    /// Takes the finalizer and the intent away.
    pub async fn release<K>(&self, object: &K, finalizer: &str) -> kube::Result<()>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        // A finalizer that somebody else wrote is not ours to leave out: take it off the list that is there.
        let left: Vec<&String> = object.finalizers().iter().filter(|name| *name != finalizer).collect();
        let patch = json!({
            "metadata": {
                "uid": object.uid(), "resourceVersion": object.resource_version(),
                "finalizers": left, "annotations": { PENDING: null }
            }
        });
        let api: Api<K> = Api::namespaced(self.client.clone(), &object.namespace().unwrap_or_default());
        let parameters = PatchParams { field_manager: Some(REGISTRATION.into()), ..PatchParams::default() };
        self.metrics.wrote(kind_of::<K>(), "finalizer");
        match api.patch(&object.name_any(), &parameters, &Patch::Merge(&patch)).await {
            Ok(_) => Ok(()),
            Err(error) if is_not_found(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes an intent away whose create was refused for certain, so that it is not taken for an unknown outcome.
    /// `version`: of the object that carries it, so that no other process's intent goes.
    pub async fn forget_intent(
        &self,
        app: &ExternalApplication,
        finalizer: &str,
        version: Option<&str>,
    ) -> kube::Result<()> {
        let metadata = json!({
            "name": app.name_any(), "namespace": app.namespace(), "uid": app.uid(), "resourceVersion": version,
            "finalizers": [finalizer]
        });
        self.apply(app, REGISTRATION, metadata, "intent").await.map(|_| ())
    }

    async fn apply<K>(&self, object: &K, manager: &str, metadata: Value, purpose: &'static str) -> kube::Result<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let body = json!({"apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": metadata});
        let api: Api<K> = Api::namespaced(self.client.clone(), &object.namespace().unwrap_or_default());
        self.metrics.wrote(kind_of::<K>(), purpose);
        api.patch(&object.name_any(), &PatchParams::apply(manager).force(), &Patch::Apply(&body)).await
    }

    /// Writes a status; `version`: only over this version of the object.
    pub async fn status<K, S>(&self, object: &K, status: &S, version: Option<&str>) -> kube::Result<()>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
        S: Serialize,
    {
        let mut status = serde_json::to_value(status).map_err(kube::Error::SerdeError)?;
        if let Some(fields) = status.as_object_mut() {
            // Has a writer of its own.
            fields.remove("pendingDeletions");
        }
        let mut metadata = json!({"name": object.name_any(), "uid": object.uid()});
        if let Some(version) = version {
            metadata["resourceVersion"] = json!(version);
        }
        let body =
            json!({"apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": metadata, "status": status});
        let api: Api<K> = Api::namespaced(self.client.clone(), &object.namespace().unwrap_or_default());
        self.metrics.wrote(kind_of::<K>(), "status");
        let parameters = PatchParams::apply(STATUS).force();
        api.patch_status(&object.name_any(), &parameters, &Patch::Apply(&body)).await.map(|_| ())
    }

    /// Writes one output. A new one is never merged into an object that somebody else made meanwhile: the field manager
    /// is the application's own, and without force it loses against any other.
    pub async fn output(
        &self,
        app: &ExternalApplication,
        wanted: &Rendered,
        over: Option<&Standing>,
    ) -> kube::Result<ObjectMeta> {
        let uid = app.uid().unwrap_or_default();
        let mut metadata = json!({
            "name": wanted.name, "labels": wanted.labels, "annotations": wanted.annotations,
            "ownerReferences": [{
                "apiVersion": ExternalApplication::api_version(&()), "kind": ExternalApplication::kind(&()),
                "name": app.name_any(), "uid": uid, "controller": true
            }]
        });
        if let Some(standing) = over {
            metadata["uid"] = json!(standing.uid);
            metadata["resourceVersion"] = json!(standing.resource_version);
        }
        let manager = format!("extapp-output-{uid}");
        let parameters = PatchParams { force: over.is_some(), ..PatchParams::apply(&manager) };
        let namespace = app.namespace().unwrap_or_default();
        let mut body = body_of(wanted);
        if let Some(secret_type) = over.and_then(|standing| standing.secret_type.as_ref()) {
            body["type"] = json!(secret_type);
        }
        body["metadata"] = metadata;
        if wanted.immutable {
            body["immutable"] = json!(true);
        }
        let meta = self.write_output(&namespace, wanted, &parameters, &body).await?;
        if over.is_none() && is_shared(&meta, &manager) {
            // Somebody made an object of this name since it was looked for, with other keys: take out what was put in.
            let nothing =
                json!({"apiVersion": "v1", "kind": output_kind(wanted.kind), "metadata": {"name": wanted.name}});
            self.write_output(&namespace, wanted, &PatchParams::apply(&manager), &nothing).await?;
            return Err(in_the_way(&wanted.name));
        }
        Ok(meta)
    }

    /// Changes the Secret of the operator's own credentials, on the version that was read, and in these keys and annotations
    /// alone; `None` removes one.
    pub async fn credentials(
        &self,
        namespace: &str,
        secret: &CredentialsSecret,
        data: &[(&str, Option<&ClientSecret>)],
        annotations: &[(&str, Option<String>)],
    ) -> kube::Result<Secret> {
        let encoded: BTreeMap<&str, Option<String>> =
            data.iter().map(|(key, value)| (*key, value.map(|value| STANDARD.encode(value.expose())))).collect();
        let annotations: BTreeMap<_, _> = annotations.iter().cloned().collect();
        let mut patch = json!({
            "metadata": {
                "uid": secret.uid, "resourceVersion": secret.resource_version, "annotations": annotations
            }
        });
        if !encoded.is_empty() {
            patch["data"] = json!(encoded);
        }
        let parameters = PatchParams { field_manager: Some(CREDENTIALS.into()), ..PatchParams::default() };
        self.metrics.wrote("Secret", "credentials");
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        api.patch(&secret.name, &parameters, &Patch::Merge(&patch)).await
    }

    async fn write_output(
        &self,
        namespace: &str,
        wanted: &Rendered,
        parameters: &PatchParams,
        body: &Value,
    ) -> kube::Result<ObjectMeta> {
        self.metrics.wrote(output_kind(wanted.kind), "output");
        match wanted.kind {
            OutputKind::Secret => {
                let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
                Ok(api.patch(&wanted.name, parameters, &Patch::Apply(body)).await?.metadata)
            }
            OutputKind::ConfigMap => {
                let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
                Ok(api.patch(&wanted.name, parameters, &Patch::Apply(body)).await?.metadata)
            }
        }
    }

    /// Removes an object of ours, and no other of the same name.
    pub async fn remove_output(&self, namespace: &str, kind: OutputKind, name: &str, uid: &str) -> kube::Result<()> {
        let parameters = DeleteParams {
            preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
            ..DeleteParams::default()
        };
        self.metrics.wrote(output_kind(kind), "output");
        let done = match kind {
            OutputKind::Secret => {
                Api::<Secret>::namespaced(self.client.clone(), namespace).delete(name, &parameters).await.map(|_| ())
            }
            OutputKind::ConfigMap => {
                Api::<ConfigMap>::namespaced(self.client.clone(), namespace).delete(name, &parameters).await.map(|_| ())
            }
        };
        done.or_else(|error| if is_not_found(&error) || is_conflict(&error) { Ok(()) } else { Err(error) })
    }

    /// Reads one output as it is.
    pub async fn read_output(
        &self,
        app: &ExternalApplication,
        kind: OutputKind,
        name: &str,
    ) -> kube::Result<Option<SeenOutput>> {
        let namespace = app.namespace().unwrap_or_default();
        let (meta, content, secret_type) = match kind {
            OutputKind::Secret => {
                let Some(secret) = Api::<Secret>::namespaced(self.client.clone(), &namespace).get_opt(name).await?
                else {
                    return Ok(None);
                };
                (secret.metadata, Content::Secret(text_of(secret.data.unwrap_or_default())), secret.type_)
            }
            OutputKind::ConfigMap => {
                let api = Api::<ConfigMap>::namespaced(self.client.clone(), &namespace);
                let Some(map) = api.get_opt(name).await? else { return Ok(None) };
                (map.metadata, Content::ConfigMap(map.data.unwrap_or_default()), None)
            }
        };
        Ok(Some(SeenOutput {
            kind,
            name: name.to_owned(),
            ours: controller_of(&meta).is_some_and(|owner| Some(&owner.uid) == app.metadata.uid.as_ref()),
            given: controller_of(&meta).is_none()
                && meta.annotations.as_ref().and_then(|all| all.get(GIVEN_TO)) == app.metadata.name.as_ref(),
            secret_type,
            uid: meta.uid.unwrap_or_default(),
            resource_version: meta.resource_version.unwrap_or_default(),
            content,
            labels: meta.labels.unwrap_or_default(),
            annotations: meta.annotations.unwrap_or_default(),
        }))
    }
}

/// Whether anybody else has written fields of an object that was to be a new one.
fn is_shared(meta: &ObjectMeta, manager: &str) -> bool {
    meta.managed_fields.iter().flatten().any(|entry| entry.manager.as_deref() != Some(manager))
}

/// What the API server answers where a new object meets one of its name.
fn in_the_way(name: &str) -> kube::Error {
    let status = kube::core::Status::failure(&format!("{name} exists"), "AlreadyExists").with_code(409);
    kube::Error::Api(status.boxed())
}

fn identity(meta: &ObjectMeta) -> Value {
    json!({"name": meta.name, "namespace": meta.namespace, "uid": meta.uid, "resourceVersion": meta.resource_version})
}

fn body_of(wanted: &Rendered) -> Value {
    match &wanted.content {
        Content::Secret(data) => {
            let encoded: BTreeMap<&String, String> =
                data.iter().map(|(key, value)| (key, STANDARD.encode(value.expose_secret()))).collect();
            json!({"apiVersion": "v1", "kind": "Secret", "type": "servicebinding.io/oauth2", "data": encoded})
        }
        Content::ConfigMap(data) => json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data}),
    }
}

/// A value that is not text was not written by us, and compares unequal to everything that was.
pub fn text_of(data: BTreeMap<String, k8s_openapi::ByteString>) -> BTreeMap<String, SecretString> {
    data.into_iter()
        .filter_map(|(key, bytes)| Some((key, SecretString::from(String::from_utf8(bytes.0).ok()?))))
        .collect()
}

fn output_kind(kind: OutputKind) -> &'static str {
    match kind {
        OutputKind::Secret => "Secret",
        OutputKind::ConfigMap => "ConfigMap",
    }
}

/// The kind as a metric's label: a closed set.
fn kind_of<K: Resource<DynamicType = ()>>() -> &'static str {
    match K::kind(&()).as_ref() {
        "ExternalApplication" => "ExternalApplication",
        "AuthorizationServer" => "AuthorizationServer",
        "ApiResource" => "ApiResource",
        "RoleAssignment" => "RoleAssignment",
        _ => "other",
    }
}
