//! Starting, ending, and what lasts between the two.

use extapp::local_cloud::{self, AdministratorCredentials, Config, Error, SigningAlgorithm, StoreError};
use reqwest::Method;
use serde_json::{Value, json};

use super::Cloud;

/// Starts on the data file in `directory`.
async fn start_on_file(directory: tempfile::TempDir, change: impl FnOnce(&mut Config)) -> Cloud {
    let data = directory.path().join("cloud.db");
    Cloud::start_in(directory, |config| {
        config.data = Some(data);
        change(config);
    })
    .await
}

#[tokio::test]
async fn applications_keys_and_credentials_last_over_a_restart() {
    let cloud = start_on_file(tempfile::tempdir().unwrap(), |_| {}).await;
    assert_eq!(cloud.running.administrator(), AdministratorCredentials::Written);
    let (client, administrator) =
        (cloud.created("app", &json!([{ "name": "OR.Jobs", "type": 1 }])).await, cloud.administrator());
    let partition = cloud.partition();
    let cloud = start_on_file(cloud.stop().await, |_| {}).await;
    assert_eq!(cloud.running.administrator(), AdministratorCredentials::Kept);
    assert_eq!((cloud.administrator(), cloud.partition()), (administrator, partition));
    cloud.token(&client, "OR.Jobs").await;
    assert_eq!(cloud.get(&cloud.path_of(&client.0)).await.1["name"], "app");
}

#[tokio::test]
async fn a_token_stays_valid_over_a_restart_at_the_same_address() {
    let cloud = start_on_file(tempfile::tempdir().unwrap(), |config| {
        config.signing_algorithm = SigningAlgorithm::Rs256;
    })
    .await;
    let (token, base) = (cloud.administrator_token().await, cloud.running.base_url());
    let address = base.strip_prefix("http://").unwrap().parse().unwrap();
    let cloud = start_on_file(cloud.stop().await, |config| {
        config.listen = address;
        config.signing_algorithm = SigningAlgorithm::Es256;
    })
    .await;
    assert_eq!(cloud.call(&token, Method::GET, "ExternalApiResource", None).await.status(), 200);
    assert_ne!(cloud.administrator_token().await, token);
}

#[tokio::test]
async fn lost_credentials_are_replaced_by_further_ones() {
    let cloud = start_on_file(tempfile::tempdir().unwrap(), |_| {}).await;
    let (before, path) = (cloud.administrator(), cloud.credentials_out.clone());
    let directory = cloud.stop().await;
    std::fs::remove_file(path).unwrap();
    let cloud = start_on_file(directory, |_| {}).await;
    assert_eq!(cloud.running.administrator(), AdministratorCredentials::Renewed);
    let after = cloud.administrator();
    assert_eq!(before.0, after.0);
    assert_ne!(before.1, after.1);
    cloud.token(&after, "PM.OAuthApp").await;
    cloud.token(&before, "PM.OAuthApp").await;
}

#[tokio::test]
async fn credentials_of_a_stand_in_that_kept_nothing_are_written_over() {
    let cloud = Cloud::start().await;
    let before = cloud.administrator();
    let cloud = Cloud::start_in(cloud.stop().await, |_| {}).await;
    assert_eq!(cloud.running.administrator(), AdministratorCredentials::Written);
    assert_ne!(cloud.administrator().0, before.0);
    cloud.administrator_token().await;
}

#[tokio::test]
async fn no_secret_stands_in_the_data_file_or_in_the_access_log() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("access.log");
    let cloud = start_on_file(directory, |config| config.access_log = Some(log.clone())).await;
    let (id, secret) = cloud.created("app", &json!([{ "name": "OR.Jobs", "type": 1 }])).await;
    let token = cloud.token(&(id.clone(), secret.clone()), "OR.Jobs").await;
    let administrator = cloud.administrator().1;
    let directory = cloud.stop().await;
    let credentials = directory.path().join("admin.yaml");
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let content = String::from_utf8_lossy(&bytes);
        assert!(!content.contains(&secret) && !content.contains(&token), "{}", path.display());
        assert!(path == credentials || !content.contains(&administrator), "{}", path.display());
    }
    let last = std::fs::read_to_string(log).unwrap().lines().last().unwrap().to_owned();
    let last: Value = serde_json::from_str(&last).unwrap();
    let expected = json!({ "method": "POST", "path": "/identity_/connect/token", "status": 200, "client_id": id });
    assert_eq!(last, expected);
}

#[tokio::test]
async fn only_its_own_client_is_named_in_the_access_log() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("access.log");
    let cloud = Cloud::start_in(directory, |config| config.access_log = Some(log.clone())).await;
    cloud.ask_for_token(&(cloud.administrator().0, "wrong".to_owned()), "PM.OAuthApp").await;
    let line: Value = serde_json::from_str(std::fs::read_to_string(log).unwrap().trim()).unwrap();
    assert_eq!((&line["status"], &line["client_id"]), (&json!(400), &Value::Null));
}

#[tokio::test]
async fn a_data_file_serves_one_process_and_one_organization() {
    let cloud = start_on_file(tempfile::tempdir().unwrap(), |_| {}).await;
    let config = |organization: &str, directory: &std::path::Path| {
        let mut config = Config::new("127.0.0.1:0".parse().unwrap(), organization);
        config.data = Some(directory.join("cloud.db"));
        config
    };
    let second = local_cloud::serve(config("acme", cloud.directory.path()), std::future::pending()).await;
    assert!(matches!(second, Err(Error::Store(StoreError::InUse { .. }))), "{second:?}");
    let directory = cloud.stop().await;
    let other = local_cloud::serve(config("other", directory.path()), std::future::pending()).await;
    assert!(matches!(other, Err(Error::OtherOrganization { .. })), "{other:?}");
}

#[tokio::test]
async fn only_loopback_is_listened_on() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let config = Config::new(address.parse().unwrap(), "acme");
        let refused = local_cloud::serve(config, std::future::pending()).await;
        assert!(matches!(refused, Err(Error::NotLoopback(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn an_organization_must_fit_into_a_url() {
    for name in ["", "identity_", "a/b", "a b", "ä"] {
        let refused =
            local_cloud::serve(Config::new("127.0.0.1:0".parse().unwrap(), name), std::future::pending()).await;
        assert!(matches!(refused, Err(Error::OrganizationName { .. })), "{refused:?}");
    }
}

#[tokio::test]
async fn a_file_of_somebody_else_is_never_taken_for_the_credentials() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.txt");
    std::fs::write(&path, "my notes").unwrap();
    let mut config = Config::new("127.0.0.1:0".parse().unwrap(), "acme");
    config.credentials_out = Some(path.clone());
    let refused = local_cloud::serve(config, std::future::pending()).await;
    assert!(matches!(refused, Err(Error::ForeignFile { .. })), "{refused:?}");
    assert_eq!(std::fs::read_to_string(path).unwrap(), "my notes");
}
