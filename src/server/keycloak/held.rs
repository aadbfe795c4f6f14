//! The roles that a service account has, and those that its client's tokens may have: a role is in them only as both.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::roles::RoleAnswer;
use crate::domain::registration::PrincipalId;

/// Between the two halves of an account's name.
const BETWEEN: char = '/';

/// A client's own account, by Keycloak's own ids of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account<'a> {
    pub(super) client: &'a str,
    pub(super) user: &'a str,
}

impl<'a> Account<'a> {
    /// `None` for what was not made by [`Account::principal`].
    pub(super) fn of(id: &'a str) -> Option<Self> {
        let (client, user) = id.split_once(BETWEEN)?;
        Some(Self { client, user }).filter(|_| !client.is_empty() && !user.is_empty() && !user.contains(BETWEEN))
    }

    /// With the client in it: what is given to an account that is gone can still be taken from the client's scope.
    pub(super) fn principal(self) -> PrincipalId {
        PrincipalId::new(format!("{}{BETWEEN}{}", self.client, self.user))
    }
}

/// The roles that a user has directly, or that a client has in its scope.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct MappingsAnswer {
    realm_mappings: Vec<RoleAnswer>,
    client_mappings: BTreeMap<String, ClientMappings>,
}

#[derive(Deserialize)]
struct ClientMappings {
    client: String,
    mappings: Vec<RoleAnswer>,
}

impl MappingsAnswer {
    fn named(self) -> impl Iterator<Item = (String, RoleAnswer)> {
        let of_realm = self.realm_mappings.into_iter().map(|role| (role.name.clone(), role));
        let of_clients = self.client_mappings.into_values().flat_map(|of| {
            let name = move |role: &RoleAnswer| format!("{}/{}", of.client, role.name);
            of.mappings.into_iter().map(move |role| (name(&role), role))
        });
        of_realm.chain(of_clients)
    }
}

/// A role that an account has, or that is in its client's scope.
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// As a spec says it.
    name: String,
    pub(super) role: RoleAnswer,
    pub(super) given: bool,
    pub(super) in_scope: bool,
}

impl Held {
    /// What it is compared by: one that is not in the tokens is not the one that was asked for.
    pub(super) fn name(&self) -> String {
        match (self.given, self.in_scope) {
            (true, true) => self.name.clone(),
            (true, false) => format!("{} (not in the client's scope)", self.name),
            _ => format!("{} (in the client's scope, not given)", self.name),
        }
    }
}

/// Puts both halves together. `default`: the role of the realm that every account has, which nobody gives.
pub(super) fn held(given: MappingsAnswer, scope: MappingsAnswer, default: &str) -> Vec<Held> {
    let mut all: BTreeMap<String, Held> = BTreeMap::new();
    for (name, role) in given.named().filter(|(name, _)| name != default) {
        all.insert(role.id.clone(), Held { name, role, given: true, in_scope: false });
    }
    for (name, role) in scope.named() {
        // In the scope it is no different from others: whoever signs in has what it brings with it.
        let id = role.id.clone();
        let found = all.entry(id).or_insert(Held { name, role, given: false, in_scope: false });
        found.in_scope = true;
    }
    all.into_values().collect()
}

pub(super) fn names(held: &[Held]) -> BTreeSet<String> {
    held.iter().map(Held::name).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mappings(realm: &[&str], ledger: &[&str]) -> MappingsAnswer {
        let roles = |names: &[&str]| names.iter().map(|name| json!({"id": name, "name": name})).collect::<Vec<_>>();
        let of_client = json!({"id": "5a0c", "client": "ledger", "mappings": roles(ledger)});
        serde_json::from_value(json!({"realmMappings": roles(realm), "clientMappings": {"ledger": of_client}})).unwrap()
    }

    #[test]
    fn a_role_is_held_only_where_it_is_given_and_in_the_scope() {
        let given = mappings(&["default-roles-acme", "reader", "writer"], &["auditor"]);
        let found = held(given, mappings(&["reader", "lender"], &["auditor"]), "default-roles-acme");
        let expected = [
            "ledger/auditor",
            "lender (in the client's scope, not given)",
            "reader",
            "writer (not in the client's scope)",
        ];
        assert_eq!(names(&found).into_iter().collect::<Vec<_>>(), expected);
        let nothing = mappings(&["default-roles-acme"], &[]);
        assert_eq!(names(&held(nothing, MappingsAnswer::default(), "default-roles-acme")), [].into());
    }

    #[test]
    fn an_account_is_known_by_its_client_and_its_user_and_by_nothing_else() {
        let account = Account { client: "5a0c", user: "77b1" };
        assert_eq!(Account::of(account.principal().as_str()), Some(account));
        for other in ["", "77b1", "/77b1", "5a0c/", "5a0c/77b1/x"] {
            assert_eq!(Account::of(other), None, "{other}");
        }
    }
}
