//! Roles.

use reqwest::Method;
use serde_json::json;

use super::NAMESPACE;
use crate::local_cloud::Cloud;

#[tokio::test]
async fn a_role_of_ones_own_is_made_changed_and_deleted() {
    let cloud = Cloud::start().await;
    let tenant = cloud.tenant().await;
    let id = tenant.role_with("Reader", "Folder", &["Queues.View", "Queues.View", "Jobs.View"]).await;
    let path = format!("odata/Roles({id})");
    let (_, read) = tenant.get(&format!("{path}?$expand=Permissions")).await;
    assert_eq!(
        (&read["Type"], &read["IsStatic"], &read["IsEditable"]),
        (&json!("Folder"), &json!(false), &json!(true))
    );
    let names: Vec<_> = read["Permissions"].as_array().unwrap().iter().map(|one| one["Name"].clone()).collect();
    assert_eq!(names, ["Jobs.View", "Queues.View"]);
    let granted = |name: &str, yes: bool| json!({ "Name": name, "IsGranted": yes });
    let body = json!({ "Name": "READER", "Permissions": [granted("Jobs.View", false), granted("Assets.View", true)] });
    assert_eq!(tenant.send(Method::PUT, &path, Some(&body), None).await.0, 200);
    let (_, read) = tenant.get(&format!("{path}?$expand=Permissions")).await;
    assert_eq!((&read["Name"], &read["Permissions"][0]["Name"]), (&json!("READER"), &json!("Assets.View")));
    assert_eq!((tenant.delete(&path).await.0, tenant.get(&path).await.0), (204, 404));
}

#[tokio::test]
async fn names_are_unique_whatever_their_case_and_permissions_count_where_the_role_does() {
    let cloud = Cloud::start().await;
    let tenant = cloud.tenant().await;
    let refused = async |name: &str, kind: &str, permission: &str| {
        let body = json!({ "Name": name, "Type": kind, "Permissions": [{ "Name": permission, "IsGranted": true }] });
        let (status, answer) = tenant.post("odata/Roles", &body).await;
        (status, answer["errorCode"].as_i64())
    };
    assert_eq!(refused("automation user", "Folder", "Queues.View").await, (409, Some(1001)));
    assert_eq!(refused("new", "Folder", "Units.View").await, (400, Some(1000)));
    assert_eq!(refused("new", "Tenant", "Queues.View").await, (400, Some(1000)));
    assert_eq!(refused("new", "Folder", "Queues.Peek").await, (400, Some(1000)));
    assert_eq!(refused(" ", "Folder", "Queues.View").await, (400, Some(1000)));
    assert_eq!(refused("new", "Mixed", "Units.View").await.0, 201);
}

#[tokio::test]
async fn a_built_in_role_stays_as_it_is_and_an_assigned_one_stays() {
    let cloud = Cloud::start().await;
    cloud.application_with("robot", &["OR.Jobs"]).await;
    let tenant = cloud.tenant().await;
    let built_in = format!("odata/Roles({})", tenant.role("Automation User").await);
    assert_eq!(tenant.delete(&built_in).await.0, 400);
    assert_eq!(tenant.send(Method::PUT, &built_in, Some(&json!({ "Name": "x" })), None).await.0, 400);
    let own = tenant.role_with("Own", "Tenant", &["Users.View"]).await;
    let user = tenant.import("robot", &["Own"]).await;
    assert_eq!(tenant.delete(&format!("odata/Roles({own})")).await.0, 409);
    let body = json!({ "Name": "Own", "Type": "Folder" });
    assert_eq!(tenant.send(Method::PUT, &format!("odata/Roles({own})"), Some(&body), None).await.0, 400);
    tenant.post(&format!("odata/Users({user})/{NAMESPACE}.AssignRoles"), &json!({ "roleIds": [] })).await;
    assert_eq!(tenant.delete(&format!("odata/Roles({own})")).await.0, 204);
}
