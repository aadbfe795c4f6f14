//! What an assertion must be, and how else a client cannot use it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::issuer::{Issuer, signed, with_other_algorithms};
use super::{Cloud, JWT_BEARER, SCOPE, changed, refused, taken, text, trust};
use crate::support::{Context, LocalCloud, Program, Result};

#[tokio::test]
async fn issuer_audience_and_subject_fit_one_credential_exactly() {
    let (cloud, issuer) = (Cloud::start().await, Issuer::start().await);
    let client = cloud.federated(&issuer).await;
    let claims = issuer.claims(cloud.seconds());
    let with = |change: Value| signed("one", 0, &changed(&claims, &change));
    assert!(cloud.accepts(&client, &with(json!({}))).await);
    assert!(cloud.accepts(&client, &with(json!({ "aud": ["cloud"] }))).await);
    for change in [
        json!({ "iss": format!("{}/", issuer.url()) }),
        json!({ "iss": "https://issuer.example" }),
        json!({ "aud": "clouds" }),
        json!({ "aud": ["cloud", "other"] }),
        json!({ "aud": ["cloud", "cloud"] }),
        json!({ "aud": [] }),
        json!({ "aud": null }),
        json!({ "sub": "Worker" }),
        json!({ "sub": "*" }),
        json!({ "sub": client }),
        json!({ "sub": null }),
    ] {
        assert!(!cloud.accepts(&client, &with(change.clone())).await, "{change}");
    }
    let other = cloud.secretless("other").await;
    assert!(!cloud.accepts(&other, &with(json!({}))).await, "a credential is one application's alone");
    assert!(!cloud.accepts("nobody", &with(json!({}))).await);
}

#[tokio::test]
async fn two_credentials_are_not_mixed() {
    let (cloud, one, other) = (Cloud::start().await, Issuer::start().await, Issuer::start().await);
    let client = cloud.federated(&one).await;
    let second = changed(&trust("second", other.url()), &json!({ "audience": "elsewhere", "subject": "robot" }));
    cloud.trusts(&client, &second).await;
    let claims = |issuer: &Issuer, audience: &str, subject: &str| {
        let change = json!({ "aud": audience, "sub": subject });
        signed("one", 0, &changed(&issuer.claims(cloud.seconds()), &change))
    };
    assert!(cloud.accepts(&client, &claims(&one, "cloud", "worker")).await);
    assert!(cloud.accepts(&client, &claims(&other, "elsewhere", "robot")).await);
    for (issuer, audience, subject) in
        [(&one, "elsewhere", "robot"), (&one, "cloud", "robot"), (&other, "cloud", "worker")]
    {
        assert!(!cloud.accepts(&client, &claims(issuer, audience, subject)).await, "{audience} {subject}");
    }
}

#[tokio::test]
async fn a_token_lasts_as_long_as_it_says_and_must_say_so() {
    let (cloud, issuer) = (Cloud::start().await, Issuer::start().await);
    let client = cloud.federated(&issuer).await;
    let now = cloud.seconds();
    let claims = issuer.claims(now);
    let with = |change: Value| signed("one", 0, &changed(&claims, &change));
    for change in
        [json!({ "exp": now }), json!({ "exp": null }), json!({ "nbf": now + 61 }), json!({ "iat": now + 61 })]
    {
        assert!(!cloud.accepts(&client, &with(change.clone())).await, "{change}");
    }
    for change in [json!({ "exp": now + 1 }), json!({ "nbf": now + 60 }), json!({ "iat": null, "nbf": null })] {
        assert!(cloud.accepts(&client, &with(change.clone())).await, "{change}");
    }
    let token = with(json!({}));
    cloud.clock.advance(3_599_000);
    assert!(cloud.accepts(&client, &token).await);
    cloud.clock.advance(1000);
    assert!(!cloud.accepts(&client, &token).await);
}

