//! What stays: over a restart, over an upgrade from an older file, and in the access log.

use extapp::local_cloud::Config;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::of;
use crate::local_cloud::Cloud;

async fn start(directory: TempDir, change: impl FnOnce(&mut Config)) -> Cloud {
    let data = directory.path().join("cloud.db");
    Cloud::start_in(directory, |config| {
        config.data = Some(data);
        change(config);
    })
    .await
}

#[tokio::test]
async fn permissions_last_over_a_restart() {
    let cloud = start(tempfile::tempdir().unwrap(), |_| {}).await;
    let client = cloud.application_with("robot", &["OR.Jobs"]).await;
    let identifier = cloud.identifier("robot").await;
    let tenant = cloud.tenant().await;
    let shared = tenant.folder_at("Shared").await;
    let finance = tenant.folder("Finance", Some(shared)).await;
    let user = tenant.import("robot", &["Allow to be Automation User"]).await;
    let reader = tenant.role_with("Reader", "Folder", &["Queues.View"]).await;
    tenant.assign(user, finance, &[reader]).await;
    drop(tenant);
    let cloud = start(cloud.stop().await, |config| config.tenants = vec!["Second".to_owned()]).await;
    assert_eq!(cloud.identifier("robot").await, identifier);
    let mut tenant = cloud.tenant().await;
    assert_eq!(tenant.folder_at("Shared/Finance").await, finance);
    assert_eq!(tenant.members(finance, false).await[0]["Roles"][0]["Id"], reader);
    assert_eq!(cloud.acts(&client, "OR.Default").await.queues(finance).await, 200);
    tenant.tenant = "Second".to_owned();
    assert_eq!(of(&tenant.list("odata/Folders").await, "FullyQualifiedName"), ["Shared"]);
    assert_eq!(tenant.list("odata/Users").await.len(), 1);
    drop(tenant);
    // A tenant stays without being named again.
    let cloud = start(cloud.stop().await, |_| {}).await;
    let mut tenant = cloud.tenant().await;
    assert_eq!(tenant.list("odata/Users").await.len(), 2);
    tenant.tenant = "Second".to_owned();
    assert_eq!(tenant.list("odata/Folders").await.len(), 1);
}

#[tokio::test]
async fn what_was_deleted_is_not_seeded_again() {
    let cloud = start(tempfile::tempdir().unwrap(), |_| {}).await;
    let tenant = cloud.tenant().await;
    let shared = tenant.folder_at("Shared").await;
    assert_eq!(tenant.delete(&format!("odata/Folders({shared})")).await.0, 204);
    drop(tenant);
    let cloud = start(cloud.stop().await, |_| {}).await;
    assert_eq!(cloud.tenant().await.list("odata/Folders").await, [Value::Null; 0]);
}

/// The first format of data files, with an organization, and two applications with the secret `secret`.
const FIRST_FORMAT: &str = "
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE signing_keys (algorithm TEXT PRIMARY KEY, private_pem TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE applications (
    sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, confidential INTEGER NOT NULL,
    redirect_uri TEXT, administrator INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE application_scopes (
    application INTEGER NOT NULL REFERENCES applications ON DELETE CASCADE, name TEXT NOT NULL,
    type INTEGER NOT NULL, PRIMARY KEY (application, name, type)) STRICT, WITHOUT ROWID;
CREATE TABLE secrets (
    id INTEGER PRIMARY KEY AUTOINCREMENT, application INTEGER NOT NULL REFERENCES applications ON DELETE CASCADE,
    description TEXT, sha256 BLOB NOT NULL, created INTEGER NOT NULL, expires INTEGER) STRICT;
CREATE INDEX secrets_of_application ON secrets (application);
INSERT INTO settings VALUES
    ('organization-name', 'acme'), ('organization-id', '0b4a1d5c-5e0f-4c53-8d0e-3c1f6f0f7a11');
INSERT INTO applications (id, name, confidential) VALUES
    ('6f1c9a52-3c55-4e43-9a55-0c7b1f1d2a01', 'one', 1), ('6f1c9a52-3c55-4e43-9a55-0c7b1f1d2a02', 'two', 1);
INSERT INTO application_scopes VALUES (1, 'OR.Jobs', 1), (2, 'OR.Jobs', 1);
INSERT INTO secrets (application, sha256, created) SELECT sequence,
    X'2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b', 0 FROM applications;
PRAGMA user_version = 1;
";

#[tokio::test]
async fn an_older_file_gets_a_tenant_and_its_applications_get_identifiers() {
    let directory = tempfile::tempdir().unwrap();
    let file = rusqlite::Connection::open(directory.path().join("cloud.db")).unwrap();
    file.execute_batch(FIRST_FORMAT).unwrap();
    file.close().unwrap();
    let cloud = start(directory, |_| {}).await;
    let client = |last: u8| (format!("6f1c9a52-3c55-4e43-9a55-0c7b1f1d2a0{last}"), "secret".to_owned());
    let clients = [client(1), client(2)];
    let identifiers = [cloud.identifier("one").await, cloud.identifier("two").await];
    for identifier in &identifiers {
        let id = uuid::Uuid::parse_str(identifier).unwrap();
        assert_eq!((id.get_version_num(), id.get_variant()), (4, uuid::Variant::RFC4122), "{identifier}");
        assert!(clients.iter().all(|client| client.0 != *identifier));
    }
    assert_ne!(identifiers[0], identifiers[1]);
    let tenant = cloud.tenant().await;
    let shared = tenant.folder_at("Shared").await;
    let automation = tenant.role("Automation User").await;
    assert_eq!(tenant.assign_directory("AssignDirectoryUser", &identifiers[0], shared, &[automation]).await.0, 204);
    assert_eq!(cloud.acts(&clients[0], "OR.Default").await.queues(shared).await, 200);
    assert_eq!(cloud.acts(&clients[1], "OR.Default").await.queues(shared).await, 404);
}

#[tokio::test]
async fn calls_stand_in_the_access_log_and_faults_happen_to_them() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("access.log");
    let cloud = Cloud::start_in(directory, |config| {
        config.faults = true;
        config.access_log = Some(log.clone());
        config.largest_page = 1;
    })
    .await;
    let tenant = cloud.tenant().await;
    let fault = json!([
        { "match": { "method": "POST", "path_contains": "AssignUsers" }, "action": "status:503" },
        { "match": { "method": "GET", "query_contains": "skip=1" }, "action": "status:502" },
    ]);
    let url = format!("{}/__faults", cloud.running.base_url());
    assert_eq!(cloud.http.post(url).json(&fault).send().await.unwrap().status(), 204);
    let base = format!("{}/DefaultTenant/orchestrator_/odata", cloud.running.url());
    let call = async |method: Method, path: &str| {
        let request = cloud.http.request(method, format!("{base}/{path}")).bearer_auth(&tenant.token);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(call(Method::POST, &format!("Folders/{}.AssignUsers", super::NAMESPACE)).await, 503);
    assert_eq!((call(Method::GET, "Roles").await, call(Method::GET, "Roles?$skip=1").await), (200, 502));
    let log = std::fs::read_to_string(log).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let roles: Vec<_> = lines.iter().filter(|line| line["path"].as_str().unwrap().ends_with("/odata/Roles")).collect();
    assert_eq!((roles[0]["status"].clone(), roles[1]["status"].clone()), (json!(200), json!(502)));
    assert_eq!(roles[0]["client_id"], json!(cloud.administrator().0));
}
