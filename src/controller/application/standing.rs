//! Which application a registration belongs to, over every server of this process that speaks to the same organization.

use std::collections::HashSet;
use std::sync::Arc;

use crate::api::ExternalApplication;
use crate::controller::servers::{Server, ServerKey};
use crate::controller::{Context, full_name, server_key};
use crate::domain::intent::{Intent, Twins};
use crate::domain::observed::{status_client_id, unsettled_intent};
use crate::domain::registration::ClientId;

/// Everybody else who may have registrations where one application has its own.
pub struct Standing<'a> {
    uid: &'a str,
    servers: Vec<Arc<Server>>,
    others: Vec<Arc<ExternalApplication>>,
    ctx: &'a Context,
}

impl<'a> Standing<'a> {
    pub fn beside(app: &'a ExternalApplication, server: &Server, ctx: &'a Context) -> Self {
        Self::except(app.metadata.uid.as_deref().unwrap_or_default(), server, ctx)
    }

    pub fn of_all(server: &Server, ctx: &'a Context) -> Self {
        Self::except("", server, ctx)
    }

    fn except(uid: &'a str, server: &Server, ctx: &'a Context) -> Self {
        let servers = ctx.neighbours(&server.key);
        let keys: HashSet<&ServerKey> = servers.iter().map(|server| &server.key).collect();
        let mut others = ctx.applications.state();
        others.retain(|other| other.metadata.uid.as_deref() != Some(uid) && keys.contains(&server_key(other)));
        Self { uid, servers, others, ctx }
    }

    /// The application, by namespace and name, whose registration this is.
    pub fn holder(&self, id: &ClientId) -> Option<String> {
        let claimed = self.claimed(id);
        let theirs = |other: &&Arc<ExternalApplication>| {
            status_client_id(other).as_ref() == Some(id) || claimed.as_deref() == other.metadata.uid.as_deref()
        };
        self.others.iter().find(theirs).map(|other| full_name(other))
    }

    /// Whether an application that stays stands for it, or asks for it.
    pub fn wanted(&self, id: &ClientId) -> bool {
        self.others.iter().any(|app| {
            let adopted = app.spec.adopt.as_ref().is_some_and(|adopt| ClientId::new(&adopt.client_id) == *id);
            app.metadata.deletion_timestamp.is_none() && (adopted || status_client_id(app).as_ref() == Some(id))
        })
    }

    /// Whoever else this process has seen the registration being made for, before any status says so.
    fn claimed(&self, id: &ClientId) -> Option<String> {
        self.servers.iter().find_map(|server| server.claimant(id)).filter(|holder| holder != self.uid)
    }

    /// Whether this is what an operator itself authenticates with.
    pub fn operators_own(&self, id: &ClientId) -> bool {
        self.servers.iter().any(|server| {
            let connected = server.connection().is_some_and(|connection| connection.is_own(id));
            connected || server.facts().is_some_and(|facts| facts.own_client_id.as_ref() == Some(id))
        })
    }

    /// Whether a registration cannot be what a lost create of ours made.
    pub fn taken(&self, id: &ClientId) -> bool {
        let published = |other: &Arc<ExternalApplication>| {
            unsettled_intent(other).is_some()
                && self.ctx.owned.of(other).values().any(|object| object.client_id.as_ref() == Some(id))
        };
        self.operators_own(id)
            || self.claimed(id).is_some()
            || self.others.iter().any(|other| status_client_id(other).as_ref() == Some(id) || published(other))
    }

    /// Whether an operator wrote this intent: anybody could write another, to have ours waited for.
    fn is_sealed(&self, app: &ExternalApplication, intent: &Intent) -> bool {
        let text = intent.sealed_text(app.metadata.uid.as_deref().unwrap_or_default());
        self.servers.iter().any(|server| server.recognises(&text, &intent.seal) == Some(true))
    }

    /// Those whose registrations could not be told apart from ours.
    pub fn twins(&self, intent: &Intent) -> Twins {
        let mut twins = Twins::default();
        for other in &self.others {
            let theirs = unsettled_intent(other).filter(|theirs| theirs.name == intent.name);
            let Some(theirs) = theirs.filter(|theirs| theirs.digest == intent.digest && self.is_sealed(other, theirs))
            else {
                continue;
            };
            twins.count += 1;
            twins.before += usize::from(other.metadata.uid.as_deref() < Some(self.uid));
            twins.latest = twins.latest.max(Some(theirs.at));
        }
        twins
    }
}
