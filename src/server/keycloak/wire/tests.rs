use serde_json::{Value, json};

use super::*;
use crate::domain::difference::between;
use crate::domain::registration::{Grant, Owner, Scope};

fn desired(client_type: ClientType, scopes: &[(&str, Grant)]) -> Desired {
    let scope = |(name, grant): &(&str, Grant)| Scope { name: (*name).into(), grant: *grant };
    Desired {
        display_name: "Invoices".into(),
        client_type,
        redirect_uris: ["https://a.example/cb".into()].into(),
        scopes: scopes.iter().map(scope).collect(),
        settings: Settings::new(),
        secretless: false,
        owner: Owner { uid: "uid-1".into(), namespace: "team".into(), name: "invoices".into() },
    }
}

fn confidential() -> Desired {
    desired(ClientType::Confidential, &[("queues", Grant::Application)])
}

/// What the server shows of a client that was made from this body, with some of it changed.
fn shown(desired: &Desired, change: impl FnOnce(&mut Value)) -> ClientAnswer {
    let always = ALWAYS.to_vec();
    let mut client = serde_json::to_value(ClientBody::create("team.invoices-abcde", desired, always)).unwrap();
    client["id"] = json!("5a0c0000-1111-4222-8333-1234567890ab");
    client["secret"] = json!("generated");
    let kept = client["attributes"].as_object_mut().unwrap();
    kept.retain(|_, value| value != "");
    kept.insert("client.secret.creation.time".into(), json!("1795563530"));
    change(&mut client);
    serde_json::from_value(client).unwrap()
}

fn fields(desired: &Desired, change: impl FnOnce(&mut Value)) -> Vec<String> {
    between(desired, &shown(desired, change).registered()).into_iter().map(|found| found.field).collect()
}

#[test]
fn what_is_made_is_what_was_asked_for() {
    let both = desired(ClientType::Confidential, &[("queues", Grant::Application), ("openid", Grant::User)]);
    let public = desired(ClientType::NonConfidential, &[("jobs", Grant::User)]);
    for wanted in [confidential(), both, public] {
        assert_eq!(between(&wanted, &shown(&wanted, |_| {}).registered()), [], "{wanted:?}");
    }
}

#[test]
fn everything_that_opens_or_breaks_a_client_is_a_difference() {
    let wanted = confidential();
    for (key, value) in [
        ("implicitFlowEnabled", json!(true)),
        ("directAccessGrantsEnabled", json!(true)),
        ("standardFlowEnabled", json!(true)),
        ("serviceAccountsEnabled", json!(false)),
        ("fullScopeAllowed", json!(true)),
        ("enabled", json!(false)),
    ] {
        assert_eq!(fields(&wanted, |client| client[key] = value), ["grantTypes"], "{key}");
    }
    let public = desired(ClientType::NonConfidential, &[("jobs", Grant::User)]);
    let without_pkce = |client: &mut Value| client["attributes"]["pkce.code.challenge.method"] = json!("");
    assert_eq!(fields(&public, without_pkce), ["grantTypes"]);
    assert_eq!(fields(&wanted, |client| client["attributes"]["extapp.dev/uid"] = json!("another")), ["owner"]);
    assert_eq!(fields(&wanted, |client| client["optionalClientScopes"] = json!(["jobs"])), ["scopes"]);
    let wider = |client: &mut Value| client["defaultClientScopes"] = json!(["basic", "email"]);
    assert_eq!(fields(&wanted, wider), ["scopes"], "one that is there by default counts, too");
}

#[test]
fn no_client_has_the_full_scope_whether_or_not_consent_is_required() {
    for skip in [None, Some(true), Some(false)] {
        let mut wanted = desired(ClientType::Confidential, &[("jobs", Grant::User)]);
        wanted.settings.extend(skip.map(|skip| (Setting::SkipConsent, SettingValue::Flag(skip))));
        for body in [ClientBody::create("team.invoices-abcde", &wanted, ALWAYS.to_vec()), ClientBody::update(&wanted)] {
            assert_eq!(serde_json::to_value(body).unwrap()["fullScopeAllowed"], false, "{skip:?}");
        }
    }
}

#[test]
fn openid_is_remembered_because_it_cannot_be_assigned() {
    let wanted = desired(ClientType::NonConfidential, &[("openid", Grant::User), ("jobs", Grant::User)]);
    let body = serde_json::to_value(ClientBody::update(&wanted)).unwrap();
    assert_eq!(body["attributes"]["extapp.dev/openid"], "true");
    assert_eq!(assignable(&wanted), ["jobs"].into());
    let without = desired(ClientType::NonConfidential, &[("jobs", Grant::User)]);
    assert_eq!(serde_json::to_value(ClientBody::update(&without)).unwrap()["attributes"]["extapp.dev/openid"], "");
}

