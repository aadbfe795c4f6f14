//! What is printed for which OAuth2Client.

use super::*;
use crate::api::{ApiResource, ExternalApplication};

fn found(spec: &Value) -> Found {
    let object = json!({
        "apiVersion": "hydra.ory.sh/v1alpha1", "kind": "OAuth2Client",
        "metadata": {"name": "invoices", "namespace": "team-a"}, "spec": spec
    });
    Found {
        object: serde_json::from_value(object).expect("an object"),
        client_id: Some("id-9".into()),
        capitals: true,
        has_secret: true,
    }
}

fn whole() -> Value {
    json!({
        "clientName": "Invoices", "grantTypes": ["client_credentials", "authorization_code", "refresh_token"],
        "responseTypes": ["code"], "scope": "read write openid offline", "secretName": "invoices-oauth",
        "redirectUris": ["https://invoices.example.com/cb"], "audience": ["https://api.example.com"],
        "tokenEndpointAuthMethod": "client_secret_post", "skipConsent": true,
        "postLogoutRedirectUris": ["https://invoices.example.com/"],
        "tokenLifespans": {
            "client_credentials_grant_access_token_lifespan": "1h", "authorization_code_grant_access_token_lifespan": "1h",
            "authorization_code_grant_refresh_token_lifespan": "720h"
        }
    })
}

fn with(changes: &Value) -> Value {
    let mut spec = whole();
    for (field, value) in changes.as_object().expect("fields") {
        spec[field] = value.clone();
    }
    spec
}

fn printed(found: &[Found]) -> String {
    let server = Target { namespace: "identity".into(), name: "hydra".into() };
    convert(found, &server, "imported").expect("YAML")
}

fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple::<Value>(text).expect("YAML").into_iter().filter(|value| !value.is_null()).collect()
}

fn application(spec: &Value) -> ExternalApplication {
    let all = documents(&printed(&[found(spec)]));
    let object = all.into_iter().find(|document| document["kind"] == "ExternalApplication").expect("an application");
    serde_json::from_value(object).expect("one of ours")
}

#[test]
fn everything_that_a_client_says_is_said_in_our_words_and_passes_our_rules() {
    let app = application(&whole());
    app.validate_cel().expect("admitted");
    let spec = serde_json::to_value(&app.spec).expect("JSON");
    assert_eq!(spec["adopt"]["clientId"], "id-9");
    assert_eq!(spec["serverRef"], json!({"name": "hydra", "namespace": "identity"}));
    assert_eq!(
        spec["resources"],
        json!([
            {"name": "imported", "userScopes": ["read", "write"], "applicationScopes": ["read", "write"]},
            {"name": "openid", "userScopes": ["offline", "openid"]}
        ])
    );
    assert_eq!(spec["outputs"], json!([{"name": "invoices-oauth", "format": "Env", "immutable": false}]));
    assert_eq!(
        spec["settings"],
        json!({
            "tokenEndpointAuthMethod": "client_secret_post", "audiences": ["https://api.example.com"],
            "accessTokenLifespan": "1h", "refreshTokenLifespan": "720h", "skipConsent": true,
            "postLogoutRedirectUris": ["https://invoices.example.com/"]
        })
    );
}

#[test]
fn the_secret_is_given_the_old_object_lets_go_and_the_scopes_are_declared() {
    let all = documents(&printed(&[found(&whole())]));
    let kind = |kind: &str| all.iter().find(|document| document["kind"] == kind).expect("a document");
    let secret =
        json!({"name": "invoices-oauth", "namespace": "team-a", "annotations": {"extapp.dev/given-to": "invoices"}});
    assert_eq!(kind("Secret")["metadata"], secret);
    assert!(kind("Secret").get("data").is_none(), "nothing of what is in it");
    assert_eq!(kind("OAuth2Client")["spec"], json!({"deletionPolicy": "Orphan"}));
    let declared: ApiResource = serde_json::from_value(kind("ApiResource").clone()).expect("one of ours");
    let scopes: Vec<(&str, usize)> =
        declared.spec.scopes.iter().map(|scope| (scope.name.as_str(), scope.grants.len())).collect();
    assert_eq!(scopes, [("read", 2), ("write", 2)]);
}

#[test]
fn a_public_client_stays_one_and_keeps_its_secret_object() {
    let spec = with(&json!({"tokenEndpointAuthMethod": "none", "grantTypes": ["authorization_code"]}));
    let app = application(&spec);
    app.validate_cel().expect("admitted");
    let spec = serde_json::to_value(&app.spec).expect("JSON");
    assert_eq!(spec["type"], "NonConfidential");
    assert_eq!(spec["outputs"][0]["kind"], "Secret");
    assert!(spec["resources"][0].get("applicationScopes").is_none());
}

#[test]
fn small_keys_are_kept_by_a_template() {
    let small = Found { capitals: false, ..found(&whole()) };
    let all = documents(&printed(&[small]));
    let app = all.iter().find(|document| document["kind"] == "ExternalApplication").expect("an application");
    assert_eq!(app["spec"]["outputs"][0]["template"]["client_secret"], "{{ clientSecret }}");
}

#[test]
fn what_cannot_be_carried_over_is_said_and_left_alone() {
    let none = Found { client_id: None, ..found(&whole()) };
    let table = [
        (none, "names no client id"),
        (Found { has_secret: false, ..found(&whole()) }, "has no client secret"),
        (found(&with(&json!({"tokenEndpointAuthMethod": "private_key_jwt"}))), "a key of its own"),
        (found(&with(&json!({"grantTypes": ["implicit"]}))), "at least one scope for it"),
        (found(&with(&json!({"scope": ""}))), "at least one scope for it"),
    ];
    for (found, expected) in table {
        let text = printed(&[found]);
        assert!(text.contains("# - NOT taken over: ") && text.contains(expected), "{text}");
        assert_eq!(documents(&text).len(), 0, "{text}");
    }
}

#[test]
fn what_changes_is_remarked() {
    let spec = with(&json!({
        "redirectUris": ["http://a.example/*"], "jwksUri": "https://a.example/k", "responseTypes": ["code", "id_token"],
        "grantTypes": ["client_credentials", "authorization_code", "implicit"],
        "tokenLifespans": {"client_credentials_grant_access_token_lifespan": "1h", "authorization_code_grant_access_token_lifespan": "2h"}
    }));
    let text = printed(&[found(&spec)]);
    for remark in [
        "grant type implicit",
        "redirect URI http://a.example/* is refused",
        "accessTokenLifespan: it has several",
        "jwksUri has no place",
    ] {
        assert!(text.contains(remark), "{remark}: {text}");
    }
}
