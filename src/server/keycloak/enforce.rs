//! Client scopes as people declare them: with a description, and a mapper that puts the API's identifier into `aud`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};

use super::Keycloak;
use super::operation::{ADD_MAPPER, CREATE_SCOPE, DELETE_SCOPE, REMOVE_MAPPER, UPDATE_SCOPE};
use super::readings::{LONGEST, OPENID};
use super::scopes::{MapperAnswer, PROTOCOL, SERVER_UID, ScopeAnswer};
use super::session::At;
use super::wire::is_always;
use crate::domain::catalogue::{Enforced, Obstacles};
use crate::domain::observed::Finding;
use crate::domain::reason::Reason;
use crate::server::{Lane, ManagedCatalogue, ServerError};

const AUDIENCE_MAPPER: &str = "oidc-audience-mapper";
/// How our mappers begin: others in the same scope are somebody else's.
const OURS: &str = "extapp: ";

/// One client scope as it shall be: every API that declares it is an audience.
struct Wanted<'a> {
    audiences: BTreeSet<&'a str>,
    display_name: Option<&'a str>,
    description: Option<&'a str>,
    objects: BTreeSet<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ScopeBody<'a> {
    name: &'a str,
    protocol: &'static str,
    description: String,
    attributes: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol_mappers: Option<Vec<Value>>,
}

impl Wanted<'_> {
    fn description(&self) -> String {
        self.description.unwrap_or_default().chars().take(LONGEST).collect()
    }

    /// The empty string removes one.
    fn attributes(&self, owner: &str) -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            (SERVER_UID, owner.to_owned()),
            ("include.in.token.scope", "true".to_owned()),
            ("display.on.consent.screen", "true".to_owned()),
            ("consent.screen.text", self.display_name.unwrap_or_default().to_owned()),
        ])
    }

    fn is_as_wanted(&self, scope: &ScopeAnswer, owner: &str) -> bool {
        let actual = |key: &str| scope.attributes.get(key).map_or("", String::as_str);
        scope.description.as_deref().unwrap_or_default() == self.description()
            && self.attributes(owner).iter().all(|(key, value)| actual(key) == value)
    }
}

fn mapper(audience: &str) -> Value {
    let name: String = format!("{OURS}{audience}").chars().take(LONGEST).collect();
    json!({
        "name": name, "protocol": PROTOCOL, "protocolMapper": AUDIENCE_MAPPER,
        "config": {
            "included.custom.audience": audience, "access.token.claim": "true", "introspection.token.claim": "true",
        },
    })
}

/// Whether a mapper of ours puts this audience where it belongs.
fn gives(mapper: &MapperAnswer, audience: &str) -> bool {
    let set = |key: &str, value: &str| mapper.config.get(key).is_some_and(|actual| actual == value);
    mapper.protocol_mapper == AUDIENCE_MAPPER
        && set("included.custom.audience", audience)
        && set("access.token.claim", "true")
        && set("introspection.token.claim", "true")
}

fn wanted(declared: &[Enforced]) -> BTreeMap<&str, Wanted<'_>> {
    let mut all: BTreeMap<&str, Wanted<'_>> = BTreeMap::new();
    for api in declared {
        for scope in &api.scopes {
            let wanted = all.entry(&scope.name).or_insert_with(|| Wanted {
                audiences: BTreeSet::new(),
                display_name: None,
                description: None,
                objects: BTreeSet::new(),
            });
            wanted.audiences.insert(&api.identifier);
            wanted.objects.insert(&api.object);
            wanted.display_name = wanted.display_name.or(scope.display_name.as_deref());
            wanted.description = wanted.description.or(scope.description.as_deref());
        }
    }
    all
}

/// What keeps a client scope from being ours, in words for the person who declared it.
fn obstacle(name: &str, there: Option<&ScopeAnswer>, owner: &str) -> Option<Finding> {
    let message = if is_always(name) || name == OPENID {
        format!("scope {name}: every client has it; give the scope another name")
    } else {
        match there?.owner() {
            Some(uid) if uid == owner => return None,
            Some(_) => format!(
                "scope {name}: another AuthorizationServer keeps the client scope of this name; declare it there alone"
            ),
            None => format!(
                "scope {name}: the realm has a client scope of this name that was not made from here, and it is left alone; set management to Observe to use it as it is, or choose another name"
            ),
        }
    };
    Some(Finding::stalled(Reason::ServerConflict, message).looked_at_again())
}

