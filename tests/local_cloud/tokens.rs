//! The OAuth endpoints.

use std::collections::HashSet;

use extapp::local_cloud::{Clock, SigningAlgorithm};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Cloud, taken, text};

/// Verifies a token as a stranger does: through discovery and the published keys.
async fn verified(cloud: &Cloud, token: &str, algorithm: Algorithm) -> Value {
    let discovery = format!("{}/identity_/.well-known/openid-configuration", cloud.running.url());
    let metadata: Value = cloud.http.get(discovery).send().await.unwrap().json().await.unwrap();
    let keys: JwkSet = cloud.http.get(text(&metadata, "jwks_uri")).send().await.unwrap().json().await.unwrap();
    let id = jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
    let key = DecodingKey::from_jwk(keys.find(&id).unwrap()).unwrap();
    let mut validation = Validation::new(algorithm);
    validation.set_issuer(&[text(&metadata, "issuer")]);
    validation.set_audience(&["UiPath.PlatformManagement"]);
    jsonwebtoken::decode::<Value>(token, &key, &validation).unwrap().claims
}

#[tokio::test]
async fn a_token_is_verified_by_the_published_keys_and_says_what_uipaths_tokens_say() {
    for (signing_algorithm, algorithm) in
        [(SigningAlgorithm::Rs256, Algorithm::RS256), (SigningAlgorithm::Es256, Algorithm::ES256)]
    {
        let cloud = Cloud::start_with(|config| {
            config.signing_algorithm = signing_algorithm;
            config.clock = Clock::system();
        })
        .await;
        let administrator = cloud.administrator();
        let claims = verified(&cloud, &cloud.token(&administrator, "PM.OAuthApp OR.Default").await, algorithm).await;
        assert_eq!(claims["sub"], administrator.0);
        assert_eq!(claims["client_id"], administrator.0);
        assert_eq!(claims["sub_type"], "service.external");
        assert_eq!(claims["prt_id"], cloud.partition());
        assert_eq!(claims["scope"], json!(["PM.OAuthApp", "OR.Default"]));
        assert_eq!(claims["aud"], json!(["UiPath.Orchestrator", "UiPath.PlatformManagement"]));
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);
    }
}

#[tokio::test]
async fn discovery_names_what_is_there_and_nothing_else() {
    let cloud = Cloud::start().await;
    let base = cloud.running.base_url();
    for address in [format!("{base}/identity_"), format!("{base}/acme/identity_")] {
        let url = format!("{address}/.well-known/openid-configuration");
        let metadata: Value = cloud.http.get(url).send().await.unwrap().json().await.unwrap();
        assert_eq!(metadata["issuer"], format!("{base}/identity_"));
        assert_eq!(metadata["token_endpoint"], format!("{base}/identity_/connect/token"));
        assert_eq!(metadata["authorization_endpoint"], format!("{base}/identity_/connect/authorize"));
        let grants = json!(["authorization_code", "client_credentials", "refresh_token"]);
        assert_eq!(metadata["grant_types_supported"], grants);
        assert_eq!(metadata["response_types_supported"], json!(["code"]));
    }
}

#[tokio::test]
async fn the_answer_is_plain_and_must_not_be_stored() {
    let cloud = Cloud::start().await;
    let response = cloud.ask_for_token(&cloud.administrator(), "PM.OAuthApp OR.Jobs").await;
    assert!(response.headers()["cache-control"].to_str().unwrap().contains("no-store"));
    let answer: Value = response.json().await.unwrap();
    let members: HashSet<_> = answer.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, HashSet::from(["access_token", "expires_in", "token_type", "scope"]));
    assert_eq!((&answer["expires_in"], &answer["token_type"]), (&json!(3600), &json!("Bearer")));
    assert_eq!(answer["scope"], "PM.OAuthApp OR.Jobs");
}

#[tokio::test]
async fn a_client_authenticates_in_the_header_too_at_either_address() {
    let cloud = Cloud::start().await;
    let (id, secret) = cloud.administrator();
    let encoded = |value: &str| url::form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>();
    for address in [cloud.running.base_url(), cloud.running.url()] {
        let request = cloud.http.post(format!("{address}/identity_/connect/token"));
        let form = [("grant_type", "client_credentials"), ("scope", "OR.Default")];
        let response = request.basic_auth(encoded(&id), Some(encoded(&secret))).form(&form).send().await.unwrap();
        assert_eq!(response.status(), 200);
    }
}

