//! `desktop/sign_in.py` against a stand-in for a server that takes authorization code with PKCE, and for the browser.

use std::collections::HashMap;
use std::net::TcpListener;
use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::extract::{Form, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::examples;
use super::workloads::register;
use crate::support::assets::scratch;
use crate::support::world::World;
use crate::support::{Context, Result};

type Fields = HashMap<String, String>;

/// What the stand-in was asked, and what it answers with in place of the truth.
#[derive(Clone, Default)]
struct Site {
    asked: Arc<Mutex<(Fields, Fields)>>,
    lie: Fields,
}

/// Signs everybody in at once.
async fn authorize(State(site): State<Site>, Query(query): Query<Fields>) -> Response {
    let mut answer = Fields::from([("code".into(), "one-time".into()), ("state".into(), query["state"].clone())]);
    answer.extend(site.lie.clone());
    let back = format!("{}?{}", query["redirect_uri"], form_encoded(&answer));
    site.asked.lock().expect("a lock").0 = query;
    Redirect::to(&back).into_response()
}

async fn token(State(site): State<Site>, Form(form): Form<Fields>) -> Response {
    let mut asked = site.asked.lock().expect("a lock");
    let proof = form.get("code_verifier").map(|verifier| URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)));
    let proven = proof.as_ref() == asked.0.get("code_challenge") && form.get("code").is_some_and(|c| c == "one-time");
    asked.1 = form;
    if proven {
        return Json(json!({"access_token": "a-token", "expires_in": 3600, "scope": "OR.Jobs"})).into_response();
    }
    (StatusCode::BAD_REQUEST, Json(json!({"error": "invalid_grant"}))).into_response()
}

fn form_encoded(fields: &Fields) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// Has somebody sign in; what the program prints, whether it succeeded, and what the stand-in was asked.
async fn signed_in(world: &World, lie: Fields) -> Result<(bool, String, Fields, Fields)> {
    let site = Site { lie, ..Site::default() };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let router =
        Router::new().route("/authorize", get(authorize)).route("/token", post(token)).with_state(site.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });

    let mut details = world.config_map("onboarding-desktop-oauth").await?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    details.insert("redirect-uri".into(), details["redirect-uri"].replace("8765", &port.to_string()));
    details.insert("authorization-uri".into(), format!("{url}/authorize"));
    details.insert("token-uri".into(), format!("{url}/token"));
    let folder = scratch("desktop-")?;
    let file = folder.path().join("details.json");
    std::fs::write(&file, json!({"data": details}).to_string())?;
    let mut program = Command::new(std::env::var("PYTHON").unwrap_or_else(|_| "python3".into()));
    program
        .arg(examples().join("desktop/sign_in.py"))
        .arg(&file)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("BROWSER", "curl --silent --location --output /dev/null %s");
    let output = tokio::task::spawn_blocking(move || program.output()).await?.context("python3")?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let asked = site.asked.lock().expect("a lock").clone();
    Ok((output.status.success(), said, asked.0, asked.1))
}

#[tokio::test]
async fn a_person_signs_in_on_the_desktop_with_a_proof_and_without_a_secret() -> Result<()> {
    let world = World::new("examples").await?;
    register(&world, "desktop").await?;
    let details = world.config_map("onboarding-desktop-oauth").await?;
    assert!(!details.contains_key("client-secret"));
    let (signed, said, asked, redeemed) = signed_in(&world, Fields::new()).await?;
    assert!(signed && said.contains("signed in: a token for OR.Jobs"), "{said}");
    assert!(!said.contains("a-token"), "{said}");
    assert_eq!(asked["client_id"], details["client-id"]);
    assert_eq!((asked["response_type"].as_str(), asked["code_challenge_method"].as_str()), ("code", "S256"));
    assert_eq!(asked["scope"], details["user-scope"]);
    assert_eq!(asked["redirect_uri"], redeemed["redirect_uri"]);
    assert!(asked["state"].len() >= 32 && redeemed["code_verifier"].len() >= 43);
    assert!(!redeemed.contains_key("client_secret"));
    Ok(())
}

#[tokio::test]
async fn the_desktop_program_says_why_nobody_was_signed_in() -> Result<()> {
    let world = World::new("examples").await?;
    register(&world, "desktop").await?;
    let other = Fields::from([("iss".into(), "https://other.example".into())]);
    let (signed, said, _, redeemed) = signed_in(&world, other).await?;
    assert!(!signed && said.contains("another server answered") && redeemed.is_empty(), "{said}");
    Ok(())
}
