//! From names to principals, with the traps on the way.

use extapp::local_cloud::Limits;
use reqwest::Method;
use serde_json::{Value, json};

use super::{encoded, of};
use crate::local_cloud::{Cloud, text};

fn search(prefix: &str) -> String {
    let query = format!("searchContext=ExternalApplications&domain=autogen&prefix={}", encoded(prefix));
    format!("api/DirectoryService/SearchForUsersAndGroups?{query}")
}

async fn names(cloud: &Cloud, prefix: &str) -> Vec<Value> {
    let (status, found) = cloud.tenant().await.get(&search(prefix)).await;
    assert_eq!(status, 200, "{found}");
    of(found.as_array().unwrap(), "displayName")
}

#[tokio::test]
async fn a_search_finds_whatever_begins_alike_and_nothing_with_a_hyphen() {
    let cloud = Cloud::start().await;
    for name in ["Invoice", "Invoice sync", "invoice two", "My Invoice", "invoice-sync"] {
        cloud.application_with(name, &["OR.Jobs"]).await;
    }
    let mut found = names(&cloud, "Invoice").await;
    found.sort_by_key(|name| name.as_str().map(str::to_owned));
    assert_eq!(found, ["Invoice", "Invoice sync", "invoice two", "invoice-sync"].map(|name| json!(name)));
    assert_eq!(names(&cloud, "invoice-sync").await, [Value::Null; 0]);
    assert_eq!(names(&cloud, "My").await, ["My Invoice"]);
}

#[tokio::test]
async fn the_type_of_a_found_principal_is_a_number_and_its_identifier_no_client_id() {
    let cloud = Cloud::start().await;
    let client = cloud.application_with("robot", &["OR.Jobs"]).await;
    let (_, found) = cloud.tenant().await.get(&search("robot")).await;
    assert_eq!((&found[0]["type"], &found[0]["domain"]), (&json!(4), &json!("autogen")));
    assert_eq!(text(&found[0], "identifier"), cloud.identifier("robot").await);
    assert!(!found.to_string().contains(&client.0));
}

#[tokio::test]
async fn a_public_application_is_no_principal() {
    let cloud = Cloud::start().await;
    let mut request = cloud.application("public", &json!([{ "name": "OR.Jobs", "type": 0 }]));
    request["isConfidential"] = json!(false);
    assert_eq!(cloud.post("ExternalClient", &request).await.0, 201);
    assert_eq!(names(&cloud, "public").await, [Value::Null; 0]);
    let body = json!({ "entityNames": ["public"], "entityType": "application" });
    assert_eq!(resolve(&cloud, &body).await, (200, json!({})));
}

async fn resolve(cloud: &Cloud, body: &Value) -> (u16, Value) {
    cloud.post(&format!("Directory/BulkResolveByName/{}", cloud.partition()), body).await
}

#[tokio::test]
async fn names_are_resolved_in_bulk_by_their_very_letters() {
    let cloud = Cloud::start().await;
    let client = cloud.application_with("Invoice-sync", &["OR.Jobs"]).await;
    let body = json!({ "entityNames": ["Invoice-sync", "invoice-sync", "Invoice"], "entityType": "application" });
    let (status, found) = resolve(&cloud, &body).await;
    assert_eq!((status, found.as_object().unwrap().len()), (200, 1));
    let found = &found["Invoice-sync"];
    assert_eq!((&found["objectType"], &found["applicationId"]), (&json!("DirectoryApplication"), &json!(client.0)));
    assert_ne!(found["identifier"], found["applicationId"]);
    assert_eq!((&found["name"], &found["displayName"]), (&json!("Invoice-sync"), &json!("Invoice-sync")));
}

#[tokio::test]
async fn of_two_namesakes_the_older_one_is_resolved_and_a_search_finds_both() {
    let cloud = Cloud::start().await;
    let first = cloud.application_with("same", &["OR.Jobs"]).await;
    let second = cloud.application_with("same", &["OR.Jobs"]).await;
    let body = json!({ "entityNames": ["same"], "entityType": "application" });
    assert_eq!(resolve(&cloud, &body).await.1["same"]["applicationId"], json!(first.0));
    assert_eq!(names(&cloud, "same").await.len(), 2);
    cloud.manage(Method::DELETE, &cloud.path_of(&first.0), None).await;
    assert_eq!(resolve(&cloud, &body).await.1["same"]["applicationId"], json!(second.0));
}