#[tokio::test]
async fn a_wrong_secret_and_an_unknown_client_look_the_same() {
    let cloud = Cloud::start().await;
    let (id, secret) = cloud.administrator();
    let refused = (400, json!({ "error": "invalid_client" }));
    for client in [(id.clone(), "wrong".to_owned()), ("nobody".to_owned(), secret), (id, String::new())] {
        assert_eq!(taken(cloud.ask_for_token(&client, "OR.Default").await).await, refused);
    }
}

#[tokio::test]
async fn scopes_match_by_their_very_names_and_the_default_scope_is_everyones() {
    let cloud = Cloud::start().await;
    let both = json!([{ "name": "OR.Jobs.Read", "type": 1 }, { "name": "OR.Jobs.Write", "type": 1 }]);
    let client = cloud.created("app", &both).await;
    cloud.token(&client, "OR.Jobs.Write OR.Jobs.Read OR.Default").await;
    for scope in ["OR.Jobs", "OR.Assets", "OR.Nope", "OR.Jobs.Read offline_access"] {
        let refusal = taken(cloud.ask_for_token(&client, scope).await).await;
        assert_eq!(refusal, (400, json!({ "error": "invalid_scope" })), "{scope}");
    }
}

#[tokio::test]
async fn a_user_scope_under_client_credentials_is_refused_in_words() {
    let cloud = Cloud::start().await;
    let scopes = json!([{ "name": "OR.Jobs", "type": 1 }, { "name": "OR.Assets", "type": 0 }]);
    let client = cloud.created("app", &scopes).await;
    let message = format!("Client={} is not allowed to access User scopes", client.0);
    let refusal = taken(cloud.ask_for_token(&client, "OR.Assets").await).await;
    assert_eq!(refusal, (400, json!({ "error": "invalid_request", "error_description": message })));
}

#[tokio::test]
async fn a_client_with_user_scopes_only_or_without_secrets_has_no_client_credentials() {
    let cloud = Cloud::start().await;
    let scopes = json!([{ "name": "OR.Jobs", "type": 0 }]);
    let confidential = cloud.created("app", &scopes).await;
    let mut request = cloud.application("public", &scopes);
    request["isConfidential"] = json!(false);
    let public = (text(&cloud.post("ExternalClient", &request).await.1, "id"), String::new());
    for client in [confidential, public] {
        let refusal = taken(cloud.ask_for_token(&client, "OR.Jobs").await).await;
        assert_eq!(refusal, (400, json!({ "error": "unauthorized_client" })));
    }
}

#[tokio::test]
async fn several_secrets_are_valid_until_they_expire_or_are_deleted() {
    let cloud = Cloud::start().await;
    let (id, first) = cloud.created("app", &json!([{ "name": "OR.Jobs", "type": 1 }])).await;
    let request = json!({
        "clientId": id, "partitionGlobalId": cloud.partition(), "expiryTime": "2026-11-24T00:10:00Z",
    });
    let (_, answer) = cloud.post("ExternalClient/GenerateSecret", &request).await;
    assert_eq!(answer["expiryTime"], "2026-11-24T00:10:00.000Z");
    let (first, second) = ((id.clone(), first), (id.clone(), text(&answer, "secret")));
    let status = async |client| cloud.ask_for_token(client, "OR.Jobs").await.status().as_u16();
    assert_eq!((status(&first).await, status(&second).await), (200, 200));
    cloud.clock.advance(600_000);
    assert_eq!((status(&first).await, status(&second).await), (200, 400));
    let (_, read) = cloud.get(&cloud.path_of(&id)).await;
    let path = format!("ExternalClient/{}/secrets/{}", cloud.partition(), read["secrets"][0]["id"]);
    assert_eq!(cloud.manage(Method::DELETE, &path, None).await.0, 204);
    assert_eq!((status(&first).await, status(&second).await), (400, 400));
    assert_eq!(cloud.get(&cloud.path_of(&id)).await.1["secrets"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_token_outlives_its_client() {
    let cloud = Cloud::start().await;
    let client = cloud.created("app", &json!([{ "name": "PM.OAuthApp.Read", "type": 1 }])).await;
    let token = cloud.token(&client, "PM.OAuthApp.Read").await;
    assert_eq!(cloud.manage(Method::DELETE, &cloud.path_of(&client.0), None).await.0, 204);
    assert_eq!(cloud.call(&token, Method::GET, "ExternalApiResource", None).await.status(), 200);
    assert_eq!(cloud.ask_for_token(&client, "PM.OAuthApp.Read").await.status(), 400);
}
