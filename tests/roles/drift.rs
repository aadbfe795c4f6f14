//! What others change in the tenant, and that nothing is written where nothing changed.

use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::{Office, READER, WRITER, in_finance};
use crate::support::world::{LIMIT, Variations};
use crate::support::{Result, eventually};

fn often() -> Variations {
    Variations { server: "  driftInterval: 2s\n".into(), ..Variations::default() }
}

#[tokio::test]
async fn roles_that_others_changed_are_set_right_by_the_next_sweep() -> Result<()> {
    let office = Office::new("roles-drift", often()).await?;
    let folders = format!(
        "  roles: [Allow to be Automation User]\n  folders:\n  - {{path: Shared/Finance, roles: [{READER}]}}\n  - {{path: Shared/People, roles: [{READER}]}}\n"
    );
    office.world.permit("worker", "worker", &folders).await?;
    office.world.until_permitted("worker").await?;
    let tenant = office.tenant().await?;
    let user = tenant.user("worker").await?;
    let worker = office.workload("worker").await?;
    // More than is listed, less, and nothing at all.
    tenant.assign(user, office.finance, &[tenant.role_id(WRITER).await?]).await?;
    let remove = format!("/odata/Folders({})/UiPath.Server.Configuration.OData.RemoveUserFromFolder", office.people);
    tenant.call(reqwest::Method::POST, &remove, Some(json!({"userId": user}))).await?;
    let roles = format!("/odata/Users({user})/UiPath.Server.Configuration.OData.AssignRoles");
    tenant.call(reqwest::Method::POST, &roles, Some(json!({"roleIds": []}))).await?;
    eventually("the roles are as listed", LIMIT, async || {
        let narrowed = tenant
            .members(office.finance)
            .await?
            .get("worker")
            .is_some_and(|roles| roles.contains(READER) && roles.len() == 1);
        let tenant_roles = tenant.applications().await?.remove(&user).unwrap_or_default();
        let right = narrowed && worker.reads(office.people).await? && tenant_roles.len() == 1;
        Ok(right.then_some(()))
    })
    .await?;
    // The whole user.
    tenant.call(reqwest::Method::DELETE, &format!("/odata/Users({user})"), None).await?;
    eventually("the user is there again", LIMIT, async || Ok(worker.reads(office.finance).await?.then_some(())))
        .await?;
    let events = office.world.operator.logs();
    assert!(events.contains("DriftCorrected"), "it is said");
    Ok(())
}

#[tokio::test]
async fn under_observe_differences_are_reported_and_nothing_is_written() -> Result<()> {
    let office = Office::new("roles-observe", often()).await?;
    let writes = || -> Result<usize> {
        let log = office.world.cloud.access_log()?;
        Ok(log.iter().filter(|line| line.contains("orchestrator_") && !line.contains("\"GET\"")).count())
    };
    let before = writes()?;
    let watch = format!("  management: Observe\n{}", in_finance());
    office.world.permit("worker", "worker", &watch).await?;
    let drifted = |status: &extapp::api::RoleAssignmentStatus| {
        status.conditions.iter().any(|c| c.type_ == "Drifted" && c.status == "True" && c.message.contains(READER))
    };
    office.world.until_permit("worker", drifted).await?;
    assert!(!office.workload("worker").await?.reads(office.finance).await?);
    office.world.sweeps(2).await?;
    assert_eq!(writes()?, before, "something was written in the tenant");
    let object = office.world.role_assignments().get("worker").await?;
    assert!(object.metadata.finalizers.unwrap_or_default().is_empty(), "there is nothing to take away");
    office.delete("worker").await
}

#[tokio::test]
async fn where_nothing_changed_nothing_is_written_through_sweeps_and_a_restart() -> Result<()> {
    let mut office = Office::new("roles-still", often()).await?;
    for name in ["one", "two", "three"] {
        office.register(name).await?;
        let folders = format!(
            "  roles: [Allow to be Automation User]\n  folders:\n  - {{path: Shared/Finance, roles: [{READER}]}}\n  - {{path: Shared/People, roles: [{WRITER}]}}\n"
        );
        office.world.permit(name, name, &folders).await?;
        office.world.until_permitted(name).await?;
    }
    office.world.sweeps(1).await?;
    let (versions, writes) = (office.world.versions().await?, office.world.server_writes()?);
    office.world.sweeps(3).await?;
    office.world.operator.restart().await?;
    office.world.sweeps(2).await?;
    assert_eq!(office.world.versions().await?, versions);
    assert_eq!(office.world.server_writes()?, writes);
    Ok(())
}

#[tokio::test]
async fn a_suspended_assignment_is_left_as_it_is() -> Result<()> {
    let office = Office::new("roles-suspend", often()).await?;
    office.permit_finance("worker").await?;
    let patch =
        Patch::Merge(json!({"spec": {"suspend": true, "folders": [{"path": "Shared/People", "roles": [READER]}]}}));
    office.world.role_assignments().patch("worker", &PatchParams::default(), &patch).await?;
    let suspended = |status: &extapp::api::RoleAssignmentStatus| {
        status.conditions.iter().any(|c| c.type_ == "Ready" && c.reason == "Suspended")
    };
    office.world.until_permit("worker", suspended).await?;
    office.world.sweeps(2).await?;
    let worker = office.workload("worker").await?;
    assert!(worker.reads(office.finance).await? && !worker.reads(office.people).await?);
    office.edit("worker", json!({"suspend": false})).await?;
    assert!(!worker.reads(office.finance).await? && worker.reads(office.people).await?);
    Ok(())
}

#[tokio::test]
async fn a_deletion_waits_for_its_server_and_ends_when_told_to() -> Result<()> {
    let mut office = Office::new("roles-farewell", Variations::default()).await?;
    office.permit_finance("worker").await?;
    office.world.cloud.kill9()?;
    let api = office.world.role_assignments();
    api.delete("worker", &kube::api::DeleteParams::default()).await?;
    let waiting = |status: &extapp::api::RoleAssignmentStatus| {
        status.conditions.iter().any(|c| c.type_ == "Ready" && c.message.contains("extapp.dev/abandon"))
    };
    office.world.until_permit("worker", waiting).await?;
    let abandon = Patch::Merge(json!({"metadata": {"annotations": {"extapp.dev/abandon": "true"}}}));
    api.patch("worker", &PatchParams::default(), &abandon).await?;
    eventually("worker is gone", LIMIT, async || Ok(api.get_opt("worker").await?.is_none().then_some(()))).await
}
