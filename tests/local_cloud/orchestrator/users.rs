//! Users of a tenant.

use reqwest::Method;
use serde_json::{Value, json};

use super::{NAMESPACE, import_of, of};
use crate::local_cloud::Cloud;

#[tokio::test]
async fn an_application_is_imported_once_with_its_tenant_roles() {
    let cloud = Cloud::start().await;
    let client = cloud.application_with("robot", &["OR.Jobs"]).await;
    let identifier = cloud.identifier("robot").await;
    assert_ne!(identifier, client.0);
    let tenant = cloud.tenant().await;
    let import = import_of(&identifier, &["Allow to be Automation User"]);
    let (status, made) = tenant.post("odata/Users", &import).await;
    assert_eq!((status, &made["Key"], made.get("DirectoryIdentifier")), (201, &json!(identifier), None));
    assert_eq!(made["RolesList"], json!(["Allow to be Automation User"]));
    let (status, again) = tenant.post("odata/Users", &import).await;
    assert_eq!((status, &again["errorCode"]), (409, &json!(1001)));
    let (_, read) = tenant.get(&format!("odata/Users({})?$expand=UserRoles,OrganizationUnits", made["Id"])).await;
    assert_eq!(read["UserRoles"][0]["RoleName"], "Allow to be Automation User");
    let filter = super::encoded(&format!("Key eq {identifier} and UserName eq 'robot'"));
    assert_eq!(tenant.list(&format!("odata/Users?$filter={filter}")).await.len(), 1);
}

#[tokio::test]
async fn an_import_that_leaves_something_out_is_refused() {
    let cloud = Cloud::start().await;
    let client = cloud.application_with("robot", &["OR.Jobs"]).await;
    let identifier = cloud.identifier("robot").await;
    let tenant = cloud.tenant().await;
    let import = async |change: &dyn Fn(&mut Value)| {
        let mut body = import_of(&identifier, &[]);
        change(&mut body);
        tenant.post("odata/Users", &body).await.0
    };
    let without = |name: &'static str| move |body: &mut Value| drop(body.as_object_mut().unwrap().remove(name));
    for name in ["UpdatePolicy", "DirectoryIdentifier", "Domain", "Type"] {
        assert_eq!(import(&without(name)).await, 400, "{name}");
    }
    assert_eq!(import(&|body| body["DirectoryIdentifier"] = json!(client.0)).await, 400);
    assert_eq!(import(&|body| body["Type"] = json!("DirectoryUser")).await, 400);
    assert_eq!(import(&|body| body["Type"] = json!("Robot")).await, 400);
    assert_eq!(import(&|body| body["Domain"] = json!("elsewhere")).await, 400);
    assert_eq!(import(&|body| body["RolesList"] = json!(["Nobody"])).await, 404);
    assert_eq!(import(&|_| {}).await, 201);
}

#[tokio::test]
async fn assigning_roles_replaces_the_tenant_roles() {
    let cloud = Cloud::start().await;
    cloud.application_with("robot", &["OR.Jobs"]).await;
    let tenant = cloud.tenant().await;
    let user = tenant.import("robot", &["Allow to be Automation User"]).await;
    let publisher = tenant.role("Allow to be Automation Publisher").await;
    let assign = async |roles: Value| {
        tenant.post(&format!("odata/Users({user})/{NAMESPACE}.AssignRoles"), &json!({ "roleIds": roles })).await.0
    };
    let roles = async || tenant.get(&format!("odata/Users({user})")).await.1["RolesList"].clone();
    assert_eq!((assign(json!([publisher])).await, roles().await), (200, json!(["Allow to be Automation Publisher"])));
    assert_eq!((assign(json!([999_999])).await, assign(json!([publisher, publisher])).await), (404, 200));
    assert_eq!((assign(json!([])).await, roles().await), (200, json!([])));
}

#[tokio::test]
async fn an_update_replaces_the_roles_and_a_patch_leaves_alone_what_it_does_not_name() {
    let cloud = Cloud::start().await;
    cloud.application_with("robot", &["OR.Jobs"]).await;
    let tenant = cloud.tenant().await;
    let user = tenant.import("robot", &["Allow to be Automation User"]).await;
    let path = format!("odata/Users({user})");
    let roles = async || tenant.get(&path).await.1["RolesList"].clone();
    assert_eq!(tenant.send(Method::PATCH, &path, Some(&json!({ "IsActive": true })), None).await.0, 200);
    assert_eq!(roles().await, json!(["Allow to be Automation User"]));
    let other = json!({ "RolesList": ["Allow to be Automation Publisher"] });
    assert_eq!(tenant.send(Method::PATCH, &path, Some(&other), None).await.0, 200);
    assert_eq!(roles().await, json!(["Allow to be Automation Publisher"]));
    assert_eq!(tenant.send(Method::PUT, &path, Some(&other), None).await.0, 400);
    let whole = json!({ "Id": user, "UpdatePolicy": { "Type": "None" } });
    assert_eq!(tenant.send(Method::PUT, &path, Some(&whole), None).await.0, 200);
    assert_eq!(roles().await, json!([]));
    let becomes_another = json!({ "Type": "DirectoryUser", "UpdatePolicy": { "Type": "None" } });
    assert_eq!(tenant.send(Method::PUT, &path, Some(&becomes_another), None).await.0, 400);
}

#[tokio::test]
async fn a_user_outlives_its_application_until_somebody_deletes_it() {
    let cloud = Cloud::start().await;
    let client = cloud.application_with("robot", &["OR.Jobs"]).await;
    let identifier = cloud.identifier("robot").await;
    let tenant = cloud.tenant().await;
    let shared = tenant.folder_at("Shared").await;
    let user = tenant.import("robot", &[]).await;
    tenant.assign(user, shared, &[]).await;
    assert_eq!(cloud.manage(Method::DELETE, &cloud.path_of(&client.0), None).await.0, 204);
    assert_eq!(of(&tenant.list("odata/Users").await, "Key")[1], json!(identifier));
    assert_eq!(of(&tenant.members(shared, false).await, "Id"), [json!(user)]);
    assert_eq!(tenant.assign(user, shared, &[]).await.0, 400);
    assert_eq!(tenant.post("odata/Users", &import_of(&identifier, &[])).await.0, 400);
    // A namesake is somebody else.
    cloud.application_with("robot", &["OR.Jobs"]).await;
    assert_ne!(cloud.identifier("robot").await, identifier);
    let path = format!("odata/Users({user})");
    assert_eq!((tenant.delete(&path).await.0, tenant.delete(&path).await.0), (204, 404));
    assert_eq!(tenant.members(shared, true).await, [Value::Null; 0]);
}
