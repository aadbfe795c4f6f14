//! What each call sends, and how it reads what comes back.

use extapp::domain::registration::{SecretId, SecretInfo};
use extapp::server::{AuthorizationServer, Lane, ServerError};
use serde_json::json;
use wiremock::ResponseTemplate;

use super::*;

#[tokio::test]
async fn a_registration_is_created_read_updated_and_deleted() {
    let cloud = Cloud::start().await;
    cloud.on("POST", &api("ExternalClient"), ResponseTemplate::new(201).set_body_json(client_body())).await;
    cloud.on("GET", &client_path(), ResponseTemplate::new(200).set_body_json(client_body())).await;
    cloud.on("PUT", &client_path(), ResponseTemplate::new(200)).await;
    cloud.on("DELETE", &client_path(), ResponseTemplate::new(204)).await;
    let client = cloud.client();

    let created = client.create(&desired()).await.unwrap();
    let credential = created.credential.unwrap();
    assert_eq!((credential.secret.expose(), credential.id), ("n3w", Some(SecretId::new("42"))));
    assert_eq!(
        cloud.bodies("POST", &api("ExternalClient")).await,
        [
            json!({"partitionGlobalId": ORGANIZATION, "name": "Invoice sync", "isConfidential": true, "redirectUri": null,
            "scopes": [{"name": "OR.Queues", "type": 1}]})
        ]
    );

    let read = client.get(&id(), Lane::Resync).await.unwrap().unwrap();
    assert_eq!(read, created.registered);
    let first = SecretInfo {
        id: SecretId::new("42"),
        description: Some("first".into()),
        created_at: Some(noon()),
        expires_at: None,
        value: None,
    };
    assert_eq!(read.secrets, [first]);

    client.update(&id(), &desired()).await.unwrap();
    assert_eq!(
        cloud.bodies("PUT", &client_path()).await,
        [json!({"name": "Invoice sync", "redirectUri": null, "scopes": [{"name": "OR.Queues", "type": 1}]})]
    );
    client.delete(&id()).await.unwrap();
}

#[tokio::test]
async fn a_secret_is_added_and_removed() {
    let cloud = Cloud::start().await;
    let added = json!({"id": 43, "description": "extapp 2", "secret": "s2", "creationTime": "2026-11-24T12:00:00", "expiryTime": null});
    let generate = api("ExternalClient/GenerateSecret");
    let remove = api(&format!("ExternalClient/{ORGANIZATION}/secrets/43"));
    cloud.on("POST", &generate, ResponseTemplate::new(200).set_body_json(added)).await;
    cloud.on("DELETE", &remove, ResponseTemplate::new(204)).await;
    let client = cloud.client();
    let credential = client.add_secret(&id(), "extapp 2").await.unwrap();
    assert_eq!((credential.secret.expose(), credential.created_at), ("s2", Some(noon())));
    let body = json!({"clientId": ID, "description": "extapp 2", "partitionGlobalId": ORGANIZATION});
    assert_eq!(cloud.bodies("POST", &generate).await, [body]);
    client.remove_secret(&id(), &credential.id.unwrap()).await.unwrap();
    assert_eq!(cloud.count("DELETE", &remove).await, 1);
}

#[tokio::test]
async fn what_is_gone_already_is_none_or_done_or_not_found() {
    let cloud = Cloud::start().await;
    cloud.always(ResponseTemplate::new(404).set_body_json(json!({"title": "Not Found", "status": 404}))).await;
    let client = cloud.client();
    assert_eq!(client.get(&id(), Lane::User).await, Ok(None));
    assert_eq!(client.delete(&id()).await, Ok(()));
    assert_eq!(client.remove_secret(&id(), &SecretId::new("1")).await, Ok(()));
    assert_eq!(client.update(&id(), &desired()).await.unwrap_err(), ServerError::NotFound);
    assert_eq!(client.add_secret(&id(), "d").await.unwrap_err(), ServerError::NotFound);
    assert_eq!(
        client.list(Lane::User).await.unwrap_err().reason().as_str(),
        "UnexpectedAnswer",
        "no list is no empty list"
    );
}

