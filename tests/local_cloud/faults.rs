//! The switch through which tests of clients make requests fail.

use reqwest::Method;
use serde_json::{Value, json};

use super::Cloud;

async fn start() -> Cloud {
    Cloud::start_with(|config| config.faults = true).await
}

async fn queue(cloud: &Cloud, fault: &Value) {
    let url = format!("{}/__faults", cloud.running.base_url());
    assert_eq!(cloud.http.post(url).json(fault).send().await.unwrap().status(), 204);
}

/// Sends a create request and says whether an answer came.
async fn create(cloud: &Cloud, token: &str) -> Result<reqwest::Response, reqwest::Error> {
    let url = format!("{}/identity_/api/ExternalClient", cloud.running.url());
    let body = cloud.application("app", &json!([{ "name": "OR.Jobs", "type": 1 }]));
    cloud.http.post(url).bearer_auth(token).json(&body).send().await
}

async fn count(cloud: &Cloud, token: &str) -> usize {
    let path = format!("ExternalClient/{}", cloud.partition());
    let response = cloud.call(token, Method::GET, &path, None).await;
    response.json::<Vec<Value>>().await.unwrap().len()
}

#[tokio::test]
async fn there_is_no_switch_unless_it_is_opened() {
    let cloud = Cloud::start().await;
    let url = format!("{}/__faults", cloud.running.base_url());
    let response = cloud.http.post(url).json(&json!({ "action": "close" })).send().await.unwrap();
    assert_eq!(response.status(), 404);
}

#[tokio::test]
async fn a_lost_answer_leaves_the_application_behind() {
    let cloud = start().await;
    let token = cloud.administrator_token().await;
    queue(&cloud, &json!({ "match": { "method": "POST" }, "action": "close", "before": false })).await;
    assert!(create(&cloud, &token).await.is_err());
    assert_eq!(count(&cloud, &token).await, 2);
    assert_eq!(create(&cloud, &token).await.unwrap().status(), 201);
}

#[tokio::test]
async fn a_lost_request_leaves_nothing_behind() {
    let cloud = start().await;
    let token = cloud.administrator_token().await;
    queue(&cloud, &json!({ "match": { "path_contains": "/api/ExternalClient" }, "action": "close" })).await;
    assert!(create(&cloud, &token).await.is_err());
    assert_eq!(count(&cloud, &token).await, 1);
}

#[tokio::test]
async fn a_status_comes_as_often_as_asked_for_and_says_when_to_come_again() {
    let cloud = start().await;
    let token = cloud.administrator_token().await;
    queue(&cloud, &json!([{ "match": {}, "times": 2, "action": "status:503", "retry_after": 7 }])).await;
    for _ in 0..2 {
        let response = create(&cloud, &token).await.unwrap();
        assert_eq!((response.status().as_u16(), response.headers()["retry-after"].to_str().unwrap()), (503, "7"));
    }
    assert_eq!(create(&cloud, &token).await.unwrap().status(), 201);
}

#[tokio::test]
async fn an_answer_can_be_half_or_too_long_or_a_page() {
    let cloud = start().await;
    let token = cloud.administrator_token().await;
    let faults = json!([{ "action": "truncate" }, { "action": "big:100000" }, { "action": "html" }]);
    queue(&cloud, &faults).await;
    let truncated = create(&cloud, &token).await.unwrap();
    assert_eq!(truncated.status(), 201);
    assert!(truncated.bytes().await.is_err());
    assert_eq!(create(&cloud, &token).await.unwrap().bytes().await.unwrap().len(), 100_000);
    assert!(create(&cloud, &token).await.unwrap().text().await.unwrap().starts_with("<!doctype html>"));
    assert_eq!(count(&cloud, &token).await, 2);
}

#[tokio::test]
async fn a_request_that_hangs_is_executed_all_the_same_if_so_wished() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("access.log");
    let cloud = Cloud::start_in(directory, |config| {
        config.faults = true;
        config.access_log = Some(log.clone());
    })
    .await;
    let token = cloud.administrator_token().await;
    queue(&cloud, &json!({ "match": { "method": "POST" }, "action": "hang", "before": false })).await;
    let answered = async {
        create(&cloud, &token).await.ok();
    };
    let executed = async { while count(&cloud, &token).await < 2 {} };
    tokio::select! {
        () = answered => panic!("there was an answer"),
        () = executed => {}
    }
    let log = std::fs::read_to_string(log).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let hung: Vec<_> = lines.filter(|line| line["status"] == Value::Null).collect();
    assert_eq!(hung.len(), 1);
}

#[tokio::test]
async fn what_is_left_can_be_seen_and_forgotten() {
    let cloud = start().await;
    queue(&cloud, &json!({ "times": 3, "action": "hang" })).await;
    let url = format!("{}/__faults", cloud.running.base_url());
    let left: Value = cloud.http.get(&url).send().await.unwrap().json().await.unwrap();
    assert_eq!(left[0]["times"], 3);
    assert_eq!(cloud.http.delete(&url).send().await.unwrap().status(), 204);
    cloud.administrator_token().await;
    let wrong = cloud.http.post(&url).json(&json!({ "action": "explode" })).send().await.unwrap();
    assert_eq!(wrong.status(), 400);
}
