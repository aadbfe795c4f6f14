//! Putting users into folders, reading who is there, and taking them out.

use extapp::local_cloud::Deployment;
use serde_json::{Value, json};

use super::{NAMESPACE, of};
use crate::local_cloud::{Cloud, text};

/// The names and origins of the roles of the only member.
fn roles(members: &[Value]) -> Vec<(Value, Value)> {
    assert_eq!(members.len(), 1, "{members:?}");
    let roles = members[0]["Roles"].as_array().unwrap().iter();
    roles.map(|role| (role["Name"].clone(), role["Origin"].clone())).collect()
}

#[tokio::test]
async fn assigning_users_replaces_their_roles_in_that_folder_and_in_no_other() {
    let cloud = Cloud::start().await;
    cloud.application_with("robot", &["OR.Jobs"]).await;
    let tenant = cloud.tenant().await;
    let (one, two) = (tenant.folder("one", None).await, tenant.folder("two", None).await);
    let (reader, user) =
        (tenant.role_with("Reader", "Folder", &["Queues.View"]).await, tenant.import("robot", &[]).await);
    let automation = tenant.role("Automation User").await;
    for folder in [one, two] {
        assert_eq!(tenant.assign(user, folder, &[automation]).await.0, 204);
    }
    assert_eq!(tenant.assign(user, one, &[reader]).await.0, 204);
    assert_eq!(roles(&tenant.members(one, false).await), [(json!("Reader"), json!("Assigned"))]);
    assert_eq!(roles(&tenant.members(two, false).await), [(json!("Automation User"), json!("Assigned"))]);
    assert_eq!(tenant.assign(user, one, &[]).await.0, 204);
    assert_eq!(roles(&tenant.members(one, false).await), []);
    let again = [reader, automation, reader];
    assert_eq!(tenant.assign(user, one, &again).await.0, 204);
    assert_eq!(roles(&tenant.members(one, false).await).len(), 2);
}

#[tokio::test]
async fn assigning_by_directory_identifier_imports_and_then_replaces() {
    let cloud = Cloud::start().await;
    cloud.application_with("robot", &["OR.Jobs"]).await;
    let identifier = cloud.identifier("robot").await;
    let tenant = cloud.tenant().await;
    let shared = tenant.folder_at("Shared").await;
    let (reader, automation) =
        (tenant.role_with("Reader", "Folder", &["Queues.View"]).await, tenant.role("Automation User").await);
    for role in [automation, reader] {
        assert_eq!(tenant.assign_directory("AssignDirectoryUser", &identifier, shared, &[role]).await.0, 204);
    }
    let members = tenant.members(shared, false).await;
    assert_eq!(roles(&members), [(json!("Reader"), json!("Assigned"))]);
    assert_eq!(members[0]["UserEntity"]["Type"], "DirectoryExternalApplication");
    let users = tenant.list("odata/Users?$filter=Type%20eq%20'DirectoryExternalApplication'").await;
    assert_eq!(of(&users, "Key")[1], json!(identifier));
    assert_eq!((users.len(), &users[1]["RolesList"]), (2, &json!([])));
}

#[tokio::test]
async fn roles_from_above_are_shown_as_inherited_with_their_folder() {
    let cloud = Cloud::start().await;
    cloud.application_with("robot", &["OR.Jobs"]).await;
    let tenant = cloud.tenant().await;
    let top = tenant.folder("top", None).await;
    let leaf = tenant.folder("leaf", Some(tenant.folder("middle", Some(top)).await)).await;
    let user = tenant.import("robot", &[]).await;
    let (reader, automation) =
        (tenant.role_with("Reader", "Folder", &["Queues.View"]).await, tenant.role("Automation User").await);
    assert_eq!(tenant.assign(user, top, &[automation]).await.0, 204);
    assert_eq!(tenant.members(leaf, false).await, [Value::Null; 0]);
    let inherited = tenant.members(leaf, true).await;
    assert_eq!(roles(&inherited), [(json!("Automation User"), json!("Inherited"))]);
    assert_eq!(inherited[0]["UserEntity"]["IsInherited"], true);
    assert_eq!(inherited[0]["Roles"][0]["InheritedFromFolder"]["FullyQualifiedName"], "top");
    // Whoever is assigned too shows both kinds, whether or not inherited ones were asked for.
    assert_eq!(tenant.assign(user, leaf, &[reader]).await.0, 204);
    for with_inherited in [false, true] {
        let members = tenant.members(leaf, with_inherited).await;
        let both = [(json!("Reader"), json!("Assigned")), (json!("Automation User"), json!("Inherited"))];
        assert_eq!(roles(&members), both);
        assert_eq!(members[0]["UserEntity"]["IsInherited"], false);
        assert_eq!(members[0]["UserEntity"]["AssignedToFolderIds"], json!([top, leaf]));
    }
}