#[tokio::test]
async fn nothing_but_rs256_with_the_issuers_own_key_is_a_signature() {
    let (cloud, issuer) = (Cloud::start().await, Issuer::start().await);
    let client = cloud.federated(&issuer).await;
    let claims = issuer.claims(cloud.seconds());
    let token = signed("one", 0, &claims);
    assert!(cloud.accepts(&client, &token).await);
    for (name, token) in with_other_algorithms(&claims) {
        assert!(!cloud.accepts(&client, &token).await, "{name}");
    }
    let [header, payload, signature] = <[&str; 3]>::try_from(token.split('.').collect::<Vec<_>>()).unwrap();
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    bytes[7] ^= 1;
    let forged = URL_SAFE_NO_PAD.encode(bytes);
    let longer = changed(&claims, &json!({ "exp": cloud.seconds() + 7200 }));
    let longer = URL_SAFE_NO_PAD.encode(longer.to_string());
    for (name, token) in [
        ("a signature with one bit turned", format!("{header}.{payload}.{forged}")),
        ("other claims under the signature", format!("{header}.{longer}.{signature}")),
        ("no signature", format!("{header}.{payload}.")),
        ("a key of somebody else's under its name", signed("one", 1, &claims)),
        ("a key that the issuer does not have", signed("two", 1, &claims)),
        ("no token", "nonsense".to_owned()),
    ] {
        assert!(!cloud.accepts(&client, &token).await, "{name}");
    }
}

#[tokio::test]
async fn an_assertion_has_at_most_eight_kibibytes() {
    let (cloud, issuer) = (Cloud::start().await, Issuer::start().await);
    let client = cloud.federated(&issuer).await;
    let padded = |length: usize| {
        signed("one", 0, &changed(&issuer.claims(cloud.seconds()), &json!({ "padding": "x".repeat(length) })))
    };
    // Base64 makes four bytes of three.
    let close = (8192 - padded(0).len()) * 3 / 4 + 4;
    let most = (0..close).rev().map(padded).find(|token| token.len() <= 8192).unwrap();
    assert!(most.len() > 8188, "{}", most.len());
    assert!(cloud.accepts(&client, &most).await);
    assert!(!cloud.accepts(&client, &format!("{most}AAAA")).await);
    assert!(!cloud.accepts(&client, &padded(8192)).await);
}

#[tokio::test]
async fn new_keys_of_an_issuer_are_found_and_withdrawn_ones_are_forgotten() {
    let (cloud, issuer) = (Cloud::start().await, Issuer::start().await);
    let client = cloud.federated(&issuer).await;
    let token = |id: &str, key: usize| signed(id, key, &issuer.claims(cloud.seconds()));
    assert!(cloud.accepts(&client, &token("one", 0)).await);
    issuer.publish(&[("two", 1)]);
    cloud.clock.advance(10_000);
    assert!(cloud.accepts(&client, &token("two", 1)).await);
    assert!(!cloud.accepts(&client, &token("one", 0)).await, "what the issuer has withdrawn was replaced as well");
    issuer.break_down();
    assert!(cloud.accepts(&client, &token("two", 1)).await, "known keys do without the issuer");
    cloud.clock.advance(600_000);
    assert!(!cloud.accepts(&client, &token("two", 1)).await, "but not for ever");
    issuer.publish(&[("two", 1)]);
    cloud.clock.advance(10_000);
    assert!(cloud.accepts(&client, &token("two", 1)).await);
}

#[tokio::test]
async fn a_client_says_who_it_is_and_authenticates_in_one_way_with_both_parameters() {
    let (cloud, issuer) = (Cloud::start().await, Issuer::start().await);
    let client = cloud.federated(&issuer).await;
    let token = signed("one", 0, &issuer.claims(cloud.seconds()));
    let error = async |form: &[(&str, Option<&str>)]| {
        let (status, answer) = taken(cloud.present(&client, &token, form).await).await;
        (status, answer["error"].as_str().unwrap_or("none").to_owned())
    };
    for (form, wrong) in [
        (("client_id", None), "invalid_client"),
        (("client_id", Some("worker")), "invalid_client"),
        (("client_assertion", None), "invalid_request"),
        (("client_assertion_type", None), "invalid_request"),
        (("client_assertion_type", Some("urn:ietf:params:oauth:client-assertion-type:saml2-bearer")), "invalid_client"),
        (("client_secret", Some("secret")), "invalid_request"),
        (("scope", Some("OR.Jobs")), "invalid_scope"),
        (("scope", Some("OR.Default")), "none"),
        (("grant_type", None), "invalid_client"),
        (("grant_type", Some("authorization_code")), "invalid_client"),
        (("grant_type", Some("refresh_token")), "invalid_client"),
    ] {
        let status = if wrong == "none" { 200 } else { 400 };
        assert_eq!(error(&[form]).await, (status, wrong.to_owned()), "{form:?}");
    }
    let url = format!("{}/identity_/connect/token", cloud.running.base_url());
    let form =
        [("grant_type", "client_credentials"), ("client_assertion_type", JWT_BEARER), ("client_assertion", &token)];
    let request = cloud.http.post(url).basic_auth(&client, Some("secret")).form(&form);
    assert_eq!(taken(request.send().await.unwrap()).await.1["error"], "invalid_request");
}