#[test]
fn an_update_leaves_out_what_nobody_asked_for() {
    let body = serde_json::to_value(ClientBody::update(&confidential())).unwrap();
    for absent in ["clientId", "secret", "webOrigins", "consentRequired", "description", "optionalClientScopes"] {
        assert_eq!(body.get(absent), None, "{absent}");
    }
    assert!(body["attributes"].is_object(), "some updates fail without");
}

#[test]
fn a_secret_is_named_by_what_it_is_and_the_rotated_one_keeps_its_name() {
    let wanted = confidential();
    let first = shown(&wanted, |_| {}).secrets();
    assert_eq!(first.len(), 1);
    assert!(!first[0].id.as_str().contains("generated"));
    let rotated = shown(&wanted, |client| {
        client["secret"] = json!("another");
        client["attributes"]["client.secret.rotated"] = json!("generated");
        client["attributes"]["client.secret.rotated.expiration.time"] = json!("1795563999");
    });
    let after = rotated.secrets();
    assert_eq!((after.len(), &after[1].id), (2, &first[0].id));
    assert_ne!(after[0].id, first[0].id);
    assert_eq!(after[1].expires_at.map(Timestamp::as_second), Some(1_795_563_999));
    let elsewhere = shown(&wanted, |client| client["id"] = json!("another"));
    assert_ne!(elsewhere.secrets()[0].id, first[0].id, "the name of a weak secret is no help to guess it");
    let public = desired(ClientType::NonConfidential, &[("jobs", Grant::User)]);
    assert_eq!(shown(&public, |_| {}).secrets(), []);
}

#[test]
fn a_secret_is_accepted_until_it_ends_and_only_while_the_client_is_enabled() {
    let now = Timestamp::from_second(1_795_564_000).unwrap();
    let accepts =
        |secret: &str, change: fn(&mut Value)| shown(&confidential(), change).accepts(&ClientSecret::new(secret), now);
    let rotated = |client: &mut Value| {
        client["attributes"]["client.secret.rotated"] = json!("before");
        client["attributes"]["client.secret.rotated.expiration.time"] = json!("1795564001");
    };
    assert!(accepts("generated", |_| {}) && !accepts("wrong", |_| {}) && !accepts("before", |_| {}));
    assert!(accepts("before", rotated) && accepts("generated", rotated));
    let ended = |client: &mut Value| client["attributes"]["client.secret.expiration.time"] = json!("1795564000");
    assert!(!accepts("generated", ended));
    assert!(!accepts("generated", |client| client["enabled"] = json!(false)));
    assert!(!accepts("", |client| client["secret"] = json!("")));
}

#[test]
fn a_part_of_keycloak_and_what_asks_for_no_tokens_is_left_alone() {
    let wanted = confidential();
    let unsuitable = |key: &str, value: Value| shown(&wanted, |client| client[key] = value).unsuitable().is_some();
    assert!(!unsuitable("clientId", json!("payments")));
    assert!(unsuitable("clientId", json!("account")));
    assert!(unsuitable("protocol", json!("saml")));
    assert!(unsuitable("bearerOnly", json!(true)));
    assert!(unsuitable("attributes", json!({"realm_client": "true"})));
}

#[test]
fn a_client_id_tells_where_it_comes_from_and_is_never_too_long() {
    assert_eq!(client_id("team", "invoices", "A1b2C3d4"), "team.invoices-a1b2c");
    let long = client_id(&"n".repeat(63), &"x".repeat(253), "abcdef");
    assert_eq!(long.len(), LONGEST);
    assert!(long.ends_with("-abcde"));
}

#[test]
fn settings_are_written_as_keycloak_has_them_and_read_back() {
    let mut wanted = desired(ClientType::Confidential, &[("jobs", Grant::User)]);
    let list = |items: &[&str]| SettingValue::List(items.iter().map(ToString::to_string).collect());
    wanted.settings = [
        (Setting::AccessTokenLifespan, SettingValue::Seconds(900)),
        (Setting::PostLogoutRedirectUris, list(&["https://a.example/out", "https://b.example/out"])),
        (Setting::AllowedCorsOrigins, list(&["https://a.example"])),
        (Setting::FrontchannelLogoutUri, SettingValue::Text("https://a.example/f".into())),
        (Setting::BackchannelLogoutUri, SettingValue::Text("https://a.example/b".into())),
        (Setting::SkipConsent, SettingValue::Flag(false)),
    ]
    .into();
    let of_authentication = 4;
    assert_eq!(wanted.settings.len() + of_authentication, SETTINGS.len());
    assert_eq!(between(&wanted, &shown(&wanted, |_| {}).registered()), []);
    assert_eq!(fields(&wanted, |client| client["consentRequired"] = json!(false)), ["settings.skipConsent"]);
}

#[test]
fn a_time_that_is_none_and_an_attribute_that_is_null_do_no_harm() {
    let client = shown(&confidential(), |client| {
        client["attributes"]["client.secret.creation.time"] = json!("0");
        client["attributes"]["their.own"] = Value::Null;
    });
    assert_eq!(client.secrets()[0].created_at, None);
}
