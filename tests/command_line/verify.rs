//! `extapp verify`

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use url::form_urlencoded;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{at_home, extapp};
use crate::support::world::World;
use crate::support::{Context as _, Result, TestNamespace, apply_yaml_in, shared};

#[tokio::test]
async fn verify_gets_a_token_with_the_published_secret_and_shows_its_claims_alone() -> Result<()> {
    let mut world = World::new("verify").await?;
    let home = world.home.name().to_owned();
    world.confidential(&home, "worker", "").await?;
    let app = world.until_ready("worker").await?;
    let client_id = app.status.and_then(|status| status.client_id).context("a client id")?;
    let keys = world.secret(&home, "worker-oauth").await?;

    let text = at_home(&world, &["verify", "worker"]).await?;
    assert_eq!(text.code, Some(0), "{}", text.all());
    assert!(text.out.contains("worker: verified") && text.out.contains("UiPath.Orchestrator"), "{}", text.out);
    let ran = at_home(&world, &["verify", "worker", "-o", "json"]).await?;
    let said = ran.json()?;
    assert_eq!((&said["verdict"], &said["requestedScopes"]), (&json!("Verified"), &json!(["OR.Queues"])), "{said}");
    assert_eq!(said["claims"]["client_id"], json!(client_id), "{said}");
    assert!(said["expiresAt"].is_string());

    let people = "    userScopes: [OR.Jobs.Read]\n  redirectUris: ['https://portal.example.com/callback']\n";
    let yaml = format!(
        "apiVersion: extapp.dev/v1alpha1\nkind: ExternalApplication\nmetadata: {{name: portal}}\nspec:\n  serverRef: {{name: cloud}}\n  type: Confidential\n  resources:\n  - name: UiPath.Orchestrator\n{people}"
    );
    world.apply(&yaml).await?;
    world.non_confidential(&home, "desktop", "").await?;
    for name in ["portal", "desktop"] {
        world.until_ready(name).await?;
        let ran = at_home(&world, &["verify", name]).await?;
        assert_eq!(ran.code, Some(0), "{}", ran.all());
        assert!(ran.out.contains(": recognised") && ran.out.contains("one has to sign in"), "{}", ran.out);
    }

    // Nobody sets right what somebody now spoils.
    world.operator.kill9()?;
    let wrong = json!({"stringData": {"client-secret": "a-wrong-one-that-is-long-enough"}});
    world.secrets(&home).patch("worker-oauth", &PatchParams::default(), &Patch::Merge(&wrong)).await?;
    let refused = at_home(&world, &["verify", "worker"]).await?;
    assert_eq!(refused.code, Some(3), "{}", refused.all());
    assert!(refused.out.contains("invalid_client") && refused.out.contains("extapp rotate"), "{}", refused.out);
    let wrong = "a-wrong-one-that-is-long-enough".to_owned();
    for ran in [text, ran, refused] {
        ran.shows_none_of(&[&keys["client-secret"], &wrong]);
    }
    Ok(())
}

/// A namespace that no operator watches, with an application that is registered at this token endpoint.
async fn registered_at(token_endpoint: &str, spec: &Value) -> Result<TestNamespace> {
    let plane = shared().await?;
    let namespace = plane.unique_namespace("verify-by-hand").await?;
    let mut app = json!({
        "apiVersion": "extapp.dev/v1alpha1", "kind": "ExternalApplication", "metadata": {"name": "worker"},
        "spec": {
            "serverRef": {"name": "cloud"}, "type": "Confidential",
            "resources": [{"name": "UiPath.Orchestrator", "applicationScopes": ["OR.Queues"]}]
        }
    });
    for (key, value) in spec.as_object().into_iter().flatten() {
        app["spec"][key] = value.clone();
    }
    let client = plane.admin_client().await?;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "worker-oauth"},
        "stringData": {"client-id": "the-client", "client-secret": "the-secret-of-the-client", "token-uri": token_endpoint, "scope": "OR.Queues"}
    });
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "worker"}});
    for object in [app, secret, account] {
        apply_yaml_in(&client, namespace.name(), &object.to_string()).await?;
    }
    let status = json!({"status": {
        "observedGeneration": 1, "clientId": "the-client", "tokenEndpoint": token_endpoint, "binding": {"name": "worker-oauth"},
        "scopes": [{"name": "OR.Queues", "type": "Application", "state": "Granted"}]
    }});
    let api: kube::Api<extapp::api::ExternalApplication> = kube::Api::namespaced(client, namespace.name());
    api.patch_status("worker", &PatchParams::default(), &Patch::Merge(&status)).await?;
    Ok(namespace)
}

