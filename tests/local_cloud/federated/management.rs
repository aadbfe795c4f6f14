//! Making, changing and removing federated credentials.

use extapp::local_cloud::{self, Config, Error};
use reqwest::Method;
use serde_json::{Value, json};

use super::issuer::{Issuer, signed};
use super::{Cloud, changed, text, trust};

fn message(answer: &Value) -> String {
    text(answer, "message")
}

#[tokio::test]
async fn a_credential_is_made_read_replaced_and_removed() {
    let (cloud, issuer) = (Cloud::start().await, Issuer::start().await);
    let client = cloud.secretless("app").await;
    let path = cloud.credentials_of(&client);
    assert_eq!(cloud.get(&path).await, (200, json!([])));
    let request = json!({ "name": "one", "issuer": issuer.url(), "audience": "cloud", "subject": "worker" });
    let (status, made) = cloud.post(&path, &request).await;
    let id = text(&made, "id");
    let whole = changed(&request, &json!({ "id": id, "clientId": client, "description": null }));
    assert_eq!((status, &made), (201, &whole));
    let one = format!("{path}/{id}");
    assert_eq!(cloud.get(&path).await, (200, json!([whole])));
    assert_eq!(cloud.get(&one).await, (200, whole));

    let worker = signed("one", 0, &issuer.claims(cloud.seconds()));
    let robot = signed("one", 0, &changed(&issuer.claims(cloud.seconds()), &json!({ "sub": "robot" })));
    assert!(cloud.accepts(&client, &worker).await && !cloud.accepts(&client, &robot).await);
    let next = json!({
        "name": "two", "description": "for robots", "issuer": issuer.url(), "audience": "cloud", "subject": "robot",
    });
    let whole = changed(&next, &json!({ "id": id, "clientId": client }));
    assert_eq!(cloud.manage(Method::PUT, &one, Some(&next)).await, (200, whole.clone()));
    assert_eq!(cloud.get(&one).await, (200, whole));
    assert!(!cloud.accepts(&client, &worker).await && cloud.accepts(&client, &robot).await);

    let access = text(&cloud.presented(&client, &robot).await.1, "access_token");
    assert_eq!(cloud.manage(Method::DELETE, &one, None).await, (204, Value::Null));
    assert!(!cloud.accepts(&client, &robot).await);
    assert_eq!(cloud.call(&access, Method::GET, "ExternalApiResource", None).await.status(), 200);
    for (method, body) in [(Method::GET, None), (Method::DELETE, None), (Method::PUT, Some(&next))] {
        assert_eq!(cloud.manage(method.clone(), &one, body).await.0, 404, "{method}");
    }
}

#[tokio::test]
async fn an_update_needs_every_member_and_changes_nothing_if_it_is_refused() {
    let (cloud, issuer) = (Cloud::start().await, Issuer::start().await);
    let client = cloud.secretless("app").await;
    let id = cloud.trusts(&client, &trust("one", issuer.url())).await;
    cloud.trusts(&client, &trust("two", issuer.url())).await;
    let path = format!("{}/{id}", cloud.credentials_of(&client));
    let (_, before) = cloud.get(&path).await;
    for member in ["name", "description", "issuer", "audience", "subject"] {
        let mut request = trust("one", issuer.url());
        request.as_object_mut().unwrap().remove(member);
        let (status, answer) = cloud.manage(Method::PUT, &path, Some(&request)).await;
        let refusal = json!({ member: [format!("The {member} field is required.")] });
        assert_eq!((status, &answer["errors"]), (400, &refusal));
    }
    let (status, answer) = cloud.manage(Method::PUT, &path, Some(&trust("two", issuer.url()))).await;
    assert!(status == 400 && message(&answer).contains("another federated credential of this name"), "{answer}");
    issuer.break_down();
    let (status, answer) = cloud.manage(Method::PUT, &path, Some(&trust("one", issuer.url()))).await;
    assert!(status == 400 && message(&answer).contains("cannot be reached"), "{answer}");
    assert_eq!(cloud.get(&path).await, (200, before));
}

#[tokio::test]
async fn an_application_has_at_most_twenty_with_names_of_their_own() {
    let (cloud, issuer) = (Cloud::start().await, Issuer::start().await);
    let client = cloud.secretless("app").await;
    let path = cloud.credentials_of(&client);
    cloud.trusts(&client, &trust("name-0", issuer.url())).await;
    let (status, answer) = cloud.post(&path, &trust("name-0", issuer.url())).await;
    assert!(status == 400 && message(&answer).contains("another federated credential of this name"), "{answer}");
    for index in 1..20 {
        cloud.trusts(&client, &trust(&format!("name-{index}"), issuer.url())).await;
    }
    let (status, answer) = cloud.post(&path, &trust("name-20", issuer.url())).await;
    assert!(status == 400 && message(&answer).contains("at most 20"), "{answer}");
    assert_eq!(cloud.get(&path).await.1.as_array().unwrap().len(), 20);
    let other = cloud.secretless("other").await;
    cloud.trusts(&other, &trust("name-0", issuer.url())).await;
}

