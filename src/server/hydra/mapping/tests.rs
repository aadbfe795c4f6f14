use serde_json::{Value, json};

use super::super::wire::changes;
use super::*;
use crate::domain::difference::between;
use crate::domain::registration::{Grant, Scope};

fn desired() -> Desired {
    Desired {
        display_name: "Invoice sync".into(),
        client_type: ClientType::Confidential,
        redirect_uris: [].into(),
        scopes: [Scope { name: "invoices.read".into(), grant: Grant::Application }].into(),
        settings: Settings::new(),
        secretless: false,
        owner: Owner { uid: "u-1".into(), namespace: "finance".into(), name: "invoice-sync".into() },
    }
}

fn user(desired: Desired) -> Desired {
    Desired {
        redirect_uris: ["https://a.example/cb".into()].into(),
        scopes: [Scope { name: "openid".into(), grant: Grant::User }].into(),
        ..desired
    }
}

/// The client that a server makes of these fields.
fn client(fields: &Fields, metadata: &Value) -> ClientAnswer {
    let mut value = serde_json::to_value(fields).expect("fields");
    value["client_id"] = "id".into();
    value["metadata"] = metadata.clone();
    serde_json::from_value(value).expect("a client")
}

fn made(desired: &Desired) -> Registered {
    let metadata = json!({"extapp.dev/uid": desired.owner.uid, "extapp.dev/credential": "c-1"});
    client(&Fields::default().wanted(desired), &metadata).registered()
}

#[test]
fn what_is_wanted_is_what_is_read() {
    let desktop = Desired { client_type: ClientType::NonConfidential, ..user(desired()) };
    let nothing = Desired { scopes: [].into(), ..desired() };
    let of_no_use = Desired { client_type: ClientType::NonConfidential, ..nothing.clone() };
    for wanted in [desired(), user(desired()), desktop, nothing, of_no_use] {
        assert_eq!(between(&wanted, &made(&wanted)), [], "{wanted:?}");
    }
}

#[test]
fn every_setting_is_set_and_read_back() {
    let list = |items: &[&str]| SettingValue::List(items.iter().map(|&item| item.to_owned()).collect());
    let text = |text: &str| SettingValue::Text(text.to_owned());
    let settings: Settings = [
        (Setting::TokenEndpointAuthMethod, text("client_secret_post")),
        (Setting::Audiences, list(&["https://api.example"])),
        (Setting::AccessTokenLifespan, SettingValue::Seconds(900)),
        (Setting::RefreshTokenLifespan, SettingValue::Seconds(86_400)),
        (Setting::IdTokenLifespan, SettingValue::Seconds(60)),
        (Setting::AccessTokenStrategy, text("jwt")),
        (Setting::PostLogoutRedirectUris, list(&["https://a.example/out"])),
        (Setting::AllowedCorsOrigins, list(&["https://a.example"])),
        (Setting::FrontchannelLogoutUri, text("https://a.example/f")),
        (Setting::BackchannelLogoutUri, text("https://a.example/b")),
        (Setting::SkipConsent, SettingValue::Flag(true)),
        (Setting::SkipLogoutConsent, SettingValue::Flag(true)),
    ]
    .into();
    let of_keys = 3;
    assert_eq!(settings.len() + of_keys, SETTINGS.len());
    let wanted = Desired { settings: settings.clone(), ..user(desired()) };
    let made = made(&wanted);
    assert_eq!(between(&wanted, &made), []);
    assert_eq!(made.settings, settings);
}

#[test]
fn a_setting_that_is_not_asked_for_stays() {
    let with = |seconds| [(Setting::AccessTokenLifespan, SettingValue::Seconds(seconds))].into();
    let before = Fields::default().wanted(&Desired { settings: with(60), ..desired() });
    let after = before.wanted(&Desired { display_name: "Renamed".into(), ..desired() });
    assert_eq!(after.lifespans, before.lifespans);
}

#[test]
fn a_flag_that_was_never_set_is_false() {
    let settings: Settings = [(Setting::SkipLogoutConsent, SettingValue::Flag(false))].into();
    let wanted = Desired { settings, ..desired() };
    let never = Fields::default().wanted(&desired());
    assert_eq!(between(&wanted, &client(&never, &json!({"extapp.dev/uid": "u-1"})).registered()), []);
    assert_eq!(changes(&never, &never.wanted(&wanted)), []);
    let set = Fields { skip_logout_consent: Some(true), ..never };
    assert_eq!(set.wanted(&wanted).skip_logout_consent, Some(false));
}

#[test]
fn lifespans_that_differ_by_grant_are_like_none_that_can_be_asked_for() {
    let mut fields = Fields::default().wanted(&desired());
    fields.lifespans.client_credentials_access = Some(Lifespan(60));
    let settings: Settings = [(Setting::AccessTokenLifespan, SettingValue::Seconds(60))].into();
    let wanted = Desired { settings, ..desired() };
    let found = between(&wanted, &client(&fields, &json!({"extapp.dev/uid": "u-1"})).registered());
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].desired.as_str(), found[0].actual.as_str()), ("60s", "60s, not set, not set"));
}

#[test]
fn a_client_that_may_not_ask_for_a_code_cannot_use_its_grant() {
    let wanted = user(desired());
    let mut fields = Fields::default().wanted(&wanted);
    fields.response_types = ["token".to_owned()].into();
    let found = between(&wanted, &client(&fields, &json!({"extapp.dev/uid": "u-1"})).registered());
    assert_eq!(found.iter().map(|difference| difference.field.as_str()).collect::<Vec<_>>(), ["grantTypes"]);
    let corrected = fields.wanted(&wanted);
    assert!(corrected.response_types.contains("code") && corrected.response_types.contains("token"));
}

