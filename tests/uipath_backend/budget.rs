//! What the organization's budget allows, and what the server says about it.

use std::time::Duration;

use extapp::server::budget::Limits;
use extapp::server::{AuthorizationServer, Lane, ServerError};
use wiremock::ResponseTemplate;

use super::*;

#[tokio::test]
async fn the_operators_own_checks_leave_the_reserve_to_people() {
    let cloud = Cloud::start().await;
    cloud.on("GET", &list_path(), empty_list()).await;
    let client = cloud.limited(Limits::per_minute(4));
    let mut refusals = Vec::new();
    for lane in [Lane::Resync, Lane::Resync, Lane::Resync, Lane::User, Lane::User, Lane::User] {
        refusals.push(client.list(lane).await.is_err());
    }
    assert_eq!(refusals, [false, false, true, false, false, true]);
    assert_eq!(cloud.count("GET", &list_path()).await, 4, "what is refused is not sent");
}

#[tokio::test]
async fn who_is_refused_may_come_back_when_told() {
    let cloud = Cloud::start().await;
    cloud.on("GET", &list_path(), empty_list()).await;
    let client = cloud.limited(Limits::per_minute(1));
    client.list(Lane::User).await.unwrap();
    let Err(ServerError::Budget { retry_after }) = client.list(Lane::User).await else { panic!("not refused") };
    cloud.hand.forward(i64::try_from(retry_after.as_secs()).unwrap() + 1);
    client.list(Lane::User).await.unwrap();
}

#[tokio::test]
async fn two_clients_of_one_organization_share_its_budget() {
    let cloud = Cloud::start().await;
    cloud.on("GET", &list_path(), empty_list()).await;
    let budget = Budget::new(Limits::per_minute(1), cloud.hand.clock());
    let client = || Uipath::new(Config { budget: Arc::clone(&budget), ..cloud.config() }).unwrap();
    client().list(Lane::User).await.unwrap();
    assert_eq!(client().list(Lane::User).await.unwrap_err().reason().as_str(), "RateLimited");
}

#[tokio::test]
async fn a_429_closes_its_class_for_both_lanes_for_as_long_as_it_says() {
    for (header, seconds) in [("7", 7), ("Tue, 24 Nov 2026 12:00:30 GMT", 30)] {
        let cloud = Cloud::start().await;
        cloud.once("GET", &list_path(), ResponseTemplate::new(429).insert_header("retry-after", header)).await;
        cloud.on("GET", &list_path(), empty_list()).await;
        cloud.on("DELETE", &client_path(), ResponseTemplate::new(204)).await;
        let client = cloud.client();
        let wait = Duration::from_secs(seconds);
        let limited = ServerError::RateLimited { retry_after: Some(wait) };
        assert_eq!(client.list(Lane::User).await, Err(limited));
        for lane in [Lane::User, Lane::Resync] {
            assert_eq!(client.list(lane).await, Err(ServerError::Budget { retry_after: wait }));
        }
        assert_eq!(cloud.count("GET", &list_path()).await, 1);
        client.delete(&id()).await.unwrap();
        cloud.hand.forward(i64::try_from(seconds).unwrap());
        client.list(Lane::User).await.unwrap();
    }
}

#[tokio::test]
async fn a_429_that_does_not_say_how_long_is_waited_out_longer_each_time() {
    let cloud = Cloud::start().await;
    cloud.always(ResponseTemplate::new(429)).await;
    let client = cloud.client();
    for seconds in [5, 10, 20] {
        let limited = ServerError::RateLimited { retry_after: Some(Duration::from_secs(seconds)) };
        assert_eq!(client.list(Lane::User).await, Err(limited));
        cloud.hand.forward(i64::try_from(seconds).unwrap());
    }
}

#[tokio::test]
async fn a_create_that_was_one_too_many_left_nothing_behind_and_is_not_repeated() {
    let cloud = Cloud::start().await;
    cloud.always(ResponseTemplate::new(429)).await;
    let error = cloud.client().create(&desired()).await.unwrap_err();
    assert!(error.is_definite());
    assert_eq!(cloud.count("POST", &api("ExternalClient")).await, 1);
}
