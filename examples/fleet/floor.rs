//! The floor: the same requests as the operator's, made by a bare loop that knows nothing, checks nothing and watches
//! nothing.

use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::setting::NAMESPACE;
use crate::support::{Context, LocalCloud, Result, error::Error};

/// A kind that nobody else looks at.
pub const KIND: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: floors.fleet.extapp.dev
spec:
  group: fleet.extapp.dev
  scope: Namespaced
  names: {kind: Floor, plural: floors}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}
";

/// What the loop works with.
struct Floor {
    client: Client,
    http: reqwest::Client,
    url: String,
    token: String,
    organization: Value,
}

/// For each application: the person's apply, one create at the server, and three writes to Kubernetes.
pub async fn run(client: &Client, cloud: &LocalCloud, count: usize, concurrency: u16) -> Result<Duration> {
    let floor = Floor::new(client, cloud).await?;
    let started = Instant::now();
    let work = stream::iter(0..count).map(Ok);
    work.try_for_each_concurrent(usize::from(concurrency), |number| floor.one(number)).await?;
    Ok(started.elapsed())
}

impl Floor {
    async fn new(client: &Client, cloud: &LocalCloud) -> Result<Self> {
        let http = reqwest::Client::new();
        let secret: Value = serde_saphyr::from_str(&cloud.credentials_manifest()?)?;
        let of = |key: &str| secret["stringData"][key].as_str().context("the manifest of the credentials lacks a key");
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", of("client-id")?),
            ("client_secret", of("client-secret")?),
            ("scope", "PM.OAuthApp"),
        ];
        let url = format!("{}/identity_/connect/token", cloud.base_url());
        let answer: Value = http.post(url).form(&form).send().await?.error_for_status()?.json().await?;
        let token = answer["access_token"].as_str().context("no token")?.to_owned();
        let claims = token.split('.').nth(1).context("the token is no JWT")?;
        let claims = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, claims)
            .map_err(|_| Error::new("the token's claims are not base64"))?;
        let organization = serde_json::from_slice::<Value>(&claims)?["prt_id"].clone();
        let url = format!("{}/identity_/api/ExternalClient", cloud.url());
        Ok(Self { client: client.clone(), http, url, token, organization })
    }

    async fn one(&self, number: usize) -> Result<()> {
        let name = format!("floor-{number:05}");
        let kind =
            ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("fleet.extapp.dev", "v1", "Floor"), "floors");
        let objects: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), NAMESPACE, &kind);
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), NAMESPACE);
        let (apply, by_person) = (PatchParams::apply("floor"), PatchParams::apply("person"));
        let object = |rest: Value| {
            let mut object = json!({"apiVersion": "fleet.extapp.dev/v1", "kind": "Floor", "metadata": {"name": name}});
            object
                .as_object_mut()
                .into_iter()
                .for_each(|object| object.extend(rest.as_object().cloned().unwrap_or_default()));
            Patch::Apply(object)
        };
        let scopes = ["OR.Default", "OR.Queues"];
        objects.patch(&name, &by_person, &object(json!({"spec": {"scopes": scopes}}))).await?;
        let intent = json!({"metadata": {
            "name": name, "finalizers": ["fleet.extapp.dev/floor"], "annotations": {"fleet.extapp.dev/intent": name}
        }});
        objects.patch(&name, &apply, &object(intent)).await?;
        let asked: Vec<Value> = scopes.iter().map(|scope| json!({"name": scope, "type": 1})).collect();
        let body = json!({
            "partitionGlobalId": self.organization, "name": name, "isConfidential": true, "redirectUri": null, "scopes": asked
        });
        let made = self.http.post(&self.url).bearer_auth(&self.token).json(&body).send().await?;
        let made: Value = made.error_for_status()?.json().await?;
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
            "stringData": {"client-id": made["id"], "client-secret": made["secret"]}
        });
        secrets.patch(&name, &apply, &Patch::Apply(&secret)).await?;
        objects.patch_status(&name, &apply, &object(json!({"status": {"clientId": made["id"]}}))).await?;
        Ok(())
    }
}
