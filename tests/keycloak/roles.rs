//! Roles of service accounts, as tokens show them.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use super::stage::{Stage, TO_PERMIT, TO_REGISTER, claims};
use crate::support::world::{Keys, LIMIT};
use crate::support::{Context, Error, Result, eventually};

impl Stage {
    /// With the realm roles `reader` and `writer`, and the role `auditor` of a client `ledger`.
    async fn with_roles(name: &str, permissions: &[&str]) -> Result<Self> {
        let stage = Self::set(name, permissions).await?;
        for role in ["reader", "writer"] {
            stage.realm.administer(Method::POST, "/roles", Some(json!({"name": role}))).await?;
        }
        stage.realm.administer(Method::POST, "/clients", Some(json!({"clientId": "ledger"}))).await?;
        let path = format!("/clients/{}/roles", stage.realm.internal_id("ledger").await?);
        stage.realm.administer(Method::POST, &path, Some(json!({"name": "auditor"}))).await?;
        Ok(stage)
    }

    async fn permit(&self, name: &str, more: &str) -> Result<()> {
        let yaml = format!(
            "apiVersion: extapp.dev/v1alpha1\nkind: RoleAssignment\nmetadata: {{name: {name}}}\nspec:\n  applicationRef: {{name: worker}}\n{more}"
        );
        self.world.apply(&yaml).await
    }

    /// The roles in a token of the application, without those that every account has.
    async fn roles(&self, keys: &Keys) -> Result<BTreeSet<String>> {
        let (_, answer) =
            self.realm.client_credentials(&keys["client-id"], &keys["client-secret"], &keys["scope"]).await?;
        let claims = claims(&answer)?;
        let names = |roles: &Value, prefix: &str| -> Vec<String> {
            let names = roles["roles"].as_array().into_iter().flatten().filter_map(Value::as_str);
            names.map(|name| format!("{prefix}{name}")).collect()
        };
        let mut all = names(&claims["realm_access"], "");
        for (client, roles) in claims["resource_access"].as_object().into_iter().flatten() {
            all.extend(names(roles, &format!("{client}/")));
        }
        let everybodys = |name: &String| {
            name.starts_with("default-roles-")
                || name.starts_with("account/")
                || name.ends_with("_access")
                || name == "uma_authorization"
        };
        Ok(all.into_iter().filter(|name| !everybodys(name)).collect())
    }

    async fn until_roles(&self, keys: &Keys, wanted: &[&str]) -> Result<()> {
        let wanted: BTreeSet<String> = wanted.iter().map(ToString::to_string).collect();
        let probe = async || {
            let found = self.roles(keys).await?;
            if found == wanted { Ok(Some(())) } else { Err(Error::new(format!("{found:?}"))) }
        };
        eventually(&format!("the token has {wanted:?}"), LIMIT, probe).await
    }

    async fn give(&self, keys: &Keys, role: &str) -> Result<()> {
        let user = self.realm.service_account(&keys["client-id"]).await?;
        let role = self.realm.get(&format!("/roles/{role}")).await?;
        let path = format!("/users/{user}/role-mappings/realm");
        self.realm.administer(Method::POST, &path, Some(json!([role]))).await.map(|_| ())
    }
}

#[tokio::test]
async fn listed_roles_are_in_the_token_and_what_is_not_listed_is_taken_away() -> Result<()> {
    let stage = Stage::with_roles("roles", TO_PERMIT).await?;
    let keys = stage.worker().await?;
    stage.permit("worker", "  roles: [reader, ledger/auditor]\n").await?;
    stage.world.until_permitted("worker").await?;
    stage.until_roles(&keys, &["reader", "ledger/auditor"]).await?;
    let object = stage.world.role_assignments().get("worker").await?;
    let shown = object.status.context("a status")?.roles;
    assert_eq!(shown, ["ledger/auditor", "reader"]);

    stage.give(&keys, "writer").await?;
    stage.until_roles(&keys, &["reader", "ledger/auditor"]).await?;
    stage.permit("worker", "  roles: [writer]\n").await?;
    stage.until_roles(&keys, &["writer"]).await?;
    stage.world.role_assignments().delete("worker", &kube::api::DeleteParams::default()).await?;
    stage.until_roles(&keys, &[]).await
}

#[tokio::test]
async fn roles_that_administer_the_realm_are_never_given_not_even_inside_another() -> Result<()> {
    let stage = Stage::with_roles("escalation", TO_PERMIT).await?;
    let keys = stage.worker().await?;
    let management = stage.realm.internal_id("realm-management").await?;
    let manage = stage.realm.get(&format!("/clients/{management}/roles/manage-users")).await?;
    for (role, part) in [("inner", manage), ("outer", Value::Null)] {
        stage.realm.administer(Method::POST, "/roles", Some(json!({"name": role}))).await?;
        let part = if part.is_null() { stage.realm.get("/roles/inner").await? } else { part };
        let path = format!("/roles/{role}/composites");
        stage.realm.administer(Method::POST, &path, Some(json!([part]))).await?;
    }
    for role in ["realm-management/manage-users", "inner", "outer"] {
        stage.permit("worker", &format!("  roles: [reader, '{role}']\n")).await?;
        let said = stage.world.until_not_permitted("worker", "RoleNotAllowed").await?;
        assert!(said.starts_with(&format!("role {role}: it administers the realm")), "{said}");
        stage.until_roles(&keys, &["reader"]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_a_realm_does_not_have_is_refused_with_what_to_write_instead() -> Result<()> {
    let stage = Stage::with_roles("role-refusals", TO_PERMIT).await?;
    stage.worker().await?;
    stage.permit("tenant", "  tenant: DefaultTenant\n  roles: [reader]\n").await?;
    let said = stage.world.until_not_permitted("tenant", "NotSupported").await?;
    assert!(said.starts_with("spec.tenant: this server has no tenants"), "{said}");
    stage.permit("folders", "  folders: [{path: Shared, roles: [reader]}]\n").await?;
    let said = stage.world.until_not_permitted("folders", "NotSupported").await?;
    assert!(said.starts_with("spec.folders: this server has no folders"), "{said}");
    for name in ["tenant", "folders"] {
        stage.world.role_assignments().delete(name, &kube::api::DeleteParams::default()).await?;
    }
    stage.permit("unknown", "  roles: [raeder, ledger/auditr]\n").await?;
    let said = stage.world.until_not_permitted("unknown", "UnknownRole").await?;
    assert!(said.contains("did you mean reader?") && said.contains("did you mean ledger/auditor?"), "{said}");
    Ok(())
}

#[tokio::test]
async fn an_operator_that_may_only_register_says_what_it_needs_for_roles() -> Result<()> {
    let stage = Stage::with_roles("role-privileges", TO_REGISTER).await?;
    let keys = stage.worker().await?;
    stage.permit("worker", "  roles: [reader]\n").await?;
    let said = stage.world.until_not_permitted("worker", "PermissionDenied").await?;
    assert!(said.contains("view-realm of the client realm-management"), "{said}");
    stage.realm.permit_operator(&["view-realm"]).await?;
    let needed = async || {
        let said = stage.world.until_not_permitted("worker", "PermissionDenied").await?;
        Ok(said.contains("manage-users of the client realm-management").then_some(()))
    };
    eventually("the other role is asked for", LIMIT, needed).await?;
    stage.realm.permit_operator(&["manage-users"]).await?;
    stage.until_roles(&keys, &["reader"]).await
}
