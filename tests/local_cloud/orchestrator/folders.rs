//! The tree of folders.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Session, encoded, of};
use crate::local_cloud::Cloud;

#[tokio::test]
async fn a_new_tenant_has_a_shared_folder_and_the_built_in_roles() {
    let cloud = Cloud::start().await;
    let tenant = cloud.tenant().await;
    let folders = tenant.list("odata/Folders").await;
    assert_eq!(of(&folders, "FullyQualifiedName"), ["Shared"]);
    assert_eq!((&folders[0]["PermissionModel"], folders[0].get("ParentId")), (&json!("FineGrained"), None));
    let roles = tenant.list("odata/Roles?$expand=Permissions").await;
    let kind = |name: &str| roles.iter().find(|role| role["Name"] == name).map(|role| role["Type"].clone());
    assert_eq!(kind("Tenant Administrator"), Some(json!("Tenant")));
    assert_eq!(kind("Allow to be Automation User"), Some(json!("Tenant")));
    assert_eq!(kind("Folder Administrator"), Some(json!("Folder")));
    assert_eq!(kind("Automation User"), Some(json!("Folder")));
    for role in &roles {
        assert_eq!((&role["IsStatic"], &role["IsEditable"]), (&json!(true), &json!(false)));
        assert!(!role["Permissions"].as_array().unwrap().is_empty(), "{role}");
    }
}

/// Names that a careless client quotes wrongly.
const AWKWARD: [&str; 8] =
    ["O'Brien & Søn", "100% a+b=c?", "Prüfung #1", "財務部", "a''b", "x) or (Id gt 0", "\"quoted\" \\ back", "👩‍💻 Team"];

async fn tree(tenant: &Session<'_>) -> Vec<String> {
    let (mut parent, mut path, mut paths) = (None, String::new(), Vec::new());
    for name in AWKWARD {
        parent = Some(tenant.folder(name, parent).await);
        path = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
        paths.push(path.clone());
    }
    paths
}

#[tokio::test]
async fn folders_are_found_by_their_path_whatever_their_names_are() {
    let cloud = Cloud::start().await;
    let tenant = cloud.tenant().await;
    for path in tree(&tenant).await {
        let id = tenant.folder_at(&path).await;
        let (status, read) = tenant.get(&format!("odata/Folders({id})")).await;
        assert_eq!((status, &read["FullyQualifiedName"]), (200, &json!(path)));
    }
}

#[tokio::test]
async fn a_deep_tree_names_every_parent() {
    let cloud = Cloud::start().await;
    let tenant = cloud.tenant().await;
    let mut parent = tenant.folder("0", None).await;
    for level in 1..40 {
        let id = tenant.folder(&level.to_string(), Some(parent)).await;
        let (_, read) = tenant.get(&format!("odata/Folders({id})")).await;
        assert_eq!(read["ParentId"], parent);
        parent = id;
    }
    let path: Vec<_> = (0..40).map(|level| level.to_string()).collect();
    assert_eq!(tenant.folder_at(&path.join("/")).await, parent);
}

#[tokio::test]
async fn a_new_name_changes_the_paths_of_everything_below() {
    let cloud = Cloud::start().await;
    let tenant = cloud.tenant().await;
    let top = tenant.folder("Ünter", None).await;
    let middle = tenant.folder("Ünter", Some(top)).await;
    let leaf = tenant.folder("leaf", Some(middle)).await;
    let other = tenant.folder("Ünterwegs", None).await;
    let body = json!({ "Id": top, "DisplayName": "Over", "Description": "new" });
    let (status, read) = tenant.send(Method::PUT, &format!("odata/Folders({top})"), Some(&body), None).await;
    assert_eq!((status, &read["Description"]), (200, &json!("new")));
    let path = async |id: i64| tenant.get(&format!("odata/Folders({id})")).await.1["FullyQualifiedName"].clone();
    assert_eq!((path(leaf).await, path(other).await), (json!("Over/Ünter/leaf"), json!("Ünterwegs")));
    assert_eq!(tenant.folder_at("Over/Ünter").await, middle);
}

#[tokio::test]
async fn names_that_would_confuse_paths_are_refused() {
    let cloud = Cloud::start().await;
    let tenant = cloud.tenant().await;
    let shared = tenant.folder_at("Shared").await;
    tenant.folder("Finance", Some(shared)).await;
    let create = async |name: &str, parent: Value| {
        let mut body = json!({ "DisplayName": name });
        if !parent.is_null() {
            body["ParentId"] = parent;
        }
        let (status, answer) = tenant.post("odata/Folders", &body).await;
        (status, answer["errorCode"].clone())
    };
    for name in ["a/b", "/", " a", "a ", "a\nb"] {
        assert_eq!(create(name, Value::Null).await, (400, json!(1000)), "{name}");
    }
    assert_eq!(create("shared", Value::Null).await, (409, json!(1001)));
    assert_eq!(create("FINANCE", json!(shared)).await, (409, json!(1001)));
    assert_eq!(create("Finance", Value::Null).await.0, 201);
    assert_eq!(create("x", json!(999_999)).await, (404, json!(1100)));
}

#[tokio::test]
async fn a_folder_stays_where_it_is_and_goes_only_when_nothing_is_below() {
    let cloud = Cloud::start().await;
    let tenant = cloud.tenant().await;
    let (top, other) = (tenant.folder("top", None).await, tenant.folder("other", None).await);
    let leaf = tenant.folder("leaf", Some(top)).await;
    let body = json!({ "DisplayName": "leaf", "ParentId": other });
    assert_eq!(tenant.send(Method::PUT, &format!("odata/Folders({leaf})"), Some(&body), None).await.0, 400);
    assert_eq!(tenant.delete(&format!("odata/Folders({top})")).await.0, 409);
    for id in [leaf, top] {
        assert_eq!(tenant.delete(&format!("odata/Folders({id})")).await.0, 204);
        assert_eq!(tenant.get(&format!("odata/Folders({id})")).await.0, 404);
        assert_eq!(tenant.delete(&format!("odata/Folders({id})")).await.1["errorCode"], 1100);
    }
    // A number is not used again.
    assert!(tenant.folder("leaf", None).await > leaf);
}

#[tokio::test]
async fn a_filter_takes_names_by_their_very_letters() {
    let cloud = Cloud::start().await;
    let tenant = cloud.tenant().await;
    let count = async |filter: &str| tenant.list(&format!("odata/Folders?$filter={}", encoded(filter))).await.len();
    assert_eq!(count("FullyQualifiedName eq 'Shared'").await, 1);
    assert_eq!(count("FullyQualifiedName eq 'shared'").await, 0);
    assert_eq!(count("tolower(DisplayName) eq 'shared' and ParentId eq null").await, 1);
}
