//! What surprises at Automation Cloud surprises here.

use extapp::local_cloud::Deployment;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Cloud, taken, text};

#[tokio::test]
async fn a_name_may_be_taken_twice() {
    let cloud = Cloud::start().await;
    let scopes = json!([{ "name": "OR.Jobs", "type": 1 }]);
    let (one, other) = (cloud.created("same", &scopes).await, cloud.created("same", &scopes).await);
    assert_ne!(one.0, other.0);
}

#[tokio::test]
async fn a_secret_is_shown_only_by_the_answer_that_makes_it() {
    let cloud = Cloud::start().await;
    let (id, first) = cloud.created("app", &json!([{ "name": "OR.Jobs", "type": 1 }])).await;
    let request =
        json!({ "clientId": id, "partitionGlobalId": cloud.partition(), "description": "second", "expiryTime": null });
    let (status, second) = cloud.post("ExternalClient/GenerateSecret", &request).await;
    assert_eq!(status, 200);
    let (_, read) = cloud.get(&cloud.path_of(&id)).await;
    assert_eq!(read["secret"], Value::Null);
    assert_eq!(read["secrets"][0]["secret"], Value::Null);
    assert_eq!(read["secrets"][1]["secret"], Value::Null);
    assert_eq!(read["secrets"][1]["id"], second["id"]);
    assert_eq!(read["secrets"][1]["description"], "second");
    assert_eq!(read["secrets"][1]["expiryTime"], Value::Null);
    assert!(!read.to_string().contains(&first) && !read.to_string().contains(&text(&second, "secret")));
}

#[tokio::test]
async fn the_list_has_everything_at_once_but_no_scopes_and_no_secrets() {
    let cloud = Cloud::start().await;
    for index in 0..120 {
        cloud.created(&format!("app-{index}"), &json!([{ "name": "OR.Jobs", "type": 1 }])).await;
    }
    let (status, list) = cloud.get(&format!("ExternalClient/{}", cloud.partition())).await;
    let list = list.as_array().unwrap();
    assert_eq!((status, list.len()), (200, 121));
    assert!(list.iter().all(|entry| entry["resources"] == json!([]) && entry["secrets"] == json!([])));
}

#[tokio::test]
async fn a_call_without_an_organization_in_its_path_is_an_invalid_partition() {
    let cloud = Cloud::start().await;
    let url = format!("{}/identity_/api/ExternalClient/{}", cloud.running.base_url(), cloud.partition());
    let response = cloud.http.get(url).bearer_auth(cloud.administrator_token().await).send().await.unwrap();
    let (status, body) = taken(response).await;
    assert_eq!((status, text(&body, "code")), (400, "InvalidPartition".to_owned()));
}

#[tokio::test]
async fn an_automation_suite_answers_management_calls_at_its_host_too() {
    let cloud = Cloud::start_with(|config| config.deployment = Deployment::AutomationSuite).await;
    let token = cloud.administrator_token().await;
    for base in [cloud.running.base_url(), cloud.running.url()] {
        let url = format!("{base}/identity_/api/ExternalClient/{}", cloud.partition());
        let response = cloud.http.get(url).bearer_auth(&token).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{base}");
    }
}

#[tokio::test]
async fn the_organization_in_the_path_may_be_its_name_or_its_identifier_and_nothing_else() {
    let cloud = Cloud::start().await;
    let token = cloud.administrator_token().await;
    for (segment, status) in [("acme", 200), (cloud.partition().as_str(), 200), ("other", 404), ("acme/tenant", 404)] {
        let path = format!("{segment}/identity_/api/ExternalApiResource");
        let url = format!("{}/{path}", cloud.running.base_url());
        let response = cloud.http.get(url).bearer_auth(&token).send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{segment}");
    }
}

#[tokio::test]
async fn the_organizations_name_is_no_partition_identifier() {
    let cloud = Cloud::start().await;
    let refusal = json!({ "partitionGlobalId": ["The value 'acme' is not valid."] });
    let (status, body) = cloud.get("ExternalClient/acme").await;
    assert_eq!((status, &body["errors"]), (400, &refusal));
    let mut request = cloud.application("app", &json!([{ "name": "OR.Jobs", "type": 1 }]));
    request["partitionGlobalId"] = json!("acme");
    let (status, body) = cloud.post("ExternalClient", &request).await;
    assert_eq!((status, &body["errors"]), (400, &refusal));
}

#[tokio::test]
async fn unknown_scopes_are_refused_by_name() {
    let cloud = Cloud::start().await;
    let request =
        cloud.application("app", &json!([{ "name": "OR.Nope", "type": 1 }, { "name": "OR.Jobs", "type": 1 }]));
    let (status, body) = cloud.post("ExternalClient", &request).await;
    assert_eq!((status, text(&body, "message")), (400, "Not all scopes=OR.Nope are present in database".to_owned()));
}

#[tokio::test]
async fn scope_types_come_in_words_or_numbers_and_go_out_as_numbers() {
    let cloud = Cloud::start().await;
    for (written, number) in
        [(json!("user"), 0), (json!("User"), 0), (json!(0), 0), (json!("Application"), 1), (json!(1), 1)]
    {
        let (id, _) = cloud.created("app", &json!([{ "name": "OR.Jobs", "type": written }])).await;
        let (_, read) = cloud.get(&cloud.path_of(&id)).await;
        assert_eq!(read["resources"][0]["name"], "UiPath.Orchestrator");
        assert_eq!(read["resources"][0]["scopes"][0]["name"], "OR.Jobs");
        assert_eq!(read["resources"][0]["scopes"][0]["type"], number, "{written}");
    }
}

