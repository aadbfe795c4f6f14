//! Federated credentials on the wire.

use extapp::domain::federation::{Federated, Trust};
use extapp::server::{Federating, Lane, ServerError};
use serde_json::json;
use wiremock::ResponseTemplate;

use super::raw::{Fate, RawCloud};
use super::*;

const CREDENTIAL: &str = "fc000000-1111-4222-8333-1234567890ab";

fn all() -> String {
    format!("{}/FederatedCredentials", client_path())
}

fn one() -> String {
    format!("{}/{CREDENTIAL}", all())
}

fn trust() -> Trust {
    Trust {
        name: "pod".into(),
        issuer: "https://keys.example/cluster".into(),
        audience: "https://cloud.example".into(),
        subject: "system:serviceaccount:finance:invoices".into(),
    }
}

fn sent() -> Value {
    json!({"name": "pod", "description": "extapp", "issuer": "https://keys.example/cluster",
        "audience": "https://cloud.example", "subject": "system:serviceaccount:finance:invoices"})
}

fn answered() -> Value {
    let mut body = sent();
    body["id"] = json!(CREDENTIAL);
    body["clientId"] = json!(ID);
    body
}

fn federated() -> Federated {
    Federated { id: CREDENTIAL.into(), trust: trust() }
}

#[tokio::test]
async fn a_federated_credential_is_added_listed_replaced_and_removed() {
    let cloud = Cloud::start().await;
    cloud.on("POST", &all(), ResponseTemplate::new(201).set_body_json(answered())).await;
    cloud.on("GET", &all(), ResponseTemplate::new(200).set_body_json(json!([answered()]))).await;
    cloud.on("PUT", &one(), ResponseTemplate::new(200).set_body_json(answered())).await;
    cloud.on("DELETE", &one(), ResponseTemplate::new(204)).await;
    let client = cloud.client();

    assert_eq!(client.add_federated(&id(), &trust()).await, Ok(federated()));
    assert_eq!(client.federated(&id(), Lane::Resync).await, Ok(vec![federated()]));
    client.replace_federated(&id(), CREDENTIAL, &trust()).await.unwrap();
    client.remove_federated(&id(), CREDENTIAL).await.unwrap();
    assert_eq!(cloud.bodies("POST", &all()).await, [sent()]);
    assert_eq!(cloud.bodies("PUT", &one()).await, [sent()], "a replacement names every field");
    let counted = cloud.observed.0.lock().unwrap().clone();
    for operation in ["add_federated", "federated", "replace_federated", "remove_federated"] {
        assert!(counted.contains(&(operation, "Ok")), "{operation}: {counted:?}");
    }
}

#[tokio::test]
async fn one_that_is_gone_is_removed_and_one_that_is_gone_cannot_be_replaced() {
    let cloud = Cloud::start().await;
    cloud.always(ResponseTemplate::new(404).set_body_json(json!({"message": "no"}))).await;
    assert_eq!(cloud.client().remove_federated(&id(), CREDENTIAL).await, Ok(()));
    assert_eq!(cloud.client().replace_federated(&id(), CREDENTIAL, &trust()).await, Err(ServerError::NotFound));
}

#[tokio::test]
async fn a_server_that_is_older_than_federated_credentials_has_none_of_them_and_no_absence() {
    let cloud = Cloud::start().await;
    cloud.always(ResponseTemplate::new(404)).await;
    let error = cloud.client().federated(&id(), Lane::User).await.unwrap_err();
    assert!(matches!(error, ServerError::Unsupported { .. }), "{error}");
}

#[tokio::test]
async fn a_registration_that_is_not_known_everywhere_yet_is_no_refusal_of_its_credentials() {
    let shapes = [
        json!({"message": "Client not found in partition"}),
        json!({"errors": {"clientId": ["Client not found in partition."]}}),
        json!("Client not found in partition"),
    ];
    for body in shapes {
        let cloud = Cloud::start().await;
        cloud.always(ResponseTemplate::new(400).set_body_json(&body)).await;
        let client = cloud.client();
        let errors = [
            client.add_federated(&id(), &trust()).await.unwrap_err(),
            client.federated(&id(), Lane::User).await.unwrap_err(),
            client.replace_federated(&id(), CREDENTIAL, &trust()).await.unwrap_err(),
            client.remove_federated(&id(), CREDENTIAL).await.unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(error, ServerError::NotYet { .. }) && error.is_definite(), "{body}: {error}");
        }
    }
}

#[tokio::test]
async fn a_refusal_of_the_issuer_is_quoted_and_final() {
    let cloud = Cloud::start().await;
    let body = json!({"message": "The issuer's keys cannot be reached"});
    cloud.on("POST", &all(), ResponseTemplate::new(400).set_body_json(body)).await;
    let error = cloud.client().add_federated(&id(), &trust()).await.unwrap_err();
    assert!(matches!(error, ServerError::Rejected { .. }), "{error:?}");
    assert!(error.to_string().contains("The issuer's keys cannot be reached"), "{error}");
}

#[tokio::test]
async fn an_addition_whose_answer_is_lost_is_ambiguous_and_never_repeated() {
    let losses = [Fate::Dropped, Fate::Cut, Fate::Answered(503, "{}"), Fate::Answered(201, r#"{"name":"no id"}"#)];
    for fate in losses {
        let cloud = RawCloud::start([fate, Fate::Answered(201, "{}")]).await;
        let error = super::creates::raw_client(&cloud).add_federated(&id(), &trust()).await.unwrap_err();
        assert_eq!((error, cloud.requests()), (ServerError::Ambiguous, vec![format!("POST {}", all())]));
    }
}

#[tokio::test]
async fn a_list_with_one_that_is_not_understood_is_no_list() {
    let cloud = Cloud::start().await;
    let body = json!([answered(), {"id": "x", "name": "odd"}]);
    cloud.on("GET", &all(), ResponseTemplate::new(200).set_body_json(body)).await;
    let error = cloud.client().federated(&id(), Lane::User).await.unwrap_err();
    assert_eq!(error, ServerError::Unintelligible { what: "not the expected JSON" });
}

#[tokio::test]
async fn an_id_that_would_address_something_else_is_never_sent() {
    let cloud = Cloud::start().await;
    for credential in ["", ".."] {
        let error = cloud.client().remove_federated(&id(), credential).await.unwrap_err();
        assert!(matches!(error, ServerError::Rejected { .. }), "{error:?}");
    }
    assert_eq!(
        cloud.server.received_requests().await.unwrap().iter().filter(|r| r.method.as_str() == "DELETE").count(),
        0
    );
}