impl Keycloak {
    /// Brings one client scope into line. Gives back whether something was written.
    async fn enforce_one(
        &self,
        name: &str,
        wanted: &Wanted<'_>,
        there: Option<&ScopeAnswer>,
        owner: &str,
    ) -> Result<bool, ServerError> {
        let mut body = ScopeBody {
            name,
            protocol: PROTOCOL,
            description: wanted.description(),
            attributes: wanted.attributes(owner),
            protocol_mappers: None,
        };
        let Some(scope) = there else {
            body.protocol_mappers = Some(wanted.audiences.iter().map(|audience| mapper(audience)).collect());
            self.session.write(CREATE_SCOPE, At(&["client-scopes"]), &body).await?;
            return Ok(true);
        };
        let mut wrote = false;
        if !wanted.is_as_wanted(scope, owner) {
            self.session.write(UPDATE_SCOPE, At(&["client-scopes", &scope.id]), &body).await?;
            wrote = true;
        }
        let models = ["client-scopes", scope.id.as_str(), "protocol-mappers", "models"];
        let ours = scope.protocol_mappers.iter().filter(|mapper| mapper.name.starts_with(OURS));
        let (right, wrong): (Vec<_>, Vec<_>) =
            ours.partition(|mapper| wanted.audiences.iter().any(|audience| gives(mapper, audience)));
        for mapper in wrong {
            let place: Vec<&str> = models.iter().copied().chain([mapper.id.as_str()]).collect();
            self.session.act(REMOVE_MAPPER, At(&place)).await?;
            wrote = true;
        }
        for audience in wanted.audiences.iter().filter(|audience| !right.iter().any(|mapper| gives(mapper, audience))) {
            self.session.write(ADD_MAPPER, At(&models), &mapper(audience)).await?;
            wrote = true;
        }
        Ok(wrote)
    }
}

impl ManagedCatalogue for Keycloak {
    async fn enforce(
        &self,
        declared: &[Enforced],
        used: &BTreeSet<String>,
        owner: &str,
        lane: Lane,
    ) -> Result<Obstacles, ServerError> {
        let there = self.client_scopes(lane).await?;
        let wanted = wanted(declared);
        let (mut obstacles, mut wrote) = (Obstacles::new(), false);
        for (name, wanted) in &wanted {
            let scope = there.iter().find(|scope| scope.name == *name);
            if let Some(finding) = obstacle(name, scope, owner) {
                let objects = wanted.objects.iter().map(|object| ((*object).to_owned(), finding.clone()));
                obstacles.extend(objects);
                continue;
            }
            wrote |= self.enforce_one(name, wanted, scope, owner).await?;
        }
        let left =
            there.iter().filter(|scope| scope.owner() == Some(owner) && !wanted.contains_key(scope.name.as_str()));
        for scope in left.filter(|scope| !used.contains(&scope.name)) {
            match self.session.act(DELETE_SCOPE, At(&["client-scopes", &scope.id])).await {
                Ok(_) | Err(ServerError::NotFound) => wrote = true,
                Err(error) => return Err(error),
            }
        }
        if wrote {
            self.client_scopes(lane).await?;
        }
        Ok(obstacles)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::catalogue::EnforcedScope;

    fn api(object: &str, identifier: &str, scopes: &[&str]) -> Enforced {
        let scope = |name: &&str| EnforcedScope { name: (*name).into(), display_name: None, description: None };
        Enforced { object: object.into(), identifier: identifier.into(), scopes: scopes.iter().map(scope).collect() }
    }

    fn scope(name: &str, owner: Option<&str>) -> ScopeAnswer {
        let attributes = owner.map(|owner| (SERVER_UID, owner)).into_iter().collect::<BTreeMap<_, _>>();
        serde_json::from_value(json!({"id": "1", "name": name, "attributes": attributes})).unwrap()
    }

    #[test]
    fn a_scope_that_two_apis_declare_has_both_as_audiences() {
        let declared = [api("a", "invoices", &["read", "write"]), api("b", "archive", &["read"])];
        let all = wanted(&declared);
        assert_eq!(all["read"].audiences, ["archive", "invoices"].into());
        assert_eq!(all["write"].objects, ["a"].into());
    }

    #[test]
    fn what_others_have_made_and_what_every_client_has_stands_in_the_way() {
        assert_eq!(obstacle("read", None, "me"), None);
        assert_eq!(obstacle("read", Some(&scope("read", Some("me"))), "me"), None);
        for (name, owner) in [("read", None), ("read", Some("another")), ("basic", None), ("openid", None)] {
            let found = obstacle(name, Some(&scope(name, owner)), "me").expect("an obstacle");
            assert!(found.message.starts_with(&format!("scope {name}: ")), "{}", found.message);
        }
    }

    #[test]
    fn a_mapper_is_right_only_with_the_audience_in_the_access_token() {
        let answer = |change: fn(&mut Value)| -> MapperAnswer {
            let mut mapper = mapper("invoices");
            mapper["id"] = json!("1");
            change(&mut mapper);
            serde_json::from_value(mapper).unwrap()
        };
        assert!(gives(&answer(|_| {}), "invoices"));
        assert!(!gives(&answer(|_| {}), "archive"));
        assert!(!gives(&answer(|mapper| mapper["config"]["access.token.claim"] = json!("false")), "invoices"));
        assert!(!gives(&answer(|mapper| mapper["protocolMapper"] = json!("oidc-hardcoded-claim-mapper")), "invoices"));
    }
}
