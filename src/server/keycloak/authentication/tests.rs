use serde_json::{Value, json};

use super::super::wire::ClientBody;
use super::*;
use crate::domain::difference::between;
use crate::domain::fixtures::desired;

const KEYS: &str = r#"{"keys": [{"kty": "EC", "kid": "1", "crv": "P-256", "x": "wQ", "y": "wg"}]}"#;

fn text(text: &str) -> SettingValue {
    SettingValue::Text(text.to_owned())
}

fn with(secretless: bool, settings: &[(Setting, SettingValue)]) -> Desired {
    Desired { secretless, settings: settings.iter().cloned().collect(), ..desired() }
}

fn signing(place: Setting, value: SettingValue) -> Desired {
    with(true, &[(Setting::TokenEndpointAuthMethod, text(PRIVATE_KEY_JWT)), (place, value)])
}

fn keys() -> SettingValue {
    SettingValue::Keys(KeySet::parse(KEYS).expect("keys"))
}

/// A client after these bodies, one after the other: attributes stay until they are removed, and everything else until it
/// is said.
fn after(bodies: &[Value]) -> ClientAnswer {
    let mut client = json!({"attributes": {}});
    for body in bodies {
        for (key, value) in body.as_object().expect("an object").iter().filter(|(key, _)| *key != "attributes") {
            client[key] = value.clone();
        }
        let attributes = client["attributes"].as_object_mut().expect("an object");
        attributes.extend(body["attributes"].as_object().expect("an object").clone());
        attributes.retain(|_, value| value != "");
    }
    client["secret"] = json!("kept by the realm");
    serde_json::from_value(client).expect("a client")
}

fn made(desired: &Desired) -> Value {
    serde_json::to_value(ClientBody::create("team.invoices-abcde", desired, vec!["basic"])).expect("a body")
}

fn updated(desired: &Desired) -> Value {
    serde_json::to_value(ClientBody::update(desired)).expect("a body")
}

fn trusted(body: &AssertionsBody) -> Value {
    serde_json::to_value(body).expect("a body")
}

const CLUSTER: Assertions<'_> = Assertions { name: "pod", provider: "cluster", subject: "system:serviceaccount:a:b" };

#[test]
fn each_way_to_authenticate_is_what_is_read_whatever_was_before() {
    let ways = [
        with(false, &[]),
        with(false, &[(Setting::TokenEndpointAuthMethod, text("client_secret_post"))]),
        signing(Setting::Jwks, keys()),
        signing(Setting::JwksUri, text("https://app.example/keys")),
    ];
    for before in &ways {
        for wanted in &ways {
            let client = after(&[made(before), updated(wanted)]);
            assert_eq!(between(wanted, &client.registered()), [], "{before:?} then {wanted:?}");
            assert_eq!(client.secrets().len(), usize::from(!wanted.secretless));
            assert_eq!(client.is_secretless(), wanted.secretless);
        }
    }
}

#[test]
fn keys_and_methods_that_somebody_changed_are_differences() {
    let fields = |wanted: &Desired, change: Value| -> Vec<String> {
        let found = between(wanted, &after(&[made(wanted), change]).registered());
        found.into_iter().map(|difference| difference.field).collect()
    };
    let wanted = signing(Setting::Jwks, keys());
    let change = |attributes: Value| json!({"attributes": attributes});
    assert_eq!(fields(&wanted, change(json!({"jwks.string": KEYS.replace(' ', "")}))), [""; 0], "another spelling");
    assert_eq!(fields(&wanted, change(json!({"jwks.string": KEYS.replace("wQ", "wA")}))), ["settings.jwks"]);
    assert_eq!(fields(&wanted, change(json!({"use.jwks.string": "false"}))), ["settings.jwks"]);
    let by_secret = json!({"clientAuthenticatorType": "client-secret", "attributes": {}});
    assert_eq!(fields(&wanted, by_secret), ["settings.tokenEndpointAuthMethod"]);
    let plain = with(false, &[]);
    for authenticator in ["client-jwt", "federated-jwt", "client-x509"] {
        let change = json!({"clientAuthenticatorType": authenticator, "attributes": {}});
        assert_eq!(fields(&plain, change), ["settings.tokenEndpointAuthMethod"], "{authenticator}");
    }
}

#[test]
fn a_client_without_a_secret_is_nobody_until_it_is_told_whose_assertions_count() {
    let wanted = with(true, &[]);
    let client = after(&[made(&wanted)]);
    assert_eq!((client.authenticator(), client.assertions()), (BY_OTHERS, None));
    assert_eq!(client.secrets(), []);
    let client = after(&[made(&wanted), trusted(&AssertionsBody::of(CLUSTER)), updated(&wanted)]);
    assert_eq!(client.assertions(), Some(CLUSTER), "an update leaves it");
    assert_eq!(between(&wanted, &client.registered()), []);
    let client = after(&[made(&wanted), trusted(&AssertionsBody::of(CLUSTER)), trusted(&AssertionsBody::nobody())]);
    assert_eq!((client.authenticator(), client.assertions()), (BY_OTHERS, None));
}

#[test]
fn who_has_a_secret_keeps_it_until_it_is_known_by_others_and_leaves_them_with_the_way_back() {
    let (plain, federated) = (with(false, &[]), with(true, &[]));
    let client = after(&[made(&plain), updated(&federated)]);
    assert_eq!(client.authenticator(), BY_SECRET, "the new way comes before the old one goes");
    let told = trusted(&AssertionsBody::of(CLUSTER));
    let client = after(&[made(&plain), told.clone()]);
    assert!(client.assertions().is_some() && client.is_secretless() && client.secrets().is_empty());
    let client = after(&[made(&plain), told, updated(&plain)]);
    assert_eq!((client.assertions(), client.attribute(SUBJECT)), (None, None));
    assert_eq!(between(&plain, &client.registered()), []);
}

#[test]
fn a_provider_counts_only_where_it_takes_client_assertions() {
    let issuer = |provider: Value| {
        let provider: ProviderAnswer = serde_json::from_value(provider).expect("a provider");
        provider.issuer().map(str::to_owned)
    };
    let config = json!({"issuer": "https://cluster.example"});
    let expected = Some("https://cluster.example".to_owned());
    assert_eq!(issuer(json!({"alias": "a", "providerId": "kubernetes", "enabled": true, "config": config})), expected);
    assert_eq!(issuer(json!({"alias": "a", "providerId": "kubernetes", "enabled": false, "config": config})), None);
    assert_eq!(issuer(json!({"alias": "a", "providerId": "oidc", "enabled": true, "config": config})), None);
    let takes = json!({"issuer": "https://cluster.example", "supportsClientAssertions": "true"});
    assert_eq!(issuer(json!({"alias": "a", "providerId": "oidc", "config": takes})), expected);
}
