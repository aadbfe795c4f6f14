//! Roles of service accounts, as tokens show them.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use super::person;
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

    /// The roles in a token of the application.
    async fn roles(&self, keys: &Keys) -> Result<BTreeSet<String>> {
        let (_, answer) =
            self.realm.client_credentials(&keys["client-id"], &keys["client-secret"], &keys["scope"]).await?;
        roles_in(&answer)
    }

    /// The roles in the scope of the application's client.
    async fn scope_roles(&self, keys: &Keys) -> Result<BTreeSet<String>> {
        let path = format!("/clients/{}/scope-mappings", self.realm.internal_id(&keys["client-id"]).await?);
        let answer = self.realm.get(&path).await?;
        let mut all = names(&answer["realmMappings"], "");
        for (client, of) in answer["clientMappings"].as_object().into_iter().flatten() {
            all.extend(names(&of["mappings"], &format!("{client}/")));
        }
        Ok(all.into_iter().collect())
    }

    async fn until_scope_roles(&self, keys: &Keys, wanted: &[&str]) -> Result<()> {
        until(wanted, async || self.scope_roles(keys).await).await
    }

    async fn until_roles(&self, keys: &Keys, wanted: &[&str]) -> Result<()> {
        until(wanted, async || self.roles(keys).await).await
    }

    /// Changes the scope of the application's client by hand; `place` as in the role's address.
    async fn edit_scope(&self, method: Method, keys: &Keys, place: &str, role: &str) -> Result<()> {
        let (from, to) = match place {
            "realm" => (format!("/roles/{role}"), "realm".to_owned()),
            client => {
                let client = self.realm.internal_id(client).await?;
                (format!("/clients/{client}/roles/{role}"), format!("clients/{client}"))
            }
        };
        let role = self.realm.get(&from).await?;
        let path = format!("/clients/{}/scope-mappings/{to}", self.realm.internal_id(&keys["client-id"]).await?);
        self.realm.administer(method, &path, Some(json!([role]))).await.map(|_| ())
    }

    async fn give(&self, keys: &Keys, role: &str) -> Result<()> {
        let user = self.realm.service_account(&keys["client-id"]).await?;
        let role = self.realm.get(&format!("/roles/{role}")).await?;
        let path = format!("/users/{user}/role-mappings/realm");
        self.realm.administer(Method::POST, &path, Some(json!([role]))).await.map(|_| ())
    }
}

fn names(roles: &Value, prefix: &str) -> Vec<String> {
    let names = roles.as_array().into_iter().flatten();
    names.filter_map(|role| role.as_str().or(role["name"].as_str())).map(|name| format!("{prefix}{name}")).collect()
}

/// The roles in an access token, each as a spec would say it.
fn roles_in(answer: &Value) -> Result<BTreeSet<String>> {
    let claims = claims(answer)?;
    let mut all = names(&claims["realm_access"]["roles"], "");
    for (client, roles) in claims["resource_access"].as_object().into_iter().flatten() {
        all.extend(names(&roles["roles"], &format!("{client}/")));
    }
    Ok(all.into_iter().collect())
}

async fn until(wanted: &[&str], found: impl AsyncFn() -> Result<BTreeSet<String>>) -> Result<()> {
    let wanted: BTreeSet<String> = wanted.iter().map(ToString::to_string).collect();
    let probe = async || {
        let found = found().await?;
        if found == wanted { Ok(Some(())) } else { Err(Error::new(format!("{found:?}"))) }
    };
    eventually(&format!("there is {wanted:?}"), LIMIT, probe).await
}

#[tokio::test]
async fn listed_roles_are_in_the_token_and_what_is_not_listed_is_taken_away() -> Result<()> {
    let stage = Stage::with_roles("roles", TO_PERMIT).await?;
    // Where consent is required, Keycloak's own default for the scope is another one.
    let spec = "  resources:\n  - {name: openid, applicationScopes: [queues]}\n  settings: {skipConsent: false}\n";
    stage.application("worker", "Confidential", spec).await?;
    stage.world.until_ready("worker").await?;
    let keys = stage.secret("worker").await?;
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
    stage.until_scope_roles(&keys, &["writer"]).await?;
    stage.world.role_assignments().delete("worker", &kube::api::DeleteParams::default()).await?;
    stage.until_roles(&keys, &[]).await?;
    stage.until_scope_roles(&keys, &[]).await
}

