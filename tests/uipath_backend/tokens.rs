//! The operator's own token and the server's metadata.

use extapp::server::{AuthorizationServer, Lane, ServerError};
use futures::future::join_all;
use serde_json::json;
use wiremock::matchers::{body_string_contains, method, path};
use wiremock::{Mock, ResponseTemplate};

use super::*;

fn oauth_error(code: &str) -> ResponseTemplate {
    ResponseTemplate::new(400).set_body_json(json!({"error": code}))
}

#[tokio::test]
async fn fifty_callers_share_one_token_and_one_read_of_the_metadata() {
    let cloud = Cloud::start().await;
    cloud.on("GET", &list_path(), empty_list()).await;
    let client = cloud.client();
    let results = join_all((0..50).map(|_| client.list(Lane::User))).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!((cloud.count("POST", TOKEN).await, cloud.count("GET", DISCOVERY).await), (1, 1));
    assert_eq!(cloud.count("GET", &list_path()).await, 50);
}

#[tokio::test]
async fn a_token_is_replaced_before_it_expires() {
    let cloud = Cloud::start().await;
    cloud.on("GET", &list_path(), empty_list()).await;
    let client = cloud.client();
    for (forward, tokens) in [(0, 1), (3539, 1), (1, 2)] {
        cloud.hand.forward(forward);
        client.list(Lane::User).await.unwrap();
        assert_eq!(cloud.count("POST", TOKEN).await, tokens);
    }
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_once() {
    let cloud = Cloud::start().await;
    cloud.once("GET", &list_path(), ResponseTemplate::new(401)).await;
    cloud.on("GET", &list_path(), empty_list()).await;
    cloud.client().list(Lane::User).await.unwrap();
    assert_eq!((cloud.count("POST", TOKEN).await, cloud.count("GET", &list_path()).await), (2, 2));
}

#[tokio::test]
async fn a_second_refusal_of_the_token_is_an_error_and_no_loop() {
    let cloud = Cloud::start().await;
    cloud.always(ResponseTemplate::new(401)).await;
    assert_eq!(cloud.client().list(Lane::User).await, Err(ServerError::Unauthorized));
    assert_eq!((cloud.count("POST", TOKEN).await, cloud.count("GET", &list_path()).await), (2, 2));
}

#[tokio::test]
async fn after_a_missing_permission_the_next_request_has_a_new_token() {
    let cloud = Cloud::start().await;
    cloud.once("GET", &list_path(), ResponseTemplate::new(403).set_body_json(json!({}))).await;
    cloud.on("GET", &list_path(), empty_list()).await;
    let client = cloud.client();
    assert_eq!(client.list(Lane::User).await.unwrap_err().reason().as_str(), "PermissionDenied");
    assert_eq!(cloud.count("GET", &list_path()).await, 1);
    client.list(Lane::User).await.unwrap();
    assert_eq!(cloud.count("POST", TOKEN).await, 2);
}

#[tokio::test]
async fn the_narrower_scopes_are_asked_for_where_the_wide_one_is_not_registered_and_remembered() {
    let cloud = Cloud::without_tokens().await;
    let narrow = body_string_contains("scope=PM.OAuthApp.Read+PM.OAuthApp.Write");
    let granted = ResponseTemplate::new(200).set_body_json(token_body(3600));
    Mock::given(method("POST"))
        .and(path(TOKEN))
        .and(narrow)
        .respond_with(granted)
        .with_priority(1)
        .mount(&cloud.server)
        .await;
    cloud.on("POST", TOKEN, oauth_error("invalid_scope")).await;
    cloud.on("GET", &list_path(), empty_list()).await;
    let client = cloud.client();
    client.list(Lane::User).await.unwrap();
    assert_eq!(cloud.count("POST", TOKEN).await, 2);
    cloud.hand.forward(3600);
    client.list(Lane::User).await.unwrap();
    assert_eq!(cloud.count("POST", TOKEN).await, 3);
}

#[tokio::test]
async fn an_operator_without_any_of_the_scopes_is_told_which_to_grant() {
    let cloud = Cloud::without_tokens().await;
    cloud.on("POST", TOKEN, oauth_error("invalid_scope")).await;
    let error = cloud.client().list(Lane::User).await.unwrap_err();
    assert!(error.to_string().contains("PM.OAuthApp"), "{error}");
    assert_eq!(error.reason().as_str(), "PermissionDenied");
}

#[tokio::test]
async fn wrong_credentials_are_told_apart_from_missing_scopes() {
    let cloud = Cloud::without_tokens().await;
    cloud.on("POST", TOKEN, oauth_error("invalid_client")).await;
    assert_eq!(cloud.client().list(Lane::User).await, Err(ServerError::Unauthorized));
    assert_eq!(cloud.count("POST", TOKEN).await, 1);
}

#[tokio::test]
async fn metadata_that_points_to_another_host_never_sees_the_secret() {
    let (cloud, elsewhere) = (Cloud::without_metadata().await, Cloud::start().await);
    let metadata =
        json!({"issuer": cloud.server.uri(), "token_endpoint": format!("{}{TOKEN}", elsewhere.server.uri())});
    cloud.on("GET", DISCOVERY, ResponseTemplate::new(200).set_body_json(metadata)).await;
    let client = cloud.client();
    assert_eq!(client.endpoints(Lane::User).await.unwrap_err().reason().as_str(), "UnexpectedAnswer");
    assert_eq!(client.list(Lane::User).await.unwrap_err().reason().as_str(), "UnexpectedAnswer");
    assert!(elsewhere.server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_redirect_of_the_token_endpoint_is_not_followed() {
    let (cloud, elsewhere) = (Cloud::without_tokens().await, Cloud::start().await);
    let target = format!("{}{TOKEN}", elsewhere.server.uri());
    cloud.on("POST", TOKEN, ResponseTemplate::new(307).insert_header("location", target)).await;
    assert_eq!(cloud.client().list(Lane::User).await.unwrap_err().reason().as_str(), "UnexpectedAnswer");
    assert!(elsewhere.server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn the_endpoints_are_read_anew_each_time_they_are_asked_for() {
    let cloud = Cloud::start().await;
    let client = cloud.client();
    for reads in [1, 2] {
        let endpoints = client.endpoints(Lane::Resync).await.unwrap();
        assert_eq!(endpoints.token_endpoint, format!("{}{TOKEN}", cloud.server.uri()));
        assert_eq!(cloud.count("GET", DISCOVERY).await, reads);
    }
}

#[tokio::test]
async fn the_organization_is_the_tokens_or_the_configured_guid_or_an_error_that_says_what_to_configure() {
    let cloud = Cloud::without_tokens().await;
    cloud.on("POST", TOKEN, ResponseTemplate::new(200).set_body_json(json!({"access_token": "opaque"}))).await;
    let guid = Uipath::new(Config { organization: ORGANIZATION.into(), ..cloud.config() }).unwrap();
    assert_eq!(guid.organization_id(Lane::User).await.unwrap().as_deref(), Some(ORGANIZATION));
    let error = cloud.client().organization_id(Lane::User).await.unwrap_err();
    assert!(error.to_string().contains("set organization to the organization's GUID"), "{error}");
    let other = Cloud::start().await;
    let claimed = other.client().organization_id(Lane::User).await.unwrap();
    assert_eq!(claimed.as_deref(), Some(ORGANIZATION));
}
