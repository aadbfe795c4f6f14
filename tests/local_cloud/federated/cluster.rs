//! Tokens of service accounts of a real API server, verified through what it publishes.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use extapp::local_cloud::Clock;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use reqwest::Method;
use serde_json::{Value, json};

use super::issuer::{Issuer, signed, with_other_algorithms};
use super::{Cloud, SCOPE, changed, refused, taken, text};
use crate::foreign_clients::stage;
use crate::support::{Context, ControlPlane, Result, TestNamespace, shared};

const AUDIENCE: &str = "https://cloud.example/federated";

/// A local cloud that trusts the API server, and an application that trusts the service account `worker`.
struct Site {
    plane: &'static ControlPlane,
    namespace: TestNamespace,
    cloud: Cloud,
    client: String,
}

impl Site {
    async fn set() -> Result<Self> {
        let plane = shared().await?;
        let namespace = plane.unique_namespace("federated").await?;
        // The API server's tokens are of now; a clock that stands can be moved past their end.
        let clock = Clock::manual(extapp::clock::now());
        let cloud = Cloud::start_with(|config| {
            config.clock = clock;
            config.issuer_ca = vec![plane.certificate()];
        });
        let cloud = cloud.await;
        let client = cloud.secretless("worker").await;
        let site = Self { plane, namespace, cloud, client };
        for name in ["worker", "other"] {
            let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
            let account = ServiceAccount { metadata, ..ServiceAccount::default() };
            site.accounts().await?.create(&PostParams::default(), &account).await?;
        }
        site.cloud.trusts(&site.client, &site.trust()).await;
        Ok(site)
    }

    fn trust(&self) -> Value {
        json!({
            "name": "cluster",
            "issuer": self.plane.url(),
            "audience": AUDIENCE,
            "subject": format!("system:serviceaccount:{}:worker", self.namespace.name()),
        })
    }

    async fn accounts(&self) -> Result<Api<ServiceAccount>> {
        Ok(Api::namespaced(self.plane.admin_client().await?, self.namespace.name()))
    }

    /// What kubelet would put into a projected volume.
    async fn token(&self, account: &str, audiences: &[&str]) -> Result<String> {
        let spec = TokenRequestSpec {
            audiences: audiences.iter().map(|&audience| audience.to_owned()).collect(),
            expiration_seconds: Some(600),
            ..TokenRequestSpec::default()
        };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let answer = self.accounts().await?.create_token_request(account, &PostParams::default(), &request).await?;
        Ok(answer.status.context("no token")?.token)
    }
}

#[tokio::test]
async fn a_real_service_account_token_gets_an_access_token_that_opens_a_protected_resource() -> Result<()> {
    let site = Site::set().await?;
    let token = site.token("worker", &[AUDIENCE]).await?;
    let (status, answer) = site.cloud.presented(&site.client, &token).await;
    assert_eq!(status, 200, "{answer}");
    let path = format!("ExternalClient/{}", site.cloud.partition());
    let access = text(&answer, "access_token");
    let (status, applications) = taken(site.cloud.call(&access, Method::GET, &path, None).await).await;
    assert_eq!((status, applications.as_array().map(Vec::len)), (200, Some(2)), "{applications}");
    Ok(())
}

#[tokio::test]
async fn a_real_service_account_token_of_another_account_audience_or_issuer_or_past_its_end_gets_nothing() -> Result<()>
{
    let site = Site::set().await?;
    let token = site.token("worker", &[AUDIENCE]).await?;
    assert!(site.cloud.accepts(&site.client, &token).await);
    for (account, audiences) in [
        ("other", &[AUDIENCE][..]),
        ("worker", &["https://cloud.example"]),
        ("worker", &[AUDIENCE, "other"]),
        ("worker", &[]),
    ] {
        let token = site.token(account, audiences).await?;
        assert!(!site.cloud.accepts(&site.client, &token).await, "{account} {audiences:?}");
    }
    // The same account of another issuer, and of one that is spelt otherwise.
    let (other, issuer) = (site.cloud.secretless("other issuer").await, Issuer::start().await);
    site.cloud.trusts(&other, &changed(&site.trust(), &json!({ "issuer": issuer.url() }))).await;
    assert!(!site.cloud.accepts(&other, &token).await);
    let trust = changed(&site.trust(), &json!({ "name": "spelt", "issuer": format!("{}/", site.plane.url()) }));
    let (status, answer) = site.cloud.post(&site.cloud.credentials_of(&other), &trust).await;
    assert_eq!(status, 400, "{answer}");
    assert!(text(&answer, "message").contains("is of another issuer"), "{answer}");
    site.cloud.clock.advance(601_000);
    assert!(!site.cloud.accepts(&site.client, &token).await);
    Ok(())
}

#[tokio::test]
async fn what_only_looks_like_a_real_service_account_token_gets_nothing() -> Result<()> {
    let site = Site::set().await?;
    let token = site.token("worker", &[AUDIENCE]).await?;
    let [header, payload, signature] =
        <[&str; 3]>::try_from(token.split('.').collect::<Vec<_>>()).ok().context("no JWT")?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload)?)?;
    let id: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header)?)?;
    let id = id["kid"].as_str().context("no kid")?;
    let longer = changed(&claims, &json!({ "exp": claims["exp"].as_i64().context("no exp")? + 86_400 }));
    let longer = URL_SAFE_NO_PAD.encode(longer.to_string());
    let none = URL_SAFE_NO_PAD.encode(json!({ "alg": "none", "kid": id }).to_string());
    for (name, forged) in [
        ("a later end", format!("{header}.{longer}.{signature}")),
        ("no algorithm", format!("{none}.{payload}.")),
        ("another key under its name", signed(id, 0, &claims)),
        ("an unknown key", signed("unknown", 0, &claims)),
        ("too long", signed(id, 0, &changed(&claims, &json!({ "padding": "x".repeat(8192) })))),
    ] {
        assert_eq!(site.cloud.presented(&site.client, &forged).await, refused(), "{name}");
    }
    for (name, forged) in with_other_algorithms(&claims) {
        assert_eq!(site.cloud.presented(&site.client, &forged).await, refused(), "{name}");
    }
    assert!(site.cloud.accepts(&site.client, &token).await);
    Ok(())
}

#[tokio::test]
async fn an_api_server_with_a_certificate_of_its_own_is_trusted_only_if_it_is_said() -> Result<()> {
    let (site, stranger) = (Site::set().await?, Cloud::start().await);
    let client = stranger.secretless("worker").await;
    let (status, answer) = stranger.post(&stranger.credentials_of(&client), &site.trust()).await;
    assert_eq!(status, 400, "{answer}");
    assert!(text(&answer, "message").contains("cannot be reached"), "{answer}");
    Ok(())
}

#[tokio::test]
async fn openid_client_authenticates_with_a_projected_token() -> Result<()> {
    let site = Site::set().await?;
    let input = json!({
        "issuer": format!("{}/identity_", site.cloud.running.base_url()),
        "client": site.client,
        "scope": SCOPE,
        "assertion": site.token("worker", &[AUDIENCE]).await?,
        "another": site.token("other", &[AUDIENCE]).await?,
    });
    let answer = stage::node("federated.mjs", "client_credentials", input).await?;
    assert_eq!(answer["claims"]["sub"], json!(site.client), "{answer}");
    assert_eq!(answer["claims"]["scope"], json!([SCOPE]), "{answer}");
    assert_eq!(answer["another"]["error"], "invalid_client", "{answer}");
    Ok(())
}
