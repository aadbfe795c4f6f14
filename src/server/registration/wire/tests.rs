use std::collections::BTreeSet;

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use url::Url;

use super::{ClientAnswer, Metadata, client_uri};
use crate::domain::fixtures::desired;
use crate::domain::jwks::KeySet;
use crate::domain::registration::{ClientId, ClientType, Desired, Grant, Scope, Setting, SettingValue};
use crate::server::ServerError;

fn scopes(names: &[(&str, Grant)]) -> BTreeSet<Scope> {
    names.iter().map(|(name, grant)| Scope { name: (*name).into(), grant: *grant }).collect()
}

fn answered() -> Value {
    json!({
        "client_id": "c-1", "client_secret": "s3cret", "client_secret_expires_at": 1_795_608_000,
        "client_id_issued_at": 1_795_521_600, "registration_access_token": "t0ken",
        "registration_client_uri": "https://login.example.com/reg/c-1", "client_name": "Invoice sync",
        "redirect_uris": ["https://a.example/cb"], "grant_types": ["client_credentials"], "response_types": [],
        "scope": "write read", "token_endpoint_auth_method": "client_secret_post", "software_id": "s-1",
        "client_name#fr": "Factures"
    })
}

fn read(body: &Value) -> ClientAnswer {
    ClientAnswer::read(body.clone()).expect("an answer")
}

#[test]
fn an_answer_is_taken_apart_into_credentials_and_metadata() {
    let answer = read(&answered());
    assert_eq!(answer.client_id, ClientId::new("c-1"));
    assert_eq!(answer.secret.expect("a secret").expose(), "s3cret");
    assert_eq!(answer.token.expect("a token").expose_secret(), "t0ken");
    assert_eq!(answer.uri.as_deref(), Some("https://login.example.com/reg/c-1"));
    assert_eq!(answer.secret_expires_at.expect("an end").to_string(), "2026-11-25T12:00:00Z");
    let kept = serde_json::to_string(&answer.metadata).expect("JSON");
    for never in ["s3cret", "t0ken", "c-1", "expires_at", "issued_at"] {
        assert!(!kept.contains(never), "{never}: {kept}");
    }
}

#[test]
fn a_client_that_signs_names_its_keys_in_one_place_and_goes_back_to_a_secret() {
    let keys = json!({"keys": [{"kty": "EC", "kid": "1", "crv": "P-256", "x": "wQ", "y": "wg"}]});
    let signing = |place: Setting, value: SettingValue| {
        let method = SettingValue::Text("private_key_jwt".into());
        let settings = [(Setting::TokenEndpointAuthMethod, method), (place, value)].into();
        Desired { secretless: true, settings, ..desired() }
    };
    let set = KeySet::parse(&keys.to_string()).expect("keys");
    let by_value = signing(Setting::Jwks, SettingValue::Keys(set));
    let by_place = signing(Setting::JwksUri, SettingValue::Text("https://app.example/keys".into()));
    let id = ClientId::new("c-1");
    let (first, body) = (Metadata::wanted(&by_value), Metadata::wanted(&by_value).create_body());
    assert_eq!((&body["token_endpoint_auth_method"], &body["jwks"]), (&json!("private_key_jwt"), &keys));
    let read = first.settings();
    assert!(by_value.settings.iter().all(|(setting, value)| read.get(setting) == Some(value)), "{read:?}");
    let body = first.update_body(&id, &by_place);
    assert_eq!((&body["jwks_uri"], body.get("jwks")), (&json!("https://app.example/keys"), None));
    let body = first.update_body(&id, &desired());
    assert_eq!(body["token_endpoint_auth_method"], "client_secret_basic");
    let mut told = by_value;
    told.settings.insert(Setting::TokenEndpointAuthSigningAlg, SettingValue::Text("ES256".into()));
    let signs = Metadata::wanted(&told);
    assert_eq!(signs.update_body(&id, &told)["token_endpoint_auth_signing_alg"], "ES256");
    assert_eq!(signs.update_body(&id, &desired()).get("token_endpoint_auth_signing_alg"), None);
}

#[test]
fn an_answer_means_what_rfc_7591_says() {
    let metadata = read(&answered()).metadata;
    assert_eq!(metadata.display_name(), "Invoice sync");
    assert_eq!(metadata.client_type(), ClientType::Confidential);
    assert_eq!(metadata.redirect_uris(), BTreeSet::from(["https://a.example/cb".to_owned()]));
    assert_eq!(metadata.grant_types(), BTreeSet::from(["client_credentials".to_owned()]));
    let both = |name| [(name, Grant::User), (name, Grant::Application)];
    assert_eq!(metadata.scopes(false), scopes(&[both("read"), both("write")].concat()));
    let method = SettingValue::Text("client_secret_post".into());
    assert_eq!(metadata.settings()[&Setting::TokenEndpointAuthMethod], method);
    let bare = read(&json!({"client_id": "c", "client_secret_expires_at": 0})).metadata;
    assert_eq!(bare.grant_types(), BTreeSet::from(["authorization_code".to_owned()]), "the default of RFC 7591");
    assert!(bare.scopes(false).is_empty() && bare.redirect_uris().is_empty());
}