#[tokio::test]
async fn an_id_that_would_address_something_else_is_never_sent() {
    let cloud = Cloud::start().await;
    let client = cloud.client();
    for id in ["", "..", "."] {
        assert_eq!(client.delete(&ClientId::new(id)).await.unwrap_err().reason().as_str(), "RejectedByServer");
        assert_eq!(
            client.remove_secret(&self::id(), &SecretId::new(id)).await.unwrap_err().reason().as_str(),
            "RejectedByServer"
        );
    }
    assert!(cloud.server.received_requests().await.unwrap().iter().all(|request| request.method.as_str() != "DELETE"));
}

#[tokio::test]
async fn a_row_that_is_not_understood_is_still_a_registration() {
    let cloud = Cloud::start().await;
    let rows = json!([client_body(), {"id": "other", "name": 7}]);
    cloud.on("GET", &list_path(), ResponseTemplate::new(200).set_body_json(rows)).await;
    let listed = cloud.client().list(Lane::Resync).await.unwrap();
    let ids: Vec<_> = listed.iter().map(|row| row.client_id.as_str()).collect();
    assert_eq!(ids, [ID, "other"]);
}

#[tokio::test]
async fn a_list_in_which_a_row_has_no_id_is_no_list() {
    for rows in
        [json!([client_body(), {"name": "nobody"}]), json!([{"id": ""}]), json!([7]), json!({"value": []}), json!(null)]
    {
        let cloud = Cloud::start().await;
        cloud.on("GET", &list_path(), ResponseTemplate::new(200).set_body_json(rows)).await;
        assert_eq!(cloud.client().list(Lane::Resync).await.unwrap_err().reason().as_str(), "UnexpectedAnswer");
    }
}

#[tokio::test]
async fn the_id_and_the_secret_of_a_create_survive_an_answer_that_is_not_understood_otherwise() {
    let cloud = Cloud::start().await;
    let odd = json!({"id": ID, "secret": "n3w", "resources": "odd"});
    cloud.on("POST", &api("ExternalClient"), ResponseTemplate::new(201).set_body_json(odd)).await;
    let created = cloud.client().create(&desired()).await.unwrap();
    assert_eq!(created.registered.client_id, id());
    assert_eq!(created.credential.unwrap().secret.expose(), "n3w");
}

#[tokio::test]
async fn every_deployment_is_asked_at_its_own_paths() {
    for (deployment, identity, discovery) in [
        (Deployment::AutomationCloud, "/acme/identity_", "/identity_"),
        (Deployment::AutomationSuite, "/identity_", "/identity_"),
        (Deployment::Standalone, "/identity", "/identity"),
    ] {
        let cloud = Cloud::without_metadata().await;
        let url = cloud.server.uri();
        let token = format!("{discovery}/connect/token");
        let metadata = json!({"issuer": url, "token_endpoint": format!("{url}{token}")});
        let at = format!("{discovery}/.well-known/openid-configuration");
        cloud.on("GET", &at, ResponseTemplate::new(200).set_body_json(metadata)).await;
        cloud.on("POST", &token, ResponseTemplate::new(200).set_body_json(token_body(3600))).await;
        let catalogue = json!([{"name": "UiPath.Orchestrator", "scopes": [{"name": "OR.Queues", "type": 2}]}]);
        let at = format!("{identity}/api/ExternalApiResource");
        cloud.on("GET", &at, ResponseTemplate::new(200).set_body_json(catalogue)).await;
        let client = Uipath::new(Config { deployment, ..cloud.config() }).unwrap();
        assert_eq!(client.catalogue(Lane::User).await.unwrap().resources[0].scopes[0].grants.len(), 2);
    }
}

#[tokio::test]
async fn every_request_is_observed_with_its_outcome() {
    let cloud = Cloud::start().await;
    cloud.on("GET", &list_path(), empty_list()).await;
    let client = cloud.client();
    client.list(Lane::User).await.unwrap();
    client.get(&id(), Lane::User).await.unwrap();
    let expected = [("discovery", "Ok"), ("token", "Ok"), ("list", "Ok"), ("get", "RegistrationMissing")];
    assert_eq!(*cloud.observed.0.lock().unwrap(), expected);
}
