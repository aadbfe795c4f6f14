//! Collections come in pages.

use serde_json::{Value, json};

use super::{Session, of};
use crate::local_cloud::{Cloud, text};

/// Follows the links from `path` on, and returns all entities and how many pages there were.
async fn all(tenant: &Session<'_>, path: &str) -> (Vec<Value>, usize) {
    let base = format!("{}/DefaultTenant/orchestrator_/", tenant.cloud.running.url());
    let (mut path, mut entities, mut pages) = (path.to_owned(), Vec::new(), 0);
    loop {
        let (status, page) = tenant.get(&path).await;
        assert_eq!(status, 200, "{page}");
        entities.extend(page["value"].as_array().unwrap().clone());
        pages += 1;
        assert!(pages < 50, "the links lead nowhere");
        let Some(link) = page["@odata.nextLink"].as_str() else { return (entities, pages) };
        link.strip_prefix(&base).unwrap_or_else(|| panic!("{link} leads elsewhere")).clone_into(&mut path);
    }
}

#[tokio::test]
async fn whoever_follows_the_links_sees_every_entity_once() {
    let cloud = Cloud::start_with(|config| config.largest_page = 3).await;
    let tenant = cloud.tenant().await;
    for index in 0..8 {
        tenant.folder(&format!("f{index}"), None).await;
        tenant.role_with(&format!("r{index}"), "Folder", &[]).await;
        cloud.application_with(&format!("a{index}"), &["OR.Jobs"]).await;
        let user = tenant.import(&format!("a{index}"), &[]).await;
        tenant.assign(user, tenant.folder_at("Shared").await, &[]).await;
    }
    let shared = tenant.folder_at("Shared").await;
    let members = format!("odata/Folders/{}.GetUsersForFolder(key={shared},includeInherited=true)", super::NAMESPACE);
    let cases: [(String, usize); 7] = [
        ("odata/Folders".to_owned(), 9),
        ("odata/Roles?$expand=Permissions".to_owned(), 16),
        ("odata/Users?$orderby=UserName%20desc".to_owned(), 9),
        (format!("{members}?$expand=UserEntity,Roles"), 8),
        ("odata/Folders?$top=7".to_owned(), 7),
        ("odata/Folders?$skip=4".to_owned(), 5),
        ("odata/Folders?$filter=startswith(DisplayName,'f')%20and%20Id%20gt%200&$top=1000".to_owned(), 8),
    ];
    for (path, count) in cases {
        let (entities, pages) = all(&tenant, &path).await;
        let mut ids: Vec<_> = of(&entities, "Id").iter().map(|id| id.as_i64().unwrap()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!((entities.len(), ids.len(), pages), (count, count, count.div_ceil(3)), "{path}");
    }
}

#[tokio::test]
async fn a_full_page_says_how_many_there_are_and_where_it_goes_on() {
    let cloud = Cloud::start_with(|config| config.largest_page = 2).await;
    let tenant = cloud.tenant().await;
    for name in ["b", "a", "c"] {
        tenant.folder(name, None).await;
    }
    let (_, page) = tenant.get("odata/Folders?$top=3&$select=DisplayName&$orderby=DisplayName").await;
    assert_eq!(
        (&page["@odata.count"], of(page["value"].as_array().unwrap(), "DisplayName")),
        (&json!(4), vec![json!("Shared"), json!("a")])
    );
    let link = text(&page, "@odata.nextLink");
    assert!(link.contains("%24top=1") && link.contains("%24skip=2"), "{link}");
    let (_, page) = tenant.get("odata/Folders?$top=2&$count=false").await;
    assert_eq!((page.get("@odata.count"), page.get("@odata.nextLink")), (None, None));
    let (_, page) = tenant.get("odata/Folders?$top=0").await;
    assert_eq!((&page["@odata.count"], &page["value"], page.get("@odata.nextLink")), (&json!(4), &json!([]), None));
    let (_, page) = tenant.get("odata/Folders?$skip=100").await;
    assert_eq!(page["value"], json!([]));
}

#[tokio::test]
async fn a_thousand_folders_and_a_hundred_roles_are_there_page_by_page() {
    let cloud = Cloud::start().await;
    let tenant = cloud.tenant().await;
    let mut parent = None;
    for index in 0..1_000 {
        let id = tenant.folder(&format!("folder {index}"), parent).await;
        if index % 100 == 0 {
            parent = Some(id);
        }
    }
    for index in 0..100 {
        tenant.role_with(&format!("role {index}"), "Folder", &["Queues.View"]).await;
    }
    assert_eq!(all(&tenant, "odata/Folders").await.1, 11);
    assert_eq!(all(&tenant, "odata/Roles?$expand=Permissions").await.1, 2);
    assert_eq!(
        tenant.folder_at("folder 0/folder 100/folder 101").await,
        tenant.folder_at("folder 0/folder 100").await + 1
    );
}
