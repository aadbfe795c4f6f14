//! The floor: the same requests as the operator's, made by a bare loop that knows nothing, checks nothing and watches
//! nothing.

use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::far::{Far, Kind};
use crate::load;
use crate::setting::NAMESPACE;
use crate::support::{Context, LocalCloud, Result, error::Error};

const GROUP: &str = "fleet.extapp.dev";
const KIND: &str = "ExternalApplication";

/// A kind that nobody else looks at: `ExternalApplication` in a group of its own, so that the API server has the same to
/// check and to keep.
pub fn kind() -> Result<String> {
    let ours = extapp::api::definitions().into_iter().find(|definition| definition.spec.names.kind == KIND);
    let mut definition = ours.context("the kind is not defined")?;
    definition.metadata.name = Some(format!("{}.{GROUP}", definition.spec.names.plural));
    GROUP.clone_into(&mut definition.spec.group);
    definition.spec.names.short_names = None;
    definition.spec.names.categories = None;
    Ok(format!("---\n{}", serde_saphyr::to_string(&definition)?))
}

/// What the loop works with.
struct Floor {
    client: Client,
    http: reqwest::Client,
    server: Kind,
    /// Where registrations are created.
    url: String,
    /// Of the operator's own credentials, where the server asks for any.
    token: Option<String>,
    organization: Value,
}

/// For each application: the person's apply, one create at the server, and three writes to Kubernetes.
pub async fn run(client: &Client, server: Kind, far: &Far, count: usize, concurrency: u16) -> Result<Duration> {
    let floor = Floor::new(client, server, far).await?;
    let started = Instant::now();
    let work = stream::iter(0..count).map(Ok);
    work.try_for_each_concurrent(usize::from(concurrency), |number| floor.one(number)).await?;
    Ok(started.elapsed())
}

/// A token of the local cloud's administrator, and the organization that it names.
async fn administrator(http: &reqwest::Client, cloud: &LocalCloud) -> Result<(String, Value)> {
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
    Ok((token, organization))
}

impl Floor {
    async fn new(client: &Client, server: Kind, far: &Far) -> Result<Self> {
        let http = reqwest::Client::new();
        let (url, token, organization) = match far {
            Far::LocalCloud(cloud) => {
                let (token, organization) = administrator(&http, cloud).await?;
                (format!("{}/identity_/api/ExternalClient", cloud.url()), Some(token), organization)
            }
            Far::Hydra(hydra) => (format!("{}/admin/clients", hydra.admin_url()), None, Value::Null),
        };
        Ok(Self { client: client.clone(), http, server, url, token, organization })
    }

    async fn one(&self, number: usize) -> Result<()> {
        let name = format!("floor-{number:05}");
        let gvk = GroupVersionKind::gvk(GROUP, "v1alpha1", KIND);
        let kind = ApiResource::from_gvk_with_plural(&gvk, "externalapplications");
        let objects: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), NAMESPACE, &kind);
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), NAMESPACE);
        let (apply, by_person) = (PatchParams::apply("floor"), PatchParams::apply("person"));
        let object = |part: &str, value: Value| {
            let mut object = json!({"apiVersion": gvk.api_version(), "kind": gvk.kind, "metadata": {"name": name}});
            object[part] = value;
            Patch::Apply(object)
        };
        let made = objects.patch(&name, &by_person, &object("spec", load::spec(self.server))).await?;
        let intent = json!({
            "name": name, "finalizers": ["fleet.extapp.dev/floor"],
            "annotations": {"fleet.extapp.dev/pending": json!({
                "name": name, "digest": "0".repeat(32), "holder": "fleet", "at": "2026-11-24T12:00:00.000000000Z"
            }).to_string()}
        });
        objects.patch(&name, &apply, &object("metadata", intent)).await?;
        let (id, secret) = self.register(&name).await?;
        let owner = json!([{
            "apiVersion": gvk.api_version(), "kind": gvk.kind, "name": name, "uid": made.metadata.uid, "controller": true
        }]);
        secrets.patch(&name, &apply, &Patch::Apply(self.secret(&name, &owner, &id, &secret))).await?;
        objects.patch_status(&name, &apply, &object("status", self.status(&name, &id))).await?;
        Ok(())
    }

    /// The create at the server; the client id and the secret.
    async fn register(&self, name: &str) -> Result<(String, String)> {
        let (_, scopes) = self.server.asked();
        let asked = scopes.map(|scope| json!({"name": scope, "type": 1}));
        let (body, [id, secret]) = match self.server {
            Kind::LocalCloud => (
                json!({
                    "partitionGlobalId": self.organization, "name": name, "isConfidential": true, "redirectUri": null,
                    "scopes": asked
                }),
                ["id", "secret"],
            ),
            Kind::Hydra => (
                json!({
                    "client_name": name, "grant_types": ["client_credentials"], "scope": scopes.join(" "),
                    "owner": format!("floor/{name}"), "metadata": {"fleet.extapp.dev/uid": name}
                }),
                ["client_id", "client_secret"],
            ),
        };
        let request = self.http.post(&self.url).json(&body);
        let request = self.token.iter().fold(request, reqwest::RequestBuilder::bearer_auth);
        let made: Value = request.send().await?.error_for_status()?.json().await?;
        let text = |key: &str| made[key].as_str().map(ToOwned::to_owned).context("the answer lacks a field");
        Ok((text(id)?, text(secret)?))
    }

    /// As long as what the operator writes, in keys, labels and annotations.
    fn secret(&self, name: &str, owner: &Value, id: &str, secret: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "servicebinding.io/oauth2",
            "metadata": {
                "name": name, "ownerReferences": owner, "labels": {"fleet.extapp.dev/floor": "true"},
                "annotations": {
                    "fleet.extapp.dev/client-id": id, "fleet.extapp.dev/credential": "1",
                    "fleet.extapp.dev/secret-checksum": "0".repeat(32), "fleet.extapp.dev/shape": "0".repeat(16)
                }
            },
            "stringData": {
                "type": "oauth2", "provider": "uipath", "client-id": id, "client-secret": secret,
                "issuer-uri": self.url, "token-uri": self.url, "authorization-uri": self.url, "jwk-set-uri": self.url,
                "scope": self.server.asked().1.join(" ")
            }
        })
    }

    fn status(&self, name: &str, id: &str) -> Value {
        let condition = |kind: &str, status: &str, message: String| {
            json!({
                "type": kind, "status": status, "reason": kind, "message": message, "observedGeneration": 1,
                "lastTransitionTime": "2026-11-24T12:00:00Z"
            })
        };
        let scope = |scope: &&str| json!({"name": scope, "type": "Application", "state": "Granted"});
        json!({
            "observedGeneration": 1, "clientId": id, "issuer": self.url, "tokenEndpoint": self.url,
            "authorizationEndpoint": self.url, "jwksUri": self.url, "binding": {"name": name},
            "scopes": self.server.asked().1.map(|name| scope(&name)),
            "credentials": [{"id": "1", "kind": "Secret", "state": "Active", "createdAt": "2026-11-24T12:00:00Z"}],
            "conditions": [
                condition("CredentialsPublished", "True", format!("{name} carries the credentials")),
                condition("Drifted", "False", "the registration is as the spec says".into()),
                condition("Ready", "True", "registered, and the credentials are published".into()),
                condition("Registered", "True", format!("registered at {} as {id}", self.url))
            ]
        })
    }
}