#[test]
fn an_end_of_zero_is_none() {
    assert_eq!(read(&json!({"client_id": "c", "client_secret_expires_at": 0})).secret_expires_at, None);
    assert!(read(&json!({"client_id": "c", "client_secret_expires_at": 1.0e9})).secret_expires_at.is_some());
}

#[test]
fn an_answer_without_a_client_id_is_none() {
    for body in [json!({}), json!({"client_id": ""}), json!({"client_id": 7}), json!([]), json!("c-1")] {
        assert!(matches!(ClientAnswer::read(body.clone()), Err(ServerError::Unintelligible { .. })), "{body}");
    }
}

#[test]
fn credentials_are_taken_even_if_the_rest_is_not_what_it_should_be() {
    let odd = json!({"client_id": "c", "client_secret": "s", "redirect_uris": 7, "scope": ["a"], "grant_types": null});
    let answer = read(&odd);
    assert!(answer.secret.is_some());
    assert!(answer.metadata.redirect_uris().is_empty() && answer.metadata.scopes(false).is_empty());
}

#[test]
fn a_create_asks_for_what_the_application_needs_and_no_more() {
    let wanted = Desired { scopes: scopes(&[("read", Grant::Application)]), ..desired() };
    let body = Metadata::wanted(&wanted).create_body();
    assert_eq!(
        body,
        json!({
            "client_name": wanted.display_name, "redirect_uris": wanted.redirect_uris,
            "grant_types": ["client_credentials"], "response_types": [], "scope": "read"
        })
    );
    let signing_in = Desired {
        client_type: ClientType::NonConfidential,
        scopes: scopes(&[("openid", Grant::User), ("read", Grant::User)]),
        ..desired()
    };
    let body = Metadata::wanted(&signing_in).create_body();
    assert_eq!(body["grant_types"], json!(["authorization_code", "refresh_token"]));
    assert_eq!(body["response_types"], json!(["code"]));
    assert_eq!(body["scope"], "openid read");
    assert_eq!(body["token_endpoint_auth_method"], "none");
}

#[test]
fn no_scope_is_left_out_of_a_create_and_said_in_an_update() {
    let wanted = Desired { scopes: BTreeSet::new(), ..desired() };
    let metadata = Metadata::wanted(&wanted);
    assert!(metadata.create_body().get("scope").is_none());
    assert_eq!(metadata.update_body(&ClientId::new("c"), &wanted)["scope"], "");
}

#[test]
fn a_scope_of_both_grants_is_named_once() {
    let wanted = Desired { scopes: scopes(&[("read", Grant::Application), ("read", Grant::User)]), ..desired() };
    assert_eq!(Metadata::wanted(&wanted).create_body()["scope"], "read");
}

#[test]
fn an_update_sends_back_what_it_does_not_understand_and_nothing_that_only_the_server_may_say() {
    let metadata = read(&answered()).metadata;
    let body = metadata.update_body(&ClientId::new("c-1"), &Desired { display_name: "Else".into(), ..desired() });
    assert_eq!((&body["software_id"], &body["client_name#fr"]), (&json!("s-1"), &json!("Factures")));
    assert_eq!((&body["client_id"], &body["client_name"]), (&json!("c-1"), &json!("Else")));
    assert_eq!(body["token_endpoint_auth_method"], "client_secret_post", "nobody asked for another");
    let never = ["client_secret", "client_secret_expires_at", "client_id_issued_at", "registration_access_token"];
    for member in never.into_iter().chain(["registration_client_uri"]) {
        assert!(body.get(member).is_none(), "{member}");
    }
}

#[test]
fn settings_that_are_asked_for_are_sent_and_read_back() {
    let list = SettingValue::List(["https://a.example/bye".to_owned()].into());
    let wanted = Desired {
        settings: [
            (Setting::TokenEndpointAuthMethod, SettingValue::Text("client_secret_basic".into())),
            (Setting::PostLogoutRedirectUris, list),
            (Setting::BackchannelLogoutUri, SettingValue::Text("https://a.example/out".into())),
        ]
        .into(),
        ..desired()
    };
    let mut body = Metadata::wanted(&wanted).create_body();
    body["client_id"] = json!("c");
    let found = read(&body).metadata.settings();
    assert_eq!(found, wanted.settings);
}

#[test]
fn whether_a_server_lists_openid_says_nothing() {
    let with = read(&json!({"client_id": "c", "scope": "openid read"})).metadata;
    let without = read(&json!({"client_id": "c", "scope": "read"})).metadata;
    assert_eq!(with.scopes(false), without.scopes(false));
    assert_eq!(with.scopes(true), without.scopes(true));
    assert!(without.scopes(true).iter().any(|scope| scope.name == "openid"));
}

#[test]
fn a_client_is_managed_at_its_issuer_alone() {
    let issuer = Url::parse("https://login.example.com/t").expect("a URL");
    assert!(client_uri("https://login.example.com/reg/c-1", &issuer).is_some());
    assert!(client_uri("https://login.example.com:443/reg/c-1?x=1", &issuer).is_some());
    for foreign in [
        "https://evil.example/reg/c-1",
        "http://login.example.com/reg/c-1",
        "https://login.example.com:8443/reg/c-1",
        "https://login.example.com@evil.example/",
        "https://me@login.example.com/reg",
        "/reg/c-1",
    ] {
        assert_eq!(client_uri(foreign, &issuer), None, "{foreign}");
    }
}
