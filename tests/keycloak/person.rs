//! A person with a browser that does as much as signing in needs.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::keycloak::Realm;
use crate::support::world::Keys;
use crate::support::{Context, Error, Result};

const NAME: &str = "ada";
const PASSWORD: &str = "difference engine";
const VERIFIER: &str = "a-verifier-that-is-long-enough-for-the-standard-0123456789";

/// Makes the person known to the realm, and gives back the realm's id of them.
pub async fn known(realm: &Realm) -> Result<String> {
    let credential = json!({"type": "password", "value": PASSWORD, "temporary": false});
    let person = json!({
        "username": NAME, "enabled": true, "email": "ada@acme.example", "emailVerified": true,
        "firstName": "Ada", "lastName": "Lovelace", "credentials": [credential],
    });
    realm.administer(Method::POST, "/users", Some(person)).await?;
    let found = realm.get(&format!("/users?username={NAME}&exact=true")).await?;
    Ok(found[0]["id"].as_str().context("a person without an id")?.to_owned())
}

/// The person signs in, and the client gets its tokens. An error has what the server said.
pub async fn signs_in(realm: &Realm, keys: &Keys, scope: &str, pkce: bool) -> Result<Value> {
    let browser = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build()?;
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
    let (id, callback) = (keys["client-id"].as_str(), keys["redirect-uri"].split(' ').next().unwrap_or_default());
    let mut query = vec![("client_id", id), ("redirect_uri", callback), ("response_type", "code"), ("scope", scope)];
    if pkce {
        query.extend([("code_challenge", challenge.as_str()), ("code_challenge_method", "S256")]);
    }
    let page = browser.get(&keys["authorization-uri"]).query(&query).send().await?;
    if let Some(refused) = page.headers().get("location") {
        return Err(Error::new(String::from_utf8_lossy(refused.as_bytes())));
    }
    // Marked as secure, which a browser takes from a server on its own machine.
    let cookies =
        page.headers().get_all("set-cookie").iter().filter_map(|value| value.to_str().ok()?.split(';').next());
    let cookies = cookies.collect::<Vec<_>>().join("; ");
    let html = page.text().await?;
    let action = html.split("action=\"").nth(1).and_then(|rest| rest.split('"').next()).context("a form")?;
    let form = [("username", NAME), ("password", PASSWORD)];
    let sent = browser.post(action.replace("&amp;", "&")).header("cookie", cookies).form(&form).send().await?;
    let called = sent.headers().get("location").and_then(|value| value.to_str().ok()).context("no way back")?;
    let called = url::Url::parse(called)?;
    let code = called.query_pairs().find(|(key, _)| key == "code").context(format!("no code: {called}"))?.1;
    let mut form =
        vec![("grant_type", "authorization_code"), ("code", &code), ("client_id", id), ("redirect_uri", callback)];
    if pkce {
        form.push(("code_verifier", VERIFIER));
    }
    let secret = keys.get("client-secret");
    form.extend(secret.map(|secret| ("client_secret", secret.as_str())));
    let (status, answer) = realm.token(&form).await?;
    if status == 200 { Ok(answer) } else { Err(Error::new(answer)) }
}