#[tokio::test]
async fn twenty_names_are_resolved_at_once_and_no_more() {
    let cloud = Cloud::start().await;
    let names = |count: usize| (0..count).map(|index| format!("app {index}")).collect::<Vec<_>>();
    let ask = async |names: Vec<String>, kind: &str| {
        resolve(&cloud, &json!({ "entityNames": names, "entityType": kind })).await.0
    };
    assert_eq!((ask(names(20), "application").await, ask(names(21), "application").await), (200, 400));
    assert_eq!((ask(names(0), "application").await, ask(names(1), "planet").await), (400, 400));
    assert_eq!((ask(names(1), "user").await, ask(names(1), "group").await), (200, 200));
    for body in [json!({}), json!({ "entityNames": ["x"] }), json!({ "entityNames": "x", "entityType": "user" })] {
        assert_eq!(resolve(&cloud, &body).await.0, 400, "{body}");
    }
}

#[tokio::test]
async fn resolving_needs_a_token_but_no_scope_of_the_platform() {
    let cloud = Cloud::start().await;
    let client = cloud.application_with("robot", &["OR.Jobs"]).await;
    let path = format!("Directory/BulkResolveByName/{}", cloud.partition());
    let body = json!({ "entityNames": ["robot"], "entityType": "application" });
    let token = cloud.token(&client, "OR.Jobs").await;
    assert_eq!(cloud.call(&token, Method::POST, &path, Some(&body)).await.status(), 200);
    assert_eq!(cloud.call("nonsense", Method::POST, &path, Some(&body)).await.status(), 401);
    assert_eq!(cloud.call(&token, Method::POST, "Directory/BulkResolveByName/acme", Some(&body)).await.status(), 400);
}

#[tokio::test]
async fn a_renamed_application_keeps_its_identifier() {
    let cloud = Cloud::start().await;
    let client = cloud.application_with("before", &["OR.Jobs"]).await;
    let identifier = cloud.identifier("before").await;
    let update = json!({ "name": "after", "scopes": [{ "name": "OR.Jobs", "type": 1 }] });
    assert_eq!(cloud.manage(Method::PUT, &cloud.path_of(&client.0), Some(&update)).await.0, 200);
    assert_eq!(cloud.identifier("after").await, identifier);
}

#[tokio::test]
async fn a_tenant_tells_the_number_of_whom_it_has() {
    let cloud = Cloud::start().await;
    cloud.application_with("robot", &["OR.Jobs"]).await;
    let identifier = cloud.identifier("robot").await;
    let tenant = cloud.tenant().await;
    let number = async |identifier: &str, kind: &str| {
        let query = format!("domain=autogen&directoryIdentifier={identifier}&userName=&userType={kind}");
        tenant.get(&format!("api/DirectoryService/GetDomainUserId?{query}")).await
    };
    assert_eq!(number(&identifier, "DirectoryExternalApplication").await.0, 404);
    let user = tenant.import("robot", &[]).await;
    assert_eq!(number(&identifier, "DirectoryExternalApplication").await, (200, json!(user)));
    assert_eq!(number(&identifier, "DirectoryUser").await.0, 404);
    assert_eq!(number(&identifier, "Planet").await.0, 400);
    assert_eq!(number("", "DirectoryExternalApplication").await.0, 400);
    let (_, domains) = tenant.get("api/DirectoryService/GetDomains").await;
    assert_eq!(domains, json!([{ "name": "autogen", "isDefault": true }]));
}

#[tokio::test]
async fn searches_are_counted_for_each_tenant_and_all_requests_too_if_so_configured() {
    let limits = Limits { directory_search: 2, tenant: 6, ..Limits::none() };
    let cloud = Cloud::start_with(|config| {
        config.limits = limits;
        config.tenants = vec!["Second".to_owned()];
    })
    .await;
    let mut tenant = cloud.tenant().await;
    let mut statuses = Vec::new();
    for path in [search("x"), search("x"), search("x"), "odata/Roles".to_owned(), "odata/Roles".to_owned()] {
        statuses.push(tenant.get(&path).await.0);
    }
    assert_eq!(statuses, [200, 200, 429, 200, 200]);
    assert_eq!((tenant.get("odata/Roles").await.0, tenant.get("odata/Roles").await.0), (200, 429));
    tenant.tenant = "Second".to_owned();
    assert_eq!(tenant.get(&search("x")).await.0, 200);
    cloud.clock.advance(300_000);
    tenant.tenant = "DefaultTenant".to_owned();
    assert_eq!(tenant.get(&search("x")).await.0, 200);
}
