//! A proxy before the admin API, which has no credentials of its own.

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use extapp::server::{AuthorizationServer as _, Lane, ServerError};
use serde_json::json;
use tokio::net::TcpListener;

use crate::contract::build;
use crate::support::hydra::shared;
use crate::support::{Context, Result};

/// Answers an empty list below a path of its own to who brings the token.
async fn proxy(token: &'static str) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/behind/proxy/", listener.local_addr()?);
    let list = move |headers: HeaderMap| async move {
        let brought = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let status =
            if brought == Some(&format!("Bearer {token}")) { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
        (status, [(header::CONTENT_TYPE, "application/json")], "[]")
    };
    let router = Router::new().route("/behind/proxy/admin/clients", axum::routing::get(list));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(url)
}

#[tokio::test]
async fn a_token_for_a_proxy_is_sent_to_the_admin_api_and_without_the_right_one_nothing_is_done() -> Result<()> {
    let admin = proxy("let-me-in").await?;
    let spec = json!({"hydra": {"url": shared().await?.url(), "adminUrl": admin}, "credentialsRef": {"name": "proxy"}});
    let with = build(spec.clone(), &[("token", "let-me-in\n")])?;
    assert_eq!(with.list(Lane::User).await?, []);
    assert!(with.seal("text").is_some());
    for credentials in [&[("token", "wrong")][..], &[]] {
        let without = build(spec.clone(), credentials)?;
        assert_eq!(without.list(Lane::User).await.err(), Some(ServerError::Unauthorized));
    }
    Ok(())
}

#[tokio::test]
async fn an_address_that_is_not_the_admin_api_is_told_from_an_empty_one() -> Result<()> {
    let hydra = shared().await?;
    // The public port, which answers with a page.
    let server = build(json!({"hydra": {"url": hydra.url(), "adminUrl": hydra.url()}}), &[])?;
    let error = server.list(Lane::User).await.err().context("refused")?;
    assert!(matches!(error, ServerError::Unintelligible { .. }), "{error:?}");
    let gone = server.get(&extapp::domain::registration::ClientId::new("a"), Lane::User).await.err();
    assert!(matches!(gone, Some(ServerError::Unintelligible { .. })), "nothing is forgotten for that: {gone:?}");
    // Another issuer than the one that was named.
    let server = build(json!({"hydra": {"url": hydra.admin_url(), "adminUrl": hydra.admin_url()}}), &[])?;
    assert!(server.endpoints(Lane::User).await.is_err());
    for id in ["", ".", "..", "a/b"] {
        let error = server.get(&extapp::domain::registration::ClientId::new(id), Lane::User).await.err();
        assert!(matches!(error, Some(ServerError::Rejected { .. })), "{id:?}: {error:?}");
    }
    Ok(())
}
