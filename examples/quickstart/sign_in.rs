//! What a desktop application does with its ConfigMap: a person signs in and allows it (authorization code with PKCE),
//! and there is no secret anywhere. The person's browser is reduced to its forms, cookie and redirects.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use serde_json::Value;
use sha2::{Digest, Sha256};
use url::Url;

use crate::checks::Checks;
use crate::progress::heading;
use crate::support::{Context, Error, Result};
use crate::token;

/// The person that the stand-in knows.
pub const EMAIL: &str = "ada@acme.example";

/// A text that nobody can guess.
#[allow(clippy::disallowed_methods, reason = "nobody has to choose it here")]
fn random() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// A person for the stand-in, with a password that nobody has seen before.
pub fn person() -> (String, String) {
    let password = random();
    let yaml = format!("- email: {EMAIL}\n  name: Ada Lovelace\n  password: {password}\n  administrator: true\n");
    (yaml, password)
}

pub async fn show(details: &BTreeMap<String, String>, password: &str, checks: &mut Checks) -> Result<()> {
    heading("A person signs in to onboarding-desktop: authorization code with PKCE, no secret");
    let of = |key: &str| details.get(key).map(String::as_str).context(format!("the ConfigMap has no key {key}"));
    let (client_id, redirect, state) = (of("client-id")?, of("redirect-uri")?, random());
    let verifier = format!("{}{}", random(), random());
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier));
    let scope = format!("{} openid offline_access", of("user-scope")?);
    let mut authorize = Url::parse(of("authorization-uri")?).context("authorization-uri")?;
    authorize.query_pairs_mut().extend_pairs([
        ("response_type", "code"),
        ("client_id", client_id),
        ("redirect_uri", redirect),
        ("scope", &scope),
        ("state", &state),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ]);
    let back = Browser::new()?.sign_in(authorize, password).await?;
    let answer: BTreeMap<String, String> = back.query_pairs().into_owned().collect();
    println!("  {EMAIL} signs in, allows {}, and is sent back to {redirect}", of("user-scope")?);
    checks.that("the answer goes to the registered address", back.as_str().starts_with(redirect));
    checks.that("the answer carries the state that was sent", answer.get("state") == Some(&state));
    checks.that(
        "the answer names its issuer (RFC 9207)",
        answer.get("iss").map(String::as_str) == Some(of("issuer-uri")?),
    );

    let code = answer.get("code").context("the answer carries no code")?;
    let grant = [
        ("grant_type", "authorization_code"),
        ("client_id", client_id),
        ("redirect_uri", redirect),
        ("code", code),
        ("code_verifier", &verifier),
    ];
    let tokens = post(of("token-uri")?, &grant).await?;
    let claims = token::claims_of(text(&tokens, "access_token")?)?;
    for claim in ["sub_type", "aud", "scope"] {
        println!("  {claim:<20}{}", token::shown(&claims[claim]));
    }
    checks.equal("sub_type of a person's token", &token::shown(&claims["sub_type"]).as_str(), &"user");

    let refresh = |token: &str| {
        let form = [("grant_type", "refresh_token"), ("client_id", client_id), ("refresh_token", token)];
        form.map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    let first = refresh(text(&tokens, "refresh_token")?);
    let renewed = post(of("token-uri")?, &first).await?;
    checks.that("the refresh token gets new tokens", renewed["access_token"].is_string());
    let again = post(of("token-uri")?, &first).await?;
    println!("  its refresh token is renewed with every use; the old one a second time: {}", again["error"]);
    checks.equal("a refresh token a second time", &token::shown(&again["error"]).as_str(), &"invalid_grant");
    let alone = post(of("token-uri")?, &[("grant_type", "client_credentials"), ("client_id", client_id)]).await?;
    println!("  and without a person (client_credentials): {}", alone["error"]);
    checks.equal(
        "client credentials of a public client",
        &token::shown(&alone["error"]).as_str(),
        &"unauthorized_client",
    );
    Ok(())
}

fn text<'a>(answer: &'a Value, key: &str) -> Result<&'a str> {
    answer[key].as_str().context(format!("no {key} in the answer: {}", answer["error"]))
}

async fn post(url: &str, form: &impl serde::Serialize) -> Result<Value> {
    Ok(reqwest::Client::new().post(url).form(form).send().await?.json().await?)
}

/// What a person's browser keeps.
struct Browser {
    http: reqwest::Client,
    cookie: Option<String>,
}

/// A page, or where it leads instead.
enum Shown {
    Page(Url, String),
    Elsewhere(Url),
}

impl Browser {
    fn new() -> Result<Self> {
        Ok(Self { http: reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?, cookie: None })
    }

    /// Fills in the log-in form and allows what is asked for; gives back where the application's answer is sent.
    async fn sign_in(&mut self, authorize: Url, password: &str) -> Result<Url> {
        let origin = authorize.origin();
        let mut shown = self.send(self.http.get(authorize)).await?;
        // Log-in and consent, each behind a redirect.
        for _ in 0..8 {
            shown = match shown {
                Shown::Elsewhere(url) if url.origin() != origin => return Ok(url),
                Shown::Elsewhere(url) => self.send(self.http.get(url)).await?,
                Shown::Page(url, html) => {
                    let mut form: Vec<(&str, &str)> =
                        ["request", "csrf"].into_iter().filter_map(|name| Some((name, hidden(&html, name)?))).collect();
                    if html.contains("id=\"password\"") {
                        form.extend([("email", EMAIL), ("password", password)]);
                    } else {
                        form.push(("decision", "allow"));
                    }
                    self.send(self.http.post(url).form(&form)).await?
                }
            };
        }
        Err(Error::new("signing in did not come to an end"))
    }

    async fn send(&mut self, mut request: reqwest::RequestBuilder) -> Result<Shown> {
        if let Some(cookie) = &self.cookie {
            request = request.header(COOKIE, cookie);
        }
        let answer = request.send().await?;
        if let Some(set) = answer.headers().get(SET_COOKIE).and_then(|value| value.to_str().ok()) {
            self.cookie = set.split(';').next().map(str::to_owned);
        }
        let url = answer.url().clone();
        if let Some(location) = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok()) {
            return Ok(Shown::Elsewhere(url.join(location).context(location)?));
        }
        Ok(Shown::Page(url, answer.text().await?))
    }
}

/// The value of a hidden input.
fn hidden<'a>(html: &'a str, name: &str) -> Option<&'a str> {
    html.split_once(&format!("name=\"{name}\" value=\""))?.1.split('"').next()
}
