//! What cannot be assigned is named with the way out, and the rest is assigned all the same.

use kube::Api;
use serde_json::json;

use super::{Office, READER};
use crate::support::Result;
use crate::support::world::Variations;

#[tokio::test]
async fn an_unknown_folder_or_role_is_named_with_the_nearest_one_and_the_rest_is_applied() -> Result<()> {
    let office = Office::new("roles-unknown", Variations::default()).await?;
    let folders = format!(
        "  folders:\n  - {{path: Shared/Finanec, roles: [{READER}]}}\n  - {{path: Shared/People, roles: [{READER}, Queue Reeder]}}\n"
    );
    office.world.permit("worker", "worker", &folders).await?;
    let message = office.world.until_not_permitted("worker", "UnknownFolder").await?;
    assert!(message.contains("folder Shared/Finanec: unknown; did you mean Shared/Finance?"), "{message}");
    assert!(message.contains("role Queue Reeder: unknown; did you mean Queue Reader?"), "{message}");
    let worker = office.workload("worker").await?;
    assert!(worker.reads(office.people).await? && !worker.reads(office.finance).await?);
    office.edit("worker", json!({"folders": [{"path": "Shared/Finance", "roles": [READER]}]})).await?;
    assert!(worker.reads(office.finance).await? && !worker.reads(office.people).await?);
    Ok(())
}

#[tokio::test]
async fn a_role_in_the_wrong_place_is_told_where_it_belongs() -> Result<()> {
    let office = Office::new("roles-place", Variations::default()).await?;
    office
        .world
        .permit(
            "worker",
            "worker",
            &format!(
                "  roles: [{READER}]\n  folders: [{{path: Shared/Finance, roles: [Allow to be Automation User]}}]\n"
            ),
        )
        .await?;
    let message = office.world.until_not_permitted("worker", "WrongRoleType").await?;
    assert!(message.contains("list it under a folder") && message.contains("list it under spec.roles"), "{message}");
    Ok(())
}

#[tokio::test]
async fn applications_that_cannot_have_roles_are_refused_and_those_that_are_not_there_are_waited_for() -> Result<()> {
    let office = Office::new("roles-unfit", Variations::default()).await?;
    let home = office.world.home.name();
    office.world.non_confidential(home, "desktop", "").await?;
    office
        .world
        .apply("apiVersion: extapp.dev/v1alpha1\nkind: ExternalApplication\nmetadata: {name: portal}\nspec:\n  serverRef: {name: cloud}\n  type: Confidential\n  redirectUris: ['https://portal.example.com/callback']\n  resources:\n  - name: UiPath.Orchestrator\n    userScopes: [OR.Jobs.Read]\n")
        .await?;
    let folders = format!("  folders: [{{path: Shared/Finance, roles: [{READER}]}}]\n");
    for name in ["desktop", "portal", "later"] {
        office.world.permit(name, name, &folders).await?;
    }
    for name in ["desktop", "portal"] {
        office.world.until_ready(name).await?;
        office.world.until_not_permitted(name, "ApplicationUnsuitable").await?;
    }
    office.world.until_not_permitted("later", "ApplicationNotFound").await?;
    let later = office.world.role_assignments().get("later").await?;
    let stalled = later.status.iter().flat_map(|status| &status.conditions).any(|c| c.type_ == "Stalled");
    assert!(!stalled, "it waits");
    office.register("later").await?;
    office.world.until_permitted("later").await?;
    assert!(office.workload("later").await?.reads(office.finance).await?);
    Ok(())
}

#[tokio::test]
async fn a_namesake_never_gets_the_roles() -> Result<()> {
    let office = Office::new("roles-namesake", Variations::default()).await?;
    office.world.foreign_registration("worker").await?;
    office.world.foreign_registration("worker-of-another-team").await?;
    let folders = format!("  folders: [{{path: Shared/Finance, roles: [{READER}]}}]\n");
    office.world.permit("worker", "worker", &folders).await?;
    let status = office
        .world
        .until_permit("worker", |status| {
            status
                .conditions
                .iter()
                .any(|c| c.type_ == "Ready" && (c.status == "True" || c.reason == "PrincipalAmbiguous"))
        })
        .await?
        .status
        .unwrap_or_default();
    let worker = office.workload("worker").await?;
    let granted = status.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True");
    assert_eq!(worker.reads(office.finance).await?, granted, "either ours has them or nobody");
    let members = office.tenant().await?.members(office.finance).await?;
    assert_eq!(members.len(), usize::from(granted), "{members:?}");
    Ok(())
}