async fn verify(namespace: &TestNamespace, more: &[&str]) -> Result<super::Ran> {
    let arguments = [&["verify", "worker", "-n", namespace.name()], more].concat();
    extapp(&shared().await?.admin_kubeconfig(), &arguments).await
}

#[tokio::test]
async fn an_application_without_a_secret_is_verified_with_a_token_of_its_service_account() -> Result<()> {
    let server = MockServer::start().await;
    let answer =
        json!({"access_token": "an-opaque-access-token-of-the-server", "token_type": "Bearer", "expires_in": 600});
    let granted = ResponseTemplate::new(200).set_body_json(&answer);
    Mock::given(method("POST")).and(path("/token")).respond_with(granted).mount(&server).await;
    let spec = json!({
        "clientSecret": "None",
        "federatedCredentials": [{"name": "pods", "audience": "api://server", "serviceAccountRef": {"name": "worker"}}]
    });
    let namespace = registered_at(&format!("{}/token", server.uri()), &spec).await?;
    let ran = verify(&namespace, &[]).await?;
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    assert!(ran.out.contains("The token is opaque") && ran.out.contains("service account worker"), "{}", ran.out);

    let requests = server.received_requests().await.unwrap_or_default();
    let form: Vec<(String, String)> = form_urlencoded::parse(&requests[0].body).into_owned().collect();
    let field = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    assert_eq!(field("client_id").as_deref(), Some("the-client"));
    let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    assert_eq!(field("client_assertion_type").as_deref(), Some(kind));
    assert_eq!((field("client_secret"), field("scope").as_deref()), (None, Some("OR.Queues")));
    let assertion = field("client_assertion").context("an assertion")?;
    let claims = URL_SAFE_NO_PAD.decode(assertion.split('.').nth(1).context("claims")?)?;
    let claims: Value = serde_json::from_slice(&claims)?;
    assert_eq!(claims["aud"], json!(["api://server"]));
    assert_eq!(claims["sub"], json!(format!("system:serviceaccount:{}:worker", namespace.name())));
    ran.shows_none_of(&[&assertion, &"an-opaque-access-token-of-the-server".to_owned()]);
    Ok(())
}

#[tokio::test]
async fn nothing_is_sent_without_tls_and_no_certificate_is_taken_on_trust() -> Result<()> {
    let plane = shared().await?;
    let plain = registered_at("http://login.example.com/token", &json!({})).await?;
    let ran = verify(&plain, &[]).await?;
    assert_eq!(ran.code, Some(1), "{}", ran.all());
    assert!(ran.err.contains("--allow-insecure-host login.example.com"), "{}", ran.err);

    // Any server with a certificate of its own making will do.
    let strange = registered_at(&format!("{}/token", plane.url()), &json!({})).await?;
    let untrusted = verify(&strange, &[]).await?;
    assert_eq!(untrusted.code, Some(1), "{}", untrusted.all());
    assert!(untrusted.err.contains("--ca FILE"), "{}", untrusted.err);
    let authority = plane.scratch().join("apiserver.crt");
    let trusted = verify(&strange, &["--ca", &authority.to_string_lossy()]).await?;
    assert_eq!(trusted.code, Some(3), "it is reached, and is no token endpoint: {}", trusted.all());
    for ran in [ran, untrusted, trusted] {
        ran.shows_none_of(&[&"the-secret-of-the-client".to_owned()]);
    }
    Ok(())
}

#[tokio::test]
async fn a_redirect_is_not_followed() -> Result<()> {
    let (server, elsewhere) = (MockServer::start().await, MockServer::start().await);
    let moved = ResponseTemplate::new(307).insert_header("location", elsewhere.uri());
    Mock::given(method("POST")).respond_with(moved).mount(&server).await;
    let namespace = registered_at(&format!("{}/token", server.uri()), &json!({})).await?;
    let ran = verify(&namespace, &[]).await?;
    assert_eq!(ran.code, Some(1), "{}", ran.all());
    assert!(ran.err.contains("a redirect"), "{}", ran.err);
    assert!(elsewhere.received_requests().await.unwrap_or_default().is_empty());
    Ok(())
}