#[tokio::test]
async fn without_expansion_a_member_is_hardly_more_than_a_number() {
    let cloud = Cloud::start().await;
    cloud.application_with("robot", &["OR.Jobs"]).await;
    let tenant = cloud.tenant().await;
    let shared = tenant.folder_at("Shared").await;
    let user = tenant.import("robot", &[]).await;
    tenant.assign(user, shared, &[]).await;
    let path = format!("odata/Folders/{NAMESPACE}.GetUsersForFolder(key={shared},includeInherited=false)");
    assert_eq!(tenant.list(&path).await, [json!({ "Id": user })]);
    let filter = super::encoded("UserEntity/Type eq 'DirectoryUser'");
    assert_eq!(tenant.list(&format!("{path}?$filter={filter}")).await, [Value::Null; 0]);
    let filter = super::encoded("UserEntity/UserName eq 'robot'");
    assert_eq!(tenant.list(&format!("{path}?$filter={filter}&$expand=UserEntity")).await.len(), 1);
}

#[tokio::test]
async fn taking_a_user_out_of_a_folder_leaves_its_other_assignments() {
    let cloud = Cloud::start().await;
    cloud.application_with("robot", &["OR.Jobs"]).await;
    let tenant = cloud.tenant().await;
    let top = tenant.folder("top", None).await;
    let leaf = tenant.folder("leaf", Some(top)).await;
    let user = tenant.import("robot", &["Allow to be Automation User"]).await;
    let automation = tenant.role("Automation User").await;
    tenant.assign(user, top, &[automation]).await;
    let remove = async |folder: i64| {
        let path = format!("odata/Folders({folder})/{NAMESPACE}.RemoveUserFromFolder");
        tenant.post(&path, &json!({ "userId": user })).await.0
    };
    // What is inherited cannot be taken away where it is inherited.
    assert_eq!(remove(leaf).await, 404);
    assert_eq!((remove(top).await, remove(top).await), (204, 404));
    assert_eq!(tenant.members(leaf, true).await, [Value::Null; 0]);
    assert_eq!(
        tenant.get(&format!("odata/Users({user})")).await.1["RolesList"],
        json!(["Allow to be Automation User"])
    );
}

#[tokio::test]
async fn only_the_action_of_its_own_deployment_assigns() {
    for (deployment, right, wrong, refusal) in [
        (
            Deployment::AutomationCloud,
            "AssignDirectoryUser",
            "AssignDomainUser",
            (400, json!(1000), "Invalid OData query options."),
        ),
        (
            Deployment::AutomationSuite,
            "AssignDomainUser",
            "AssignDirectoryUser",
            (500, json!(0), "An unknown failure has occurred."),
        ),
    ] {
        let cloud = Cloud::start_with(|config| config.deployment = deployment).await;
        cloud.application_with("robot", &["OR.Jobs"]).await;
        let identifier = cloud.identifier("robot").await;
        let tenant = cloud.tenant().await;
        let shared = tenant.folder_at("Shared").await;
        let (status, answer) = tenant.assign_directory(wrong, &identifier, shared, &[]).await;
        let message = text(&answer, "message");
        assert_eq!((status, answer["errorCode"].clone(), message.trim()), refusal);
        assert_eq!(tenant.members(shared, false).await, [Value::Null; 0]);
        assert_eq!(tenant.assign_directory(right, &identifier, shared, &[]).await.0, 204);
        assert_eq!(tenant.members(shared, false).await.len(), 1);
    }
}