#[tokio::test]
async fn another_tenant_is_another_world_and_one_that_does_not_exist_is_said() -> Result<()> {
    let cloud = vec!["--tenant".into(), "Test".into()];
    let office = Office::new("roles-tenant", Variations { cloud, ..Variations::default() }).await?;
    let elsewhere = crate::support::orchestrator::Tenant::of(&office.world.cloud, "Test").await?;
    elsewhere.folder_role(READER, &["Queues.View"]).await?;
    let folder = elsewhere.folder("Shared/Finance").await?;
    let in_tenant = |name: &str, tenant: &str| {
        format!(
            "apiVersion: extapp.dev/v1alpha1\nkind: RoleAssignment\nmetadata: {{name: {name}}}\nspec:\n  applicationRef: {{name: worker}}\n  tenant: {tenant}\n  folders: [{{path: Shared/Finance, roles: [{READER}]}}]\n"
        )
    };
    office.world.apply(&in_tenant("test", "Test")).await?;
    office.world.apply(&in_tenant("nowhere", "Nowhere")).await?;
    office.world.until_permitted("test").await?;
    let keys = office.world.secret(office.world.home.name(), "worker-oauth").await?;
    assert!(elsewhere.workload(&keys, "OR.Default").await?.reads(folder).await?);
    assert!(!office.workload("worker").await?.reads(office.finance).await?, "in the other tenant nothing is permitted");
    let message = office.world.until_not_permitted("nowhere", "TenantNotFound").await?;
    assert!(message.contains("tenant Nowhere"), "{message}");
    Ok(())
}

#[tokio::test]
async fn a_namespace_that_lost_its_consent_gets_no_roles() -> Result<()> {
    let server = "  allowedNamespaces:\n    from: Selector\n    selector: {matchLabels: {oauth: allowed}}\n".into();
    let office = Office::new("roles-consent", Variations { server, tenants: 1, ..Variations::default() }).await?;
    let (world, tenant) = (&office.world, office.world.tenants[0].name());
    let label = |value: serde_json::Value| {
        let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(world.client.clone());
        async move {
            let patch = kube::api::Patch::Merge(json!({"metadata": {"labels": {"oauth": value}}}));
            namespaces.patch(tenant, &kube::api::PatchParams::default(), &patch).await.map(|_| ())
        }
    };
    label(json!("allowed")).await?;
    world.confidential(tenant, "guest", "").await?;
    world.until(tenant, "guest", |_, status| crate::support::world::ready(&status.conditions)).await?;
    label(json!(null)).await?;
    let yaml = format!(
        "apiVersion: extapp.dev/v1alpha1\nkind: RoleAssignment\nmetadata: {{name: guest}}\nspec:\n  applicationRef: {{name: guest}}\n  tenant: DefaultTenant\n  folders: [{{path: Shared/Finance, roles: [{READER}]}}]\n"
    );
    crate::support::apply_yaml_in(&world.client, tenant, &yaml).await?;
    let api: Api<extapp::api::RoleAssignment> = Api::namespaced(world.client.clone(), tenant);
    let refused = |object: Option<&extapp::api::RoleAssignment>| {
        object.and_then(|object| object.status.as_ref()).is_some_and(|status| {
            status.conditions.iter().any(|c| c.type_ == "Ready" && c.reason == "NamespaceNotAllowed")
        })
    };
    crate::support::wait_for(api, "guest", crate::support::world::LIMIT, refused).await?;
    assert!(office.tenant().await?.members(office.finance).await?.is_empty());
    Ok(())
}
