//! What must not happen: somebody else's roles taken away, a stray answer believed, one tenant's trouble made everybody's.

use extapp::api::{ABANDON, RoleAssignment};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use super::{Office, READER, in_finance};
use crate::support::world::{LIMIT, Variations, ready};
use crate::support::{Context, Result, eventually};

fn says(object: &RoleAssignment, reason: &str) -> bool {
    object.status.iter().flat_map(|status| &status.conditions).any(|c| c.type_ == "Ready" && c.reason == reason)
}

#[tokio::test]
async fn a_forged_status_takes_nothing_away_from_another_application() -> Result<()> {
    let office = Office::new("roles-forged", Variations::default()).await?;
    office.register("victim").await?;
    let victim = office.permit_finance("victim").await?.status.context("a status")?;
    office.world.permit("worker", "worker", "  roles: [Allow to be Automation User]\n").await?;
    let own = office.world.until_permitted("worker").await?.status.context("a status")?;
    // Everything that a status can say, the victim's own seal included.
    for seal in [own.seal.clone(), victim.seal.clone(), None] {
        let forged = json!({"status": {
            "principalId": victim.principal_id, "seal": seal,
            "folders": [{"path": "Shared/Finance", "id": office.finance, "state": "Assigned"}]
        }});
        let api = office.world.role_assignments();
        api.patch_status("worker", &PatchParams::default(), &Patch::Merge(&forged)).await?;
        office.edit("worker", json!({"folders": [{"path": "Shared/People", "roles": [READER]}]})).await?;
        office.edit("worker", json!({"folders": null})).await?;
        assert!(office.workload("victim").await?.reads(office.finance).await?, "an edit took the victim's role");
        api.patch_status("worker", &PatchParams::default(), &Patch::Merge(&forged)).await?;
        office.delete("worker").await?;
        assert!(office.workload("victim").await?.reads(office.finance).await?, "a deletion took the victim's role");
        office.world.permit("worker", "worker", "  roles: [Allow to be Automation User]\n").await?;
        office.world.until_permitted("worker").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_404_of_something_in_between_is_not_taken_for_an_absence() -> Result<()> {
    let office = Office::new("roles-gateway", Variations::default()).await?;
    office.permit_finance("worker").await?;
    let gateway = json!({"match": {"path_contains": "orchestrator_"}, "times": 1000, "action": "status:404"});
    office.world.cloud.faults(&gateway).await?;
    let api = office.world.role_assignments();
    api.delete("worker", &DeleteParams::default()).await?;
    let waiting = |object: &RoleAssignment| {
        object.metadata.deletion_timestamp.is_some()
            && object.status.iter().flat_map(|status| &status.conditions).any(|c| c.message.contains(ABANDON))
    };
    eventually("it waits", LIMIT, async || {
        Ok(api.get("worker").await.is_ok_and(|object| waiting(&object)).then_some(()))
    })
    .await?;
    office.world.cloud.countermand().await?;
    assert!(office.workload("worker").await?.reads(office.finance).await?, "nothing was taken away, and it is said");
    eventually("worker is gone", LIMIT, async || Ok(api.get_opt("worker").await?.is_none().then_some(()))).await?;
    assert!(!office.workload("worker").await?.reads(office.finance).await?);
    Ok(())
}

#[tokio::test]
async fn a_tenant_in_trouble_troubles_neither_applications_nor_settled_assignments() -> Result<()> {
    let server = "  driftInterval: 2s\n".into();
    let office = Office::new("roles-trouble", Variations { server, ..Variations::default() }).await?;
    office.permit_finance("worker").await?;
    office.register("other").await?;
    // What the operator may not do any more is said; what only failed is as it was when it was last looked at.
    for (action, said) in [("status:503", "Ready"), ("status:401", "PermissionDenied"), ("close", "Ready")] {
        let fault = json!({"match": {"path_contains": "orchestrator_"}, "times": 1000, "action": action});
        office.world.cloud.faults(&fault).await?;
        office.world.permit("other", "other", &in_finance()).await?;
        let refused = |status: &extapp::api::RoleAssignmentStatus| {
            status.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "False")
        };
        office.world.until_permit("other", refused).await?;
        office.world.sweeps(2).await?;
        let server = office.world.servers().get("cloud").await?.status.unwrap_or_default();
        assert!(ready(&server.conditions), "{action}: the server is well: {:?}", server.conditions);
        office.world.until_ready("worker").await?;
        let settled = office.world.role_assignments().get("worker").await?;
        assert!(says(&settled, said), "{action}: {:?}", settled.status);
        office.world.cloud.countermand().await?;
        office.world.until_permitted("other").await?;
        office.world.until_permitted("worker").await?;
        office.delete("other").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_folder_that_the_server_refuses_is_named_and_does_not_stand_in_the_way_of_the_others() -> Result<()> {
    let office = Office::new("roles-one-refused", Variations::default()).await?;
    // The application is known to the tenant, so that folders are set by AssignUsers: both at once, then one by one.
    office.world.permit("worker", "worker", "  roles: [Allow to be Automation User]\n").await?;
    office.world.until_permitted("worker").await?;
    let refuse = json!({"match": {"path_contains": "AssignUsers"}, "times": 2, "action": "status:403"});
    office.world.cloud.faults(&refuse).await?;
    let both = json!({"folders": [{"path": "Shared/Finance", "roles": [READER]}, {"path": "Shared/People", "roles": [READER]}]});
    let api = office.world.role_assignments();
    api.patch("worker", &PatchParams::default(), &Patch::Merge(json!({"spec": both}))).await?;
    let named = |status: &extapp::api::RoleAssignmentStatus| {
        status.folders.iter().any(|folder| folder.reason.as_ref().is_some_and(|reason| reason.contains("Shared/")))
    };
    let status = office.world.until_permit("worker", named).await?.status.unwrap_or_default();
    let refused: Vec<&str> =
        status.folders.iter().filter(|folder| folder.reason.is_some()).map(|folder| folder.path.as_str()).collect();
    assert_eq!(refused, ["Shared/Finance"], "{:?}", status.folders);
    assert!(office.workload("worker").await?.reads(office.people).await?, "the other one is assigned");
    office.world.until_permitted("worker").await?;
    assert!(office.workload("worker").await?.reads(office.finance).await?, "it is tried again");
    Ok(())
}

#[tokio::test]
async fn a_server_is_not_deleted_while_roles_are_held_there() -> Result<()> {
    let office = Office::new("roles-server", Variations::default()).await?;
    office.permit_finance("worker").await?;
    let home = office.world.home.name();
    let keep = Patch::Merge(json!({"spec": {"deletion": {"policy": "Retain"}}}));
    office.world.applications(home).patch("worker", &PatchParams::default(), &keep).await?;
    office.world.until_ready("worker").await?;
    let keys = office.world.secret(home, "worker-oauth").await?;
    office.world.applications(home).delete("worker", &DeleteParams::default()).await?;
    office.world.until_gone(home, "worker").await?;
    let worker = office.tenant().await?.workload(&keys, "OR.Default").await?;
    assert!(worker.reads(office.finance).await?, "a registration that is retained keeps its roles");
    let servers = office.world.servers();
    servers.delete("cloud", &DeleteParams::default()).await?;
    let in_use = async || {
        let status = servers.get("cloud").await?.status.unwrap_or_default();
        Ok(status.conditions.iter().any(|c| c.reason == "InUse" && c.message.contains("worker")).then_some(()))
    };
    eventually("the server waits for the roles", LIMIT, in_use).await?;
    office.delete("worker").await?;
    assert!(!worker.reads(office.finance).await?, "they go with their assignment");
    eventually("the server is gone", LIMIT, async || Ok(servers.get_opt("cloud").await?.is_none().then_some(()))).await
}

#[tokio::test]
async fn an_application_that_is_registered_anew_takes_its_roles_along() -> Result<()> {
    let server = "  driftInterval: 2s\n".into();
    let office = Office::new("roles-anew", Variations { server, ..Variations::uncounted() }).await?;
    let before = office.permit_finance("worker").await?.status.unwrap_or_default();
    let id = before.client_id.clone().context("a client id")?;
    office.world.delete_registration(&id).await?;
    office
        .world
        .until_permit("worker", move |status| status.client_id != before.client_id && ready(&status.conditions))
        .await?;
    assert!(office.workload("worker").await?.reads(office.finance).await?);
    let tenant = office.tenant().await?;
    assert_eq!(tenant.members(office.finance).await?.len(), 1, "the former identity has nothing any more");
    assert_eq!(tenant.applications().await?.len(), 2, "nor is it known to the tenant");
    Ok(())
}
