//! What creates is sent once, whatever becomes of the answer; what can be repeated is, once.

use std::time::Duration;

use extapp::server::http::Unobserved;
use extapp::server::{AuthorizationServer, Lane, ServerError};
use wiremock::ResponseTemplate;

use super::raw::{Fate, RawCloud};
use super::*;

const BODY: &str = r#"{"id":"5a0c0000-1111-4222-8333-1234567890ab","name":"A","isConfidential":true}"#;

pub(super) fn raw_client(cloud: &RawCloud) -> Uipath {
    let config = config(cloud.url.clone(), &Hand::default(), Limits::unlimited(), Arc::new(Unobserved));
    // Long enough for a token on a busy machine; only the silent server makes anybody wait for it.
    let timeouts = Timeouts { total: Duration::from_secs(2), ..Timeouts::default() };
    let transport = Transport { timeouts, ..config.transport };
    Uipath::new(Config { transport, ..config }).unwrap()
}

fn losses() -> [Fate; 6] {
    [
        Fate::Dropped,
        Fate::Cut,
        Fate::Silent,
        Fate::Answered(503, "{}"),
        Fate::Answered(500, r#"{"message":"An unknown failure has occurred"}"#),
        Fate::Answered(201, r#"{"name":"no id"}"#),
    ]
}

#[tokio::test]
async fn a_create_whose_answer_is_lost_is_ambiguous_and_never_repeated() {
    for fate in losses() {
        let cloud = RawCloud::start([fate, Fate::Answered(201, BODY)]).await;
        let error = raw_client(&cloud).create(&desired()).await.unwrap_err();
        assert_eq!(
            (error, cloud.requests()),
            (ServerError::Ambiguous, vec![format!("POST {}", api("ExternalClient"))])
        );
    }
}

#[tokio::test]
async fn a_new_secret_whose_answer_is_lost_is_ambiguous_and_never_repeated() {
    for fate in losses() {
        let cloud = RawCloud::start([fate, Fate::Answered(200, r#""late""#)]).await;
        let error = raw_client(&cloud).add_secret(&id(), "extapp 1").await.unwrap_err();
        assert_eq!(error, ServerError::Ambiguous);
        assert_eq!(cloud.requests(), [format!("POST {}", api("ExternalClient/GenerateSecret"))]);
    }
}

#[tokio::test]
async fn a_create_that_was_never_sent_left_nothing_behind() {
    let mut cloud = RawCloud::start([]).await;
    let client = raw_client(&cloud);
    client.organization_id(Lane::User).await.unwrap();
    cloud.stop().await;
    let error = client.create(&desired()).await.unwrap_err();
    assert_eq!(error, ServerError::Unreachable { what: "connection refused" });
    assert!(error.is_definite());
}

#[tokio::test]
async fn a_create_without_a_token_left_nothing_behind() {
    for answer in [ResponseTemplate::new(503), ResponseTemplate::new(200).set_body_raw("<html>", "text/html")] {
        let cloud = Cloud::without_tokens().await;
        cloud.on("POST", TOKEN, answer).await;
        assert!(cloud.client().create(&desired()).await.unwrap_err().is_definite());
    }
}

#[tokio::test]
async fn a_create_is_sent_again_after_a_401_since_that_was_not_executed() {
    let cloud = Cloud::start().await;
    cloud.once("POST", &api("ExternalClient"), ResponseTemplate::new(401)).await;
    cloud.on("POST", &api("ExternalClient"), ResponseTemplate::new(201).set_body_json(client_body())).await;
    assert_eq!(cloud.client().create(&desired()).await.unwrap().registered.client_id, id());
    assert_eq!(cloud.count("POST", &api("ExternalClient")).await, 2);
}

#[tokio::test]
async fn a_read_or_a_deletion_whose_connection_broke_is_repeated_once() {
    let cloud = RawCloud::start([Fate::Dropped, Fate::Answered(200, "[]")]).await;
    assert_eq!(raw_client(&cloud).list(Lane::User).await, Ok(vec![]));
    let cloud = RawCloud::start([Fate::Dropped, Fate::Answered(404, "{}")]).await;
    assert_eq!(raw_client(&cloud).delete(&id()).await, Ok(()));
    let cloud = RawCloud::start([Fate::Dropped, Fate::Dropped, Fate::Answered(200, "")]).await;
    assert_eq!(raw_client(&cloud).update(&id(), &desired()).await.unwrap_err(), ServerError::Timeout);
    assert_eq!(cloud.requests().len(), 2);
}

#[tokio::test]
async fn a_read_that_is_answered_by_a_failure_or_not_at_all_is_left_to_the_caller() {
    for (fate, error) in [
        (Fate::Answered(503, "{}"), ServerError::Failed { status: 503 }),
        (Fate::Silent, ServerError::Timeout),
        (Fate::Cut, ServerError::Timeout),
    ] {
        let cloud = RawCloud::start([fate]).await;
        assert_eq!(raw_client(&cloud).list(Lane::User).await, Err(error));
        assert_eq!(cloud.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_body_without_an_end_is_not_read_to_the_end() {
    let cloud = RawCloud::start([Fate::Endless]).await;
    let error = raw_client(&cloud).list(Lane::User).await.unwrap_err();
    assert_eq!(error, ServerError::Unintelligible { what: "too large" });
    assert!(cloud.sent() < 64 << 20, "buffers of the system aside, little more than the limit is taken");
}