#[test]
fn a_client_that_does_not_authenticate_with_its_secret_is_made_to_where_it_shall_have_one() {
    let method = |method: &str| Fields { token_endpoint_auth_method: Some(method.into()), ..Fields::default() };
    let after = |fields: Fields| fields.wanted(&desired()).token_endpoint_auth_method.expect("a method");
    assert_eq!(after(method("none")), "client_secret_basic");
    assert_eq!(
        after(method("client_secret_post")),
        "client_secret_post",
        "one of the two ways is as good as the other"
    );
    assert_eq!(after(method("private_key_jwt")), "client_secret_basic");
    let keyed =
        Fields { token_endpoint_auth_method: Some("private_key_jwt".into()), ..Fields::default().wanted(&desired()) };
    let found = between(&desired(), &client(&keyed, &json!({"extapp.dev/uid": "u-1"})).registered());
    let found: Vec<&str> = found.iter().map(|difference| difference.field.as_str()).collect();
    assert_eq!(found, ["settings.tokenEndpointAuthMethod"]);
    assert_eq!(after(Fields::default()), "client_secret_basic");
}

fn keys(crv: &str, x: &str) -> SettingValue {
    let key = json!({"kty": "EC", "kid": "1", "crv": crv, "x": x, "y": "wg"});
    SettingValue::Keys(KeySet::parse(&json!({"keys": [key]}).to_string()).expect("keys"))
}

fn signing(place: Setting, value: SettingValue) -> Desired {
    let method = SettingValue::Text(PRIVATE_KEY_JWT.into());
    let settings = [(Setting::TokenEndpointAuthMethod, method), (place, value)].into();
    Desired { secretless: true, settings, ..desired() }
}

#[test]
fn a_client_signs_with_the_keys_of_one_place_and_with_their_algorithm() {
    let uri = || SettingValue::Text("https://app.example/keys".into());
    let ways = [
        signing(Setting::Jwks, keys("P-256", "wQ")),
        signing(Setting::Jwks, keys("P-384", "wQ")),
        signing(Setting::JwksUri, uri()),
    ];
    for before in &ways {
        for wanted in &ways {
            let fields = Fields::default().wanted(before).wanted(wanted);
            assert!(fields.jwks_uri.is_empty() != fields.jwks.is_none(), "one of the two");
            let marked = json!({"extapp.dev/uid": "u-1", "extapp.dev/credential": ""});
            let found = client(&fields, &marked).registered();
            assert_eq!(between(wanted, &found), [], "{before:?} then {wanted:?}");
            assert_eq!(found.secrets, []);
        }
    }
    let algorithm = |desired: &Desired| Fields::default().wanted(desired).token_endpoint_auth_signing_alg;
    assert_eq!(ways.iter().map(algorithm).collect::<Vec<_>>(), ["ES256", "ES384", ""]);
    let mut told = signing(Setting::JwksUri, uri());
    told.settings.insert(Setting::TokenEndpointAuthSigningAlg, SettingValue::Text("PS256".into()));
    assert_eq!(algorithm(&told), "PS256");
}

#[test]
fn keys_that_somebody_replaced_and_an_algorithm_that_they_are_not_for_are_differences() {
    let wanted = signing(Setting::Jwks, keys("P-256", "wQ"));
    let differences = |fields: &Fields| {
        let found = between(&wanted, &client(fields, &json!({"extapp.dev/uid": "u-1"})).registered());
        found.into_iter().map(|difference| difference.field).collect::<Vec<_>>()
    };
    let fields = Fields::default().wanted(&wanted);
    let others = Fields::default().wanted(&signing(Setting::Jwks, keys("P-256", "wA")));
    assert_eq!(differences(&others), ["settings.jwks"]);
    assert_eq!(
        differences(&Fields { token_endpoint_auth_signing_alg: String::new(), ..fields.clone() }),
        ["grantTypes"]
    );
    assert_eq!(differences(&fields), [""; 0]);
}

#[test]
fn the_way_back_to_a_secret_leaves_the_keys_where_they_are() {
    let signing = Fields::default().wanted(&signing(Setting::Jwks, keys("P-256", "wQ")));
    let back = signing.wanted(&desired());
    assert!(back.takes_a_secret() && back.jwks == signing.jwks);
    assert_eq!(between(&desired(), &client(&back, &json!({"extapp.dev/uid": "u-1"})).registered()), []);
}

#[test]
fn the_secret_of_a_client_is_named_by_us_by_its_maker_or_by_nobody() {
    let fields = Fields::default().wanted(&desired());
    let ids = |metadata: Value| {
        let secrets = client(&fields, &metadata).registered().secrets;
        secrets.into_iter().map(|secret| secret.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(ids(json!({"extapp.dev/credential": "c-1"})), ["c-1"]);
    assert_eq!(ids(json!({"team": "billing"})), ["original"]);
    assert_eq!(ids(json!({"extapp.dev/credential": ""})), [""; 0]);
    let public = Fields { token_endpoint_auth_method: Some("none".into()), ..fields };
    assert_eq!(client(&public, &json!({"extapp.dev/credential": "c-1"})).registered().secrets, []);
}

#[test]
fn the_mark_tells_whose_a_client_is() {
    let fields = Fields::default();
    assert_eq!(client(&fields, &json!({"extapp.dev/uid": "u-9"})).registered().owner, Mark::Uid("u-9".into()));
    for metadata in [json!({}), json!(null), json!("text")] {
        assert_eq!(client(&fields, &metadata).registered().owner, Mark::Absent);
    }
    assert_eq!(Fields::default().wanted(&desired()).owner, "extapp/finance/invoice-sync");
}
