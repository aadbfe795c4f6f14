//! What this process knows of the tenants behind one server. Many assignments share what one of them has read, so that
//! neither folders nor assignments cost a request each.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::servers::Connection;
use crate::clock::Clock;
use crate::domain::registration::PrincipalId;
use crate::domain::tenant::{FolderId, Member, Tenant};
use crate::server::{Lane, Permissions as _, ServerError};

/// What was read may be this old: many assignments that are applied together share it.
const FRESH: SignedDuration = SignedDuration::from_secs(10);

/// Every tenant that was asked about, by name.
pub struct Tenants {
    known: Mutex<HashMap<String, Arc<Known>>>,
    clock: Clock,
}

/// One tenant. Whoever reads it has the others wait, and then they share what was read.
struct Known {
    tenant: tokio::sync::Mutex<Option<Read<Tenant>>>,
    members: tokio::sync::Mutex<BTreeMap<FolderId, Read<Vec<Member>>>>,
    /// When this process last changed something for a principal: for that one, what was read before is too old.
    changed: Mutex<HashMap<PrincipalId, Timestamp>>,
}

/// What was read, and when it was asked for.
struct Read<T> {
    asked: Timestamp,
    value: Arc<T>,
}

/// Whom to ask, about whom, and how new the answer must be.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    pub connection: &'a Connection,
    pub tenant: &'a str,
    pub principals: &'a [&'a PrincipalId],
    /// What was asked for before this is asked for again; `None`: the last seconds will do.
    pub since: Option<Timestamp>,
    pub lane: Lane,
}

impl Known {
    fn serves<T>(&self, read: &Read<T>, question: &Question<'_>, now: Timestamp) -> bool {
        let changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        let newer = |principal: &&PrincipalId| changed.get(*principal).is_none_or(|at| read.asked > *at);
        read.asked >= question.since.unwrap_or(now - FRESH) && question.principals.iter().all(newer)
    }
}

impl Tenants {
    pub fn new(clock: Clock) -> Self {
        Self { known: Mutex::default(), clock }
    }

    fn of(&self, tenant: &str) -> Arc<Known> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            Arc::new(Known {
                tenant: tokio::sync::Mutex::default(),
                members: tokio::sync::Mutex::default(),
                changed: Mutex::default(),
            })
        };
        known.entry(tenant.to_owned()).or_insert_with(new).clone()
    }

    /// Roles, folders and applications of a tenant.
    pub async fn tenant(&self, question: Question<'_>) -> Result<Arc<Tenant>, ServerError> {
        let known = self.of(question.tenant);
        let mut slot = known.tenant.lock().await;
        if let Some(read) = slot.as_ref().filter(|read| known.serves(read, &question, self.clock.now())) {
            return Ok(read.value.clone());
        }
        let asked = self.clock.now();
        let value = Arc::new(question.connection.client.tenant(question.tenant, question.lane).await?);
        *slot = Some(Read { asked, value: value.clone() });
        Ok(value)
    }

    /// Who is assigned to each of these folders. A folder that is gone has nobody.
    pub async fn members(
        &self,
        question: Question<'_>,
        folders: impl IntoIterator<Item = FolderId>,
    ) -> Result<BTreeMap<FolderId, Arc<Vec<Member>>>, ServerError> {
        let known = self.of(question.tenant);
        let mut slots = known.members.lock().await;
        let mut found = BTreeMap::new();
        for folder in folders {
            if let Some(read) = slots.get(&folder).filter(|read| known.serves(read, &question, self.clock.now())) {
                found.insert(folder, read.value.clone());
                continue;
            }
            let asked = self.clock.now();
            let members = match question.connection.client.members(question.tenant, folder, question.lane).await {
                Err(ServerError::NotFound) => Vec::new(),
                other => other?,
            };
            let value = Arc::new(members);
            slots.insert(folder, Read { asked, value: value.clone() });
            found.insert(folder, value);
        }
        Ok(found)
    }

    /// Something was changed for a principal, or may have been.
    pub fn changed(&self, tenant: &str, principal: &PrincipalId) {
        let now = self.clock.now();
        let known = self.of(tenant);
        let mut changed = known.changed.lock().unwrap_or_else(PoisonError::into_inner);
        changed.retain(|_, at| now.duration_since(*at) < FRESH * 2);
        changed.insert(principal.clone(), now);
    }

    /// Forgets tenants that nobody speaks of any more.
    pub fn retain(&self, named: impl Fn(&str) -> bool) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).retain(|tenant, _| named(tenant));
    }
}