#[tokio::test]
async fn the_catalogue_tells_with_other_numbers_which_types_are_allowed() {
    let cloud = Cloud::start().await;
    let (status, catalogue) = cloud.get("ExternalApiResource").await;
    assert_eq!(status, 200);
    let kind = |wanted: &str| {
        let resources = catalogue.as_array().unwrap().iter();
        let mut scopes = resources.flat_map(|resource| resource["scopes"].as_array().unwrap());
        scopes.find(|scope| scope["name"] == wanted).unwrap()["type"].clone()
    };
    assert_eq!((kind("Apps.Read"), kind("AI.Deployer.Read"), kind("PM.OAuthApp")), (json!(0), json!(1), json!(2)));
}

#[tokio::test]
async fn an_update_replaces_name_redirect_uris_and_scopes() {
    let cloud = Cloud::start().await;
    let (id, secret) =
        cloud.created("app", &json!([{ "name": "OR.Jobs", "type": 1 }, { "name": "OR.Assets", "type": 0 }])).await;
    let update = json!({ "name": "new", "scopes": [{ "name": "OR.Queues", "type": 1 }] });
    let (status, answer) = cloud.manage(Method::PUT, &cloud.path_of(&id), Some(&update)).await;
    assert_eq!((status, &answer["secret"]), (200, &Value::Null));
    let (_, read) = cloud.get(&cloud.path_of(&id)).await;
    assert_eq!(
        (&read["name"], &read["redirectUri"], &read["isConfidential"]),
        (&json!("new"), &Value::Null, &json!(true))
    );
    assert_eq!(read["resources"][0]["scopes"].as_array().unwrap().len(), 1);
    assert_eq!(read["secrets"].as_array().unwrap().len(), 1);
    cloud.token(&(id, secret), "OR.Queues").await;
}

#[tokio::test]
async fn an_update_that_leaves_scopes_out_is_refused_and_changes_nothing() {
    let cloud = Cloud::start().await;
    let (id, _) = cloud.created("app", &json!([{ "name": "OR.Jobs", "type": 1 }])).await;
    let path = cloud.path_of(&id);
    let before = cloud.get(&path).await;
    for body in [json!({ "name": "new" }), json!({ "scopes": [{ "name": "OR.Jobs", "type": 1 }] })] {
        assert_eq!(cloud.manage(Method::PUT, &path, Some(&body)).await.0, 400);
    }
    assert_eq!(cloud.get(&path).await, before);
}

#[tokio::test]
async fn an_application_can_be_made_without_a_secret() {
    let cloud = Cloud::start().await;
    let mut request = cloud.application("app", &json!([{ "name": "OR.Jobs", "type": 1 }]));
    request["generateFirstSecret"] = json!(false);
    let (status, answer) = cloud.post("ExternalClient", &request).await;
    assert_eq!((status, &answer["secret"], &answer["secrets"]), (201, &Value::Null, &json!([])));
}

#[tokio::test]
async fn a_public_application_has_user_scopes_and_no_secret() {
    let cloud = Cloud::start().await;
    let mut request = cloud.application("app", &json!([{ "name": "OR.Jobs", "type": 0 }]));
    request["isConfidential"] = json!(false);
    let (status, answer) = cloud.post("ExternalClient", &request).await;
    assert_eq!((status, &answer["secret"]), (201, &Value::Null));
    let more = json!({ "clientId": answer["id"], "partitionGlobalId": cloud.partition() });
    assert_eq!(cloud.post("ExternalClient/GenerateSecret", &more).await.0, 400);
    request["scopes"] = json!([{ "name": "OR.Jobs", "type": 1 }]);
    assert_eq!(cloud.post("ExternalClient", &request).await.0, 400);
}

#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    let cloud = Cloud::start().await;
    let (id, _) = cloud.created("app", &json!([{ "name": "OR.Jobs", "type": 1 }])).await;
    let path = cloud.path_of(&id);
    assert_eq!(cloud.manage(Method::DELETE, &path, None).await.0, 204);
    let update = json!({ "name": "new", "scopes": [{ "name": "OR.Jobs", "type": 1 }] });
    assert_eq!(cloud.manage(Method::DELETE, &path, None).await.0, 404);
    assert_eq!(cloud.manage(Method::PUT, &path, Some(&update)).await.0, 404);
    assert_eq!(cloud.get(&path).await.0, 404);
    let request = json!({ "clientId": id, "partitionGlobalId": cloud.partition() });
    assert_eq!(cloud.post("ExternalClient/GenerateSecret", &request).await.0, 404);
    let secret = format!("ExternalClient/{}/secrets/999", cloud.partition());
    assert_eq!(cloud.manage(Method::DELETE, &secret, None).await.0, 404);
}

#[tokio::test]
async fn a_client_may_delete_itself() {
    let cloud = Cloud::start().await;
    let path = cloud.path_of(&cloud.administrator().0);
    assert_eq!(cloud.manage(Method::DELETE, &path, None).await.0, 204);
    let refused = cloud.ask_for_token(&cloud.administrator(), "PM.OAuthApp").await;
    assert_eq!(taken(refused).await, (400, json!({ "error": "invalid_client" })));
}

#[tokio::test]
async fn a_wrong_address_or_a_json_body_at_the_token_endpoint_gets_a_web_page_with_status_200() {
    let cloud = Cloud::start().await;
    let base = cloud.running.base_url();
    let json = cloud.http.post(format!("{base}/identity_/connect/token")).json(&json!({ "grant_type": "x" }));
    let elsewhere = cloud.http.post(format!("{base}/acme/identity_/connect/tokens")).form(&[("grant_type", "x")]);
    for request in [json, elsewhere] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    }
}