#[tokio::test]
async fn a_tenant_role_is_not_given_in_a_folder_nor_a_folder_role_in_a_tenant() {
    let cloud = Cloud::start().await;
    cloud.application_with("robot", &["OR.Jobs"]).await;
    let identifier = cloud.identifier("robot").await;
    let tenant = cloud.tenant().await;
    let shared = tenant.folder_at("Shared").await;
    let (for_tenant, for_folder) = (tenant.role("Tenant Administrator").await, tenant.role("Automation User").await);
    let mixed = tenant.role_with("Both", "Mixed", &["Queues.View", "Users.View"]).await;
    let user = tenant.import("robot", &[]).await;
    assert_eq!(tenant.assign(user, shared, &[mixed, for_tenant]).await.0, 400);
    let refused = tenant.assign_directory("AssignDirectoryUser", &identifier, shared, &[for_tenant]).await;
    assert_eq!(refused.0, 400);
    assert_eq!(tenant.members(shared, false).await, [Value::Null; 0]);
    let assign = format!("odata/Users({user})/{NAMESPACE}.AssignRoles");
    assert_eq!(tenant.post(&assign, &json!({ "roleIds": [mixed, for_folder] })).await.0, 400);
    let named = super::import_of(&identifier, &["Automation User"]);
    assert_eq!(tenant.delete(&format!("odata/Users({user})")).await.0, 204);
    assert_eq!(tenant.post("odata/Users", &named).await.0, 400);
    let user = tenant.import("robot", &["Both"]).await;
    assert_eq!(tenant.assign(user, shared, &[mixed]).await.0, 204);
}

#[tokio::test]
async fn a_request_with_one_wrong_part_changes_nothing() {
    let cloud = Cloud::start().await;
    cloud.application_with("robot", &["OR.Jobs"]).await;
    let identifier = cloud.identifier("robot").await;
    let tenant = cloud.tenant().await;
    let shared = tenant.folder_at("Shared").await;
    let user = tenant.import("robot", &[]).await;
    let automation = tenant.role("Automation User").await;
    for (users, folders) in [
        (json!([user, 999_999]), json!([{ "FolderId": shared, "RoleIds": [automation] }])),
        (
            json!([user]),
            json!([{ "FolderId": shared, "RoleIds": [automation] }, { "FolderId": 999_999, "RoleIds": [] }]),
        ),
        (json!([user]), json!([{ "FolderId": shared, "RoleIds": [automation, 999_999] }])),
    ] {
        let body = json!({ "assignments": { "UserIds": users, "RolesPerFolder": folders } });
        assert_eq!(tenant.post(&format!("odata/Folders/{NAMESPACE}.AssignUsers"), &body).await.0, 404);
        assert_eq!(tenant.members(shared, false).await, [Value::Null; 0]);
    }
    tenant.delete(&format!("odata/Users({user})")).await;
    let refused = tenant.assign_directory("AssignDirectoryUser", &identifier, shared, &[999_999]).await;
    assert_eq!((refused.0, refused.1["errorCode"].clone()), (404, json!(1002)));
    assert_eq!(tenant.list("odata/Users").await.len(), 1);
}

#[tokio::test]
async fn only_applications_with_application_scopes_enter_a_folder() {
    let cloud = Cloud::start().await;
    cloud.created("for people", &json!([{ "name": "OR.Jobs", "type": 0 }])).await;
    let identifier = cloud.identifier("for people").await;
    let tenant = cloud.tenant().await;
    let shared = tenant.folder_at("Shared").await;
    assert_eq!(tenant.assign_directory("AssignDirectoryUser", &identifier, shared, &[]).await.0, 400);
    let user = tenant.import("for people", &[]).await;
    assert_eq!(tenant.assign(user, shared, &[]).await.0, 400);
}

#[tokio::test]
async fn a_folder_takes_its_assignments_along() {
    let cloud = Cloud::start().await;
    cloud.application_with("robot", &["OR.Jobs"]).await;
    let tenant = cloud.tenant().await;
    let folder = tenant.folder("brief", None).await;
    let user = tenant.import("robot", &[]).await;
    let role = tenant.role_with("Brief", "Folder", &["Queues.View"]).await;
    tenant.assign(user, folder, &[role]).await;
    assert_eq!(tenant.delete(&format!("odata/Roles({role})")).await.0, 409);
    assert_eq!(tenant.delete(&format!("odata/Folders({folder})")).await.0, 204);
    let (_, read) = tenant.get(&format!("odata/Users({user})?$expand=OrganizationUnits")).await;
    assert_eq!(read["OrganizationUnits"], json!([]));
    assert_eq!(tenant.delete(&format!("odata/Roles({role})")).await.0, 204);
}