#[tokio::test]
async fn an_assertion_is_for_the_token_endpoint_alone() {
    let (cloud, issuer) = (Cloud::start().await, Issuer::start().await);
    let client = cloud.federated(&issuer).await;
    let assertion = signed("one", 0, &issuer.claims(cloud.seconds()));
    let access = text(&cloud.presented(&client, &assertion).await.1, "access_token");
    for (endpoint, status) in [("introspect", 401), ("revocation", 400)] {
        let url = format!("{}/identity_/connect/{endpoint}", cloud.running.base_url());
        let form = [
            ("client_id", client.as_str()),
            ("client_assertion_type", JWT_BEARER),
            ("client_assertion", &assertion),
            ("token", &access),
        ];
        let (found, answer) = taken(cloud.http.post(url).form(&form).send().await.unwrap()).await;
        assert_eq!((found, &answer["error"]), (status, &json!("invalid_client")), "{endpoint}");
    }
}

#[tokio::test]
async fn a_secret_and_a_federated_credential_serve_side_by_side() {
    let (cloud, issuer) = (Cloud::start().await, Issuer::start().await);
    let client = cloud.created("both", &json!([{ "name": SCOPE, "type": 1 }])).await;
    cloud.trusts(&client.0, &trust("worker", issuer.url())).await;
    assert!(cloud.accepts(&client.0, &signed("one", 0, &issuer.claims(cloud.seconds()))).await);
    cloud.token(&client, SCOPE).await;
}

#[tokio::test]
async fn the_log_says_in_words_what_was_wrong_and_shows_nothing_of_the_assertion() -> Result<()> {
    let issuer = Issuer::start().await;
    let cloud = LocalCloud::builder(Program::new(env!("CARGO_BIN_EXE_extapp"))).start().await?;
    let request = json!({
        "partitionGlobalId": cloud.organization_id().await?, "name": "app", "isConfidential": true,
        "generateFirstSecret": false, "scopes": [{ "name": SCOPE, "type": 1 }],
    });
    let client = cloud.administer(reqwest::Method::POST, "ExternalClient", Some(request)).await?;
    let client = client["id"].as_str().context("no id")?;
    let path = format!("ExternalClient/{{organization}}/{client}/FederatedCredentials");
    cloud.administer(reqwest::Method::POST, &path, Some(trust("worker", issuer.url()))).await?;
    let now = extapp::clock::now().as_second();
    let mut shown = Vec::new();
    for (change, words) in [
        (json!({ "aud": "a-mark-of-the-sender" }), "has the audience of the assertion"),
        (json!({ "sub": "a-mark-of-the-sender" }), "has the subject of the assertion"),
        (json!({ "iss": "https://a-mark-of-the-sender" }), "has the issuer of the assertion"),
        (json!({ "exp": now - 1 }), "the assertion has expired"),
    ] {
        let assertion = signed("one", 0, &changed(&issuer.claims(now), &change));
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client),
            ("client_assertion_type", JWT_BEARER),
            ("client_assertion", &assertion),
        ];
        let url = format!("{}/identity_/connect/token", cloud.base_url());
        let answer = reqwest::Client::new().post(url).form(&form).send().await?;
        assert_eq!(taken(answer).await, refused(), "{change}");
        shown.extend([assertion.rsplit('.').next().context("no signature")?.to_owned(), assertion]);
        let log = cloud.logs();
        assert!(log.contains(words), "{words}: {log}");
        assert!(
            !log.contains("a-mark-of-the-sender") && shown.iter().all(|part| !log.contains(part.as_str())),
            "{log}"
        );
    }
    Ok(())
}