#[tokio::test]
async fn an_administrator_who_signs_in_lends_a_client_only_the_roles_that_were_given_to_it() -> Result<()> {
    let stage = Stage::with_roles("lent", TO_PERMIT).await?;
    let ada = person::known(&stage.realm).await?;
    let management = stage.realm.internal_id("realm-management").await?;
    let admin = stage.realm.get(&format!("/clients/{management}/roles/realm-admin")).await?;
    let path = format!("/users/{ada}/role-mappings/clients/{management}");
    stage.realm.administer(Method::POST, &path, Some(json!([admin]))).await?;
    let reader = stage.realm.get("/roles/reader").await?;
    let path = format!("/users/{ada}/role-mappings/realm");
    stage.realm.administer(Method::POST, &path, Some(json!([reader]))).await?;

    let callback = "http://127.0.0.1:8765/callback";
    let spec = format!(
        "  redirectUris: ['{callback}']\n  resources:\n  - {{name: openid, userScopes: [jobs], applicationScopes: [queues]}}\n"
    );
    stage.application("worker", "Confidential", &spec).await?;
    stage.world.until_ready("worker").await?;
    let keys = stage.secret("worker").await?;
    let lent = async |keys: &Keys| roles_in(&person::signs_in(&stage.realm, keys, "openid", true).await?);
    // A client as Keycloak makes one for whoever does not say otherwise.
    let body = json!({"clientId": "by-hand", "publicClient": true, "redirectUris": [callback]});
    stage.realm.administer(Method::POST, "/clients", Some(body)).await?;
    let mut by_hand = keys.clone();
    by_hand.insert("client-id".into(), "by-hand".into());
    by_hand.remove("client-secret");
    assert!(lent(&by_hand).await?.contains("realm-management/manage-users"), "she is an administrator");

    assert_eq!(lent(&keys).await?, [].into());
    stage.permit("worker", "  roles: [reader, writer]\n").await?;
    stage.until_roles(&keys, &["reader", "writer"]).await?;
    assert_eq!(lent(&keys).await?, ["reader".to_owned()].into(), "what she does not have herself is not in it");
    Ok(())
}

#[tokio::test]
async fn the_scope_of_a_client_is_kept_as_its_roles_are() -> Result<()> {
    let stage = Stage::with_roles("scope", TO_PERMIT).await?;
    let keys = stage.worker().await?;
    stage.permit("worker", "  roles: [reader, ledger/auditor]\n").await?;
    stage.until_scope_roles(&keys, &["reader", "ledger/auditor"]).await?;
    stage.world.until_permitted("worker").await?;
    stage.edit_scope(Method::DELETE, &keys, "realm", "reader").await?;
    stage.edit_scope(Method::DELETE, &keys, "ledger", "auditor").await?;
    stage.until_roles(&keys, &["reader", "ledger/auditor"]).await?;
    stage.edit_scope(Method::POST, &keys, "realm", "writer").await?;
    stage.edit_scope(Method::POST, &keys, "realm-management", "realm-admin").await?;
    stage.until_scope_roles(&keys, &["reader", "ledger/auditor"]).await?;
    stage.world.until_permitted("worker").await?;
    Ok(())
}

#[tokio::test]
async fn what_was_put_into_the_scope_goes_with_the_assignment_though_the_account_went_before_it() -> Result<()> {
    let stage = Stage::with_roles("scope-left", TO_PERMIT).await?;
    let keys = stage.worker().await?;
    stage.permit("worker", "  roles: [reader]\n").await?;
    stage.until_roles(&keys, &["reader"]).await?;
    stage.world.until_permitted("worker").await?;
    let spec = "  redirectUris: ['https://a.example/cb']\n  resources:\n  - {name: openid, userScopes: [jobs]}\n";
    stage.application("worker", "Confidential", spec).await?;
    let alone = |client: &Value| client["serviceAccountsEnabled"] == false;
    stage.until_client("its account is gone", &keys, alone).await?;
    stage.world.role_assignments().delete("worker", &kube::api::DeleteParams::default()).await?;
    stage.until_scope_roles(&keys, &[]).await
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
    stage.permit("worker", "  roles: [ledger/auditor]\n").await?;
    let needs = async |role: &str| {
        let needed = async || {
            let said = stage.world.until_not_permitted("worker", "PermissionDenied").await?;
            Ok(said.contains(&format!("{role} of the client realm-management")).then_some(()))
        };
        eventually(&format!("{role} is asked for"), LIMIT, needed).await
    };
    needs("view-realm").await?;
    stage.realm.permit_operator(&["view-realm"]).await?;
    needs("manage-users").await?;
    stage.realm.permit_operator(&["manage-users"]).await?;
    stage.until_roles(&keys, &["ledger/auditor"]).await?;
    // Only the scope's share of the realm's own roles takes more.
    stage.permit("worker", "  roles: [reader]\n").await?;
    needs("manage-realm").await?;
    stage.until_roles(&keys, &["ledger/auditor"]).await?;
    stage.realm.permit_operator(&["manage-realm"]).await?;
    stage.realm.forbid_operator(&["view-realm"]).await?;
    stage.until_roles(&keys, &["reader"]).await?;
    stage.until_scope_roles(&keys, &["reader"]).await
}
