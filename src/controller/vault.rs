//! Records of registrations as Secrets beside their AuthorizationServer: its namespace is the only one that may read what
//! manages the registrations of all others.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use kube::{Client, Resource as _};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::kubernetes::{is_conflict, is_not_found, text_of};
use super::servers::ServerKey;
use crate::api::AuthorizationServer;
use crate::domain::outputs::MANAGED_BY;
use crate::domain::registration::ClientId;
use crate::metrics::Metrics;
use crate::server::registration::{Kept, Over, Record, Vault, VaultError};

/// The type of the Secrets.
const TYPE: &str = "extapp.dev/registration";
/// Which AuthorizationServer a record belongs to.
const SERVER: &str = "extapp.dev/authorization-server";
/// The field manager of records.
const MANAGER: &str = "extapp-record";
/// How many records are read at once.
const PAGE: u32 = 200;

/// The records of one AuthorizationServer.
pub struct SecretVault {
    client: Client,
    metrics: Arc<Metrics>,
    key: ServerKey,
    /// `metadata.uid` of the server: the records go when it goes.
    uid: String,
}

impl SecretVault {
    pub fn new(client: Client, metrics: Arc<Metrics>, key: ServerKey, uid: String) -> Self {
        Self { client, metrics, key, uid }
    }

    fn api(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.key.namespace)
    }

    /// The name of a record: a client id may hold what a name may not.
    fn name(&self, id: &ClientId) -> String {
        format!("{}-{}", self.key.name, crate::domain::hex(&Sha256::digest(id.as_str())[..10]))
    }

    fn body(&self, record: &Record, version: Option<&str>) -> Value {
        let data: BTreeMap<&str, String> =
            record.to_data().iter().map(|(key, value)| (*key, STANDARD.encode(value.expose_secret()))).collect();
        let mut metadata = json!({
            "name": self.name(record.client_id()),
            "labels": { MANAGED_BY.0: MANAGED_BY.1, SERVER: self.key.name },
            "ownerReferences": [{
                "apiVersion": AuthorizationServer::api_version(&()), "kind": AuthorizationServer::kind(&()),
                "name": self.key.name, "uid": self.uid
            }]
        });
        if let Some(version) = version {
            metadata["resourceVersion"] = json!(version);
        }
        json!({"apiVersion": "v1", "kind": "Secret", "type": TYPE, "metadata": metadata, "data": data})
    }

    async fn read(&self, id: &ClientId) -> kube::Result<Option<Kept>> {
        let found = self.api().get_opt(&self.name(id)).await?;
        Ok(found.and_then(|secret| {
            let version = secret.metadata.resource_version.clone()?;
            let record = record(secret)?;
            (record.client_id() == id).then_some(Kept { record, version })
        }))
    }

    async fn write(&self, record: &Record, over: Over<'_>) -> kube::Result<()> {
        let version = match over {
            Over::Anything => None,
            Over::Version(version) => Some(version),
        };
        let body = self.body(record, version);
        let parameters = PatchParams::apply(MANAGER).force();
        self.metrics.wrote("Secret", "record");
        self.api().patch(&self.name(record.client_id()), &parameters, &Patch::Apply(&body)).await.map(|_| ())
    }

    async fn forget(&self, id: &ClientId) -> kube::Result<()> {
        self.metrics.wrote("Secret", "record");
        match self.api().delete(&self.name(id), &DeleteParams::default()).await {
            Err(error) if !is_not_found(&error) => Err(error),
            _ => Ok(()),
        }
    }

    async fn all(&self) -> kube::Result<Vec<Record>> {
        let selector = format!("{}={},{SERVER}={}", MANAGED_BY.0, MANAGED_BY.1, self.key.name);
        let mut parameters = ListParams::default().labels(&selector).fields(&format!("type={TYPE}")).limit(PAGE);
        let mut records = Vec::new();
        loop {
            let page = self.api().list(&parameters).await?;
            records.extend(page.items.into_iter().filter_map(record));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => parameters = parameters.continue_token(&token),
                None => return Ok(records),
            }
        }
    }
}

/// What a Secret holds, where it is a record.
fn record(secret: Secret) -> Option<Record> {
    if secret.type_.as_deref() != Some(TYPE) {
        return None;
    }
    Record::from_data(&text_of(secret.data?))
}

fn failed(error: &kube::Error) -> VaultError {
    if is_conflict(error) { VaultError::Conflict } else { VaultError::Failed }
}

impl Vault for SecretVault {
    fn read<'a>(&'a self, id: &'a ClientId) -> BoxFuture<'a, Result<Option<Kept>, VaultError>> {
        async move { self.read(id).await.map_err(|error| failed(&error)) }.boxed()
    }

    fn write<'a>(&'a self, record: &'a Record, over: Over<'a>) -> BoxFuture<'a, Result<(), VaultError>> {
        async move { self.write(record, over).await.map_err(|error| failed(&error)) }.boxed()
    }

    fn forget<'a>(&'a self, id: &'a ClientId) -> BoxFuture<'a, Result<(), VaultError>> {
        async move { self.forget(id).await.map_err(|error| failed(&error)) }.boxed()
    }

    fn all(&self) -> BoxFuture<'_, Result<Vec<Record>, VaultError>> {
        async move { self.all().await.map_err(|error| failed(&error)) }.boxed()
    }
}