#[tokio::test]
async fn only_confidential_applications_of_the_organization_have_them() {
    let (cloud, issuer) = (Cloud::start().await, Issuer::start().await);
    let mut request = cloud.application("public", &json!([{ "name": "OR.Jobs", "type": 0 }]));
    request["isConfidential"] = json!(false);
    let public = text(&cloud.post("ExternalClient", &request).await.1, "id");
    let (status, answer) = cloud.post(&cloud.credentials_of(&public), &trust("one", issuer.url())).await;
    assert!(status == 400 && message(&answer).contains("non-confidential"), "{answer}");
    let (status, answer) = cloud.post(&cloud.credentials_of("nobody"), &trust("one", issuer.url())).await;
    assert_eq!((status, message(&answer)), (400, "Client not found in partition".to_owned()));
    let (status, answer) = cloud.get(&cloud.credentials_of("nobody")).await;
    assert_eq!((status, message(&answer)), (400, "Client not found in partition".to_owned()));
}

#[tokio::test]
async fn an_issuer_that_is_not_there_or_not_itself_is_refused_in_words() {
    let (cloud, issuer) = (Cloud::start().await, Issuer::start().await);
    let client = cloud.secretless("app").await;
    let path = cloud.credentials_of(&client);
    let refusal = async |issuer: &str| {
        let (status, answer) = cloud.post(&path, &trust("one", issuer)).await;
        assert_eq!(status, 400, "{answer}");
        message(&answer)
    };
    assert!(refusal("http://issuer.example").await.contains("must be an https URL"));
    assert!(refusal(&format!("{}/", issuer.url())).await.contains("is of another issuer"));
    assert!(refusal(&format!("{}/elsewhere", issuer.url())).await.contains("discovery document"));
    issuer.publish(&[]);
    assert!(refusal(issuer.url()).await.contains("no RSA key"));
    issuer.break_down();
    assert!(refusal(issuer.url()).await.contains("cannot be reached"));
    assert_eq!(cloud.get(&path).await, (200, json!([])));
}

#[tokio::test]
async fn credentials_last_over_a_restart_and_go_with_their_application() {
    let issuer = Issuer::start().await;
    let start = async |directory: tempfile::TempDir| {
        let data = directory.path().join("cloud.db");
        Cloud::start_in(directory, |config| config.data = Some(data)).await
    };
    let cloud = start(tempfile::tempdir().unwrap()).await;
    let client = cloud.federated(&issuer).await;
    let (_, before) = cloud.get(&cloud.credentials_of(&client)).await;
    let cloud = start(cloud.stop().await).await;
    assert_eq!(cloud.get(&cloud.credentials_of(&client)).await, (200, before));
    let token = signed("one", 0, &issuer.claims(cloud.seconds()));
    assert!(cloud.accepts(&client, &token).await);
    assert_eq!(cloud.manage(Method::DELETE, &cloud.path_of(&client), None).await.0, 204);
    assert!(!cloud.accepts(&client, &token).await);
    assert_eq!(cloud.get(&cloud.credentials_of(&client)).await.0, 400);
}

#[tokio::test]
async fn a_new_application_can_be_unknown_to_the_organization_for_a_while() {
    let (cloud, issuer) = (Cloud::start_with(|config| config.faults = true).await, Issuer::start().await);
    let fault = json!({
        "match": { "method": "POST", "path_contains": "/FederatedCredentials" },
        "times": 3, "action": "not-in-partition",
    });
    let url = format!("{}/__faults", cloud.running.base_url());
    assert_eq!(cloud.http.post(url).json(&fault).send().await.unwrap().status(), 204);
    let client = cloud.secretless("app").await;
    for _ in 0..3 {
        let (status, answer) = cloud.post(&cloud.credentials_of(&client), &trust("one", issuer.url())).await;
        assert_eq!((status, message(&answer)), (400, "Client not found in partition".to_owned()));
    }
    cloud.trusts(&client, &trust("one", issuer.url())).await;
}

#[tokio::test]
async fn certificates_for_issuers_that_cannot_be_used_are_named_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let (missing, empty) = (directory.path().join("missing.pem"), directory.path().join("empty.pem"));
    std::fs::write(&empty, "no certificate").unwrap();
    let start = async |path: &std::path::Path| {
        let mut config = Config::new("127.0.0.1:0".parse().unwrap(), "acme");
        config.issuer_ca = vec![path.to_owned()];
        local_cloud::serve(config, std::future::pending()).await
    };
    assert!(matches!(start(&missing).await, Err(Error::IssuerCa { path, .. }) if path == missing));
    assert!(matches!(start(&empty).await, Err(Error::IssuerTrust(_))));
}
