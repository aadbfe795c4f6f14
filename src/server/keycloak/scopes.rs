//! Client scopes: which there are, and which of them a client has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use serde::Deserialize;

use super::Keycloak;
use super::operation::{ASSIGN_SCOPE, SCOPES, WITHDRAW_SCOPE};
use super::readings::{ALWAYS, OPENID};
use super::session::At;
use super::wire::{ClientAnswer, assignable, is_always};
use crate::domain::registration::{Catalogue, CatalogueScope, Desired, Grant, Resource};
use crate::server::{Lane, ServerError, ServerText};

/// Whose a client scope is: the UID of the AuthorizationServer.
pub(super) const SERVER_UID: &str = "extapp.dev/server-uid";
pub(super) const PROTOCOL: &str = "openid-connect";

/// The client scopes of the realm as they were last read.
#[derive(Default)]
pub(super) struct Scopes(RwLock<Arc<Known>>);

/// Keycloak's own ids of client scopes, by name.
#[derive(Default)]
pub(super) struct Known(BTreeMap<String, String>);

impl Known {
    /// Those of every client that the realm has.
    pub(super) fn always(&self) -> Vec<&'static str> {
        ALWAYS.into_iter().filter(|name| self.0.contains_key(*name)).collect()
    }
}

/// A client scope as a list gives it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ScopeAnswer {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) description: Option<String>,
    protocol: Option<String>,
    #[serde(default)]
    pub(super) attributes: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) protocol_mappers: Vec<MapperAnswer>,
}

/// What puts something into the tokens with a client scope.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MapperAnswer {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) protocol_mapper: String,
    #[serde(default)]
    pub(super) config: BTreeMap<String, String>,
}

impl ScopeAnswer {
    pub(super) fn owner(&self) -> Option<&str> {
        self.attributes.get(SERVER_UID).map(String::as_str).filter(|uid| !uid.is_empty())
    }
}

impl Keycloak {
    /// Every client scope of OpenID Connect, and what is known from now on.
    pub(super) async fn client_scopes(&self, lane: Lane) -> Result<Vec<ScopeAnswer>, ServerError> {
        let all: Vec<ScopeAnswer> = self.session.read(SCOPES, self.session.url(At(&["client-scopes"]))?, lane).await?;
        let ours = |scope: &ScopeAnswer| scope.protocol.as_deref().unwrap_or(PROTOCOL) == PROTOCOL;
        let scopes: Vec<ScopeAnswer> = all.into_iter().filter(ours).collect();
        let known = scopes.iter().map(|scope| (scope.name.clone(), scope.id.clone())).collect();
        *self.scopes.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Known(known));
        Ok(scopes)
    }

    /// What may be asked for beside what is declared: the client scopes that others have made, for people and for
    /// applications alike, and `openid`.
    pub(super) async fn catalogue_of_scopes(&self, lane: Lane) -> Result<Catalogue, ServerError> {
        let mut scopes: Vec<CatalogueScope> = self
            .client_scopes(lane)
            .await?
            .into_iter()
            .filter(|scope| !is_always(&scope.name) && scope.owner().is_none())
            .map(|scope| CatalogueScope {
                name: scope.name,
                display_name: None,
                description: scope.description.filter(|text| !text.is_empty()),
                grants: [Grant::User, Grant::Application].into(),
            })
            .collect();
        scopes.push(CatalogueScope {
            name: OPENID.into(),
            display_name: None,
            description: Some("Signs the person in and gives an ID token".into()),
            grants: [Grant::User].into(),
        });
        scopes.sort_by(|a, b| a.name.cmp(&b.name));
        let resource =
            Resource { name: OPENID.into(), display_name: Some("Client scopes".into()), description: None, scopes };
        Ok(Catalogue { resources: vec![resource] })
    }

    /// The client scopes, read anew where one is asked for, or assigned, that is not known. `Rejected` where the realm has none of this
    /// name: the server itself would ignore it.
    pub(super) async fn known_scopes(
        &self,
        desired: &Desired,
        client: Option<&ClientAnswer>,
    ) -> Result<Arc<Known>, ServerError> {
        let wanted = assignable(desired);
        let missing = |known: &Known, names: &BTreeSet<&str>| {
            names.iter().find(|name| !known.0.contains_key(**name)).map(|name| (*name).to_owned())
        };
        let all = client.map(ClientAnswer::assigned).unwrap_or_default().union(&wanted).copied().collect();
        let known = self.scopes.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        if !known.0.is_empty() && missing(&known, &all).is_none() {
            return Ok(known);
        }
        self.client_scopes(Lane::User).await?;
        let known = self.scopes.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        match missing(&known, &wanted) {
            None => Ok(known),
            Some(name) => Err(unknown(&name)),
        }
    }

    /// Gives a client exactly the scopes that are asked for, and those of every client.
    pub(super) async fn assign_scopes(
        &self,
        client: &ClientAnswer,
        desired: &Desired,
        known: &Known,
    ) -> Result<(), ServerError> {
        let wanted = assignable(desired);
        for name in known.always().into_iter().filter(|name| !client.has(name)) {
            let Some(scope) = known.0.get(name) else { continue };
            self.session.act(ASSIGN_SCOPE, At(&["clients", &client.id, "default-client-scopes", scope])).await?;
        }
        let have = client.assigned();
        for name in wanted.difference(&have) {
            let Some(scope) = known.0.get(*name) else { continue };
            let assigned =
                self.session.act(ASSIGN_SCOPE, At(&["clients", &client.id, "optional-client-scopes", scope])).await;
            assigned.map_err(|error| if error == ServerError::NotFound { unknown(name) } else { error })?;
        }
        let superfluous: BTreeSet<&str> = have.difference(&wanted).copied().collect();
        for name in superfluous {
            // One that the list does not have any more went from all clients, too.
            let Some(scope) = known.0.get(name) else { continue };
            let place = At(&["clients", &client.id, "optional-client-scopes", scope]);
            match self.session.act(WITHDRAW_SCOPE, place).await {
                Ok(_) | Err(ServerError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn unknown(name: &str) -> ServerError {
    let words = format!("the realm has no client scope {name}");
    ServerError::Rejected { text: ServerText::quote(&words, &[]) }
}
