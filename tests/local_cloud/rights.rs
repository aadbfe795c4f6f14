//! Who may call what, and how often.

use extapp::local_cloud::Limits;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::Cloud;

/// Every call of the management API with a body that would be accepted.
fn calls(cloud: &Cloud) -> [(Method, String, Option<Value>); 12] {
    let partition = cloud.partition();
    let application = cloud.application("app", &json!([{ "name": "OR.Jobs", "type": 1 }]));
    let of_nobody = json!({ "clientId": "nobody", "partitionGlobalId": partition });
    let federated = format!("{}/FederatedCredentials", cloud.path_of("nobody"));
    let trust = json!({
        "name": "a", "description": "", "issuer": "https://issuer.example", "audience": "a", "subject": "a",
    });
    [
        (Method::GET, format!("ExternalClient/{partition}"), None),
        (Method::GET, cloud.path_of("nobody"), None),
        (Method::POST, "ExternalClient".to_owned(), Some(application.clone())),
        (Method::PUT, cloud.path_of("nobody"), Some(application)),
        (Method::DELETE, cloud.path_of("nobody"), None),
        (Method::POST, "ExternalClient/GenerateSecret".to_owned(), Some(of_nobody)),
        (Method::DELETE, format!("ExternalClient/{partition}/secrets/999"), None),
        (Method::GET, federated.clone(), None),
        (Method::GET, format!("{federated}/999"), None),
        (Method::POST, federated.clone(), Some(trust.clone())),
        (Method::PUT, format!("{federated}/999"), Some(trust)),
        (Method::DELETE, format!("{federated}/999"), None),
    ]
}

async fn statuses(cloud: &Cloud, token: &str) -> Vec<u16> {
    let mut statuses = Vec::new();
    for (method, path, body) in calls(cloud) {
        statuses.push(cloud.call(token, method, &path, body.as_ref()).await.status().as_u16());
    }
    statuses
}

#[tokio::test]
async fn each_call_asks_for_its_own_scopes() {
    let cloud = Cloud::start().await;
    for (scope, expected) in [
        ("PM.OAuthApp", [200, 404, 201, 404, 404, 404, 404, 400, 400, 400, 400, 400]),
        ("PM.OAuthApp.Read", [200, 404, 403, 403, 403, 403, 403, 400, 400, 403, 403, 403]),
        ("PM.OAuthApp.Write", [403, 403, 201, 404, 404, 404, 404, 403, 403, 400, 400, 400]),
        ("PM.OAuthAppSecret.Write", [403, 403, 403, 403, 403, 404, 404, 403, 403, 403, 403, 403]),
        ("OR.Default", [403; 12]),
    ] {
        let token = cloud.token(&cloud.administrator(), scope).await;
        assert_eq!(statuses(&cloud, &token).await, expected, "{scope}");
    }
}

#[tokio::test]
async fn without_a_token_of_this_organization_nothing_is_answered() {
    let (cloud, other) = (Cloud::start().await, Cloud::start().await);
    let foreign = other.administrator_token().await;
    let mut forged = cloud.administrator_token().await;
    forged.truncate(forged.len() - 8);
    forged.push_str("AAAAAAAA");
    for token in ["", "nonsense", foreign.as_str(), forged.as_str()] {
        assert_eq!(statuses(&cloud, token).await, [401; 12]);
        assert_eq!(cloud.call(token, Method::GET, "ExternalApiResource", None).await.status(), 401);
    }
}

#[tokio::test]
async fn an_access_token_ends_after_an_hour() {
    let cloud = Cloud::start().await;
    let token = cloud.administrator_token().await;
    let status = async || cloud.call(&token, Method::GET, "ExternalApiResource", None).await.status();
    cloud.clock.advance(3_599_000);
    assert_eq!(status().await, StatusCode::OK);
    cloud.clock.advance(1_000);
    assert_eq!(status().await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_organization_has_so_many_calls_of_each_kind_in_a_window() {
    let limits = Limits { get: 2, window_seconds: 300, ..Limits::none() };
    let cloud = Cloud::start_with(|config| config.limits = limits).await;
    let token = cloud.administrator_token().await;
    let get = async || cloud.call(&token, Method::GET, "ExternalApiResource", None).await;
    assert_eq!(get().await.status(), 200);
    cloud.clock.advance(100_000);
    assert_eq!(get().await.status(), 200);
    let refused = get().await;
    assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].to_str().unwrap()), (429, "200"));
    assert_eq!(cloud.call(&token, Method::DELETE, &cloud.path_of("nobody"), None).await.status(), 404);
    cloud.administrator_token().await;
    cloud.clock.advance(200_000);
    assert_eq!(get().await.status(), 200);
}

#[tokio::test]
async fn a_refusal_for_too_many_calls_may_keep_silent_about_the_time() {
    let limits = Limits { get: 1, retry_after: false, ..Limits::none() };
    let cloud = Cloud::start_with(|config| config.limits = limits).await;
    assert_eq!(cloud.get("ExternalApiResource").await.0, 200);
    let token = cloud.administrator_token().await;
    let refused = cloud.call(&token, Method::GET, "ExternalApiResource", None).await;
    assert_eq!((refused.status().as_u16(), refused.headers().get("retry-after")), (429, None));
}
