//! What an assignment may say at which kind of server.

use super::*;

/// What is said of an assignment at a server that can give this.
fn at(permissions: PermissionScope, object: &RoleAssignment) -> Option<(Reason, String)> {
    let mut facts = facts();
    facts.capabilities.permissions = permissions;
    let seen = Seen { seen: ServerSeen::Usable(facts), ..seen(Some(registered())) };
    gate(object, &seen).err().map(|finding| (finding.reason, finding.message))
}

#[test]
fn a_tenant_is_said_where_there_are_tenants_and_nowhere_else() {
    let with_tenant = assignment("a", &["Auditor"], &[]);
    let mut without = with_tenant.clone();
    without.spec.tenant = None;
    let mut in_folders = assignment("a", &[], &[("Shared", &["Auditor"])]);
    in_folders.spec.tenant = None;
    let said = |permissions, object| {
        at(permissions, object).map(|(reason, message)| (reason, message.starts_with("spec.tenant: ")))
    };
    assert_eq!(said(PermissionScope::TenantsAndFolders, &with_tenant), None);
    assert_eq!(said(PermissionScope::TenantsAndFolders, &without), Some((Reason::InvalidSpec, true)));
    assert_eq!(said(PermissionScope::Roles, &without), None);
    assert_eq!(said(PermissionScope::Roles, &with_tenant), Some((Reason::NotSupported, true)));
    let folders = at(PermissionScope::Roles, &in_folders).expect("refused");
    assert!(folders.1.starts_with("spec.folders: "), "{}", folders.1);
    assert_eq!(at(PermissionScope::None, &without).expect("refused").0, Reason::NotSupported);
    assert!(concern_the_same(&without, &in_folders) && !concern_the_same(&without, &with_tenant));
}

#[test]
fn a_role_that_administers_the_server_is_refused_and_the_others_are_given() {
    let mut world = World::new().with("me", &[], &[]);
    world.tenant.roles.push(Role { barred: Some("it administers"), ..role(9, "Owner", RoleKind::Tenant) });
    let object = assignment("a", &["Auditor", "Owner", "Onwer"], &[]);
    let assessment = world.assess(&object, &[]);
    let said: Vec<&str> = assessment.refusals().map(|refusal| refusal.message.as_str()).collect();
    assert_eq!(said, ["role Onwer: unknown", "role Owner: it administers"], "nor is it suggested");
    assert_eq!(reasons(&assessment), [Reason::UnknownRole, Reason::RoleNotAllowed]);
    assert!(assessment.steps.contains(&Step::SetTenantRoles { user: me(), roles: vec![RoleId::new(4)] }));
}
